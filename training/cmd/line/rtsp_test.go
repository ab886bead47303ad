//go:build cv

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/testkit"
)

// TestMain lets the test binary be the capture process.
func TestMain(m *testing.M) {
	if ingest.IsChild() {
		os.Exit(ingest.ChildMain())
	}
	goleak.VerifyTestMain(m)
}

// watcher keeps the pictures that come, and what the command writes.
type watcher struct {
	t      *testing.T
	signal testkit.Signal

	mu       sync.Mutex
	rd       ring.Reader
	pictures [][]byte // BGR
	seqs     []uint64
	said     map[string]*bytes.Buffer
}

// Frame implements ingest.Output.
func (w *watcher) Frame(_ context.Context, f *vedette.Frame, release func()) error {
	defer release()
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.End || f.Unreadable || f.Overflow || len(w.pictures) == 20 {
		return nil
	}
	view, err := w.rd.View(f.Ref)
	if err != nil {
		return nil // overwritten: a slow machine
	}
	px := slices.Clone(view)
	if f.Width == side && f.Height == side && w.rd.Valid(f.Ref) {
		w.pictures, w.seqs = append(w.pictures, px), append(w.seqs, f.Seq)
		w.signal.Wake()
	}
	return nil
}

// State implements ingest.Output.
func (w *watcher) State(_ context.Context, s ingest.State) {
	if s.Reason != "" {
		w.t.Logf("%s: %s", s.Phase, s.Reason)
	}
}

// stream is one of the command's outputs.
func (w *watcher) stream(name string) io.Writer {
	w.said[name] = new(bytes.Buffer)
	return writer(func(b []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		defer w.signal.Wake()
		return w.said[name].Write(b)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// A camera shows the line that its truth is about, and ends when it is told to.
func TestCamera(t *testing.T) {
	w := &watcher{t: t, signal: testkit.NewSignal(), said: map[string]*bytes.Buffer{}}
	stdout, stderr := w.stream("truth"), w.stream("notes")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, small("-rtsp"), stdout, stderr) }()
	var url string
	w.signal.Await(t, &w.mu, 30*time.Second, "the address", func() bool {
		url = regexp.MustCompile(`rtsp://\S+`).FindString(w.said["notes"].String())
		return url != ""
	})
	src, err := ingest.ParseSource(url)
	if err != nil {
		t.Fatal(err)
	}
	cam, err := ingest.New(ingest.Config{ID: "line", Source: src}, ingest.Deps{Output: w, Command: func() *exec.Cmd { return exec.Command("/proc/self/exe") }})
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() { defer close(watched); _ = cam.Run(ctx) }() // it is told to stop
	lines := func() int { return bytes.Count(w.said["truth"].Bytes(), []byte("\n")) }
	w.signal.Await(t, &w.mu, 2*time.Minute, "pictures", func() bool { return len(w.pictures) >= 5 })
	w.mu.Lock()
	before := lines()
	w.mu.Unlock()
	w.signal.Await(t, &w.mu, 30*time.Second, "more truth", func() bool { return lines() >= before+3 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	<-watched
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.rd.Close(); err != nil {
		t.Error(err)
	}
	truth, line := readTruth(t, w.said["truth"]), lineOf(t)
	checkTruth(t, line, truth)
	for i, f := range truth {
		if f.Time == nil || i > 0 && f.Time.Before(*truth[i-1].Time) {
			t.Fatalf("frame %d was painted at %v", i, f.Time)
		}
	}
	// The first picture is one of the truth's, those behind follow from its number.
	first := slices.IndexFunc(truth, func(f frameTruth) bool { return difference(t, line, f.Frame, w.pictures[0], 3) < alike })
	if first < 0 {
		t.Fatalf("none of %d frames looks like the first picture", len(truth))
	}
	for k, px := range w.pictures[:5] {
		i := truth[first].Frame + w.seqs[k] - w.seqs[0]
		if d := difference(t, line, i, px, 3); d > alike || i >= uint64(len(truth)) {
			t.Errorf("picture %d differs by %.1f from frame %d of %d", k, d, i, len(truth))
		}
	}
}
