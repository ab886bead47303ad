package main_test

import (
	"bufio"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

// published is a server on which detections are stored.
type published struct {
	*bus.Bus
	writer *bus.DetectionWriter
}

func publish(t *testing.T) *published {
	t.Helper()
	b, err := bus.Start(t.Context(), bus.Config{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err != nil {
		t.Fatal(err)
	}
	p := &published{b, b.NewDetectionWriter()}
	t.Cleanup(func() {
		if err := p.writer.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *published) write(t *testing.T, camera string, seq uint64, label string) {
	t.Helper()
	at := vedette.At(time.Now())
	d := &vedette.Detection{
		Schema: vedette.DetectionSchema, Camera: camera, Epoch: "01jdv8k2zz", Seq: seq, PrevSeq: int64(seq) - 1,
		CaptureTime: at, PublishTime: at, Clock: vedette.ClockHost, Width: 640, Height: 480, Status: vedette.StatusOK,
		Model: vedette.ModelRef{Name: "yolox", Task: "detect"}, Objects: &[]vedette.Object{{Label: label, Score: 0.9}}, GapBefore: map[string]uint64{},
	}
	d.ID = vedette.FrameID{Camera: camera, Epoch: d.Epoch, Seq: seq}.Detection("yolox")
	done := make(chan error, 1)
	p.writer.Write(t.Context(), d, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A name that nothing has is no silence for ever: after a moment watch says
// which there are, once, and waits on.
func TestWatchSaysWhyItIsSilent(t *testing.T) {
	t.Parallel()
	p := publish(t)
	empty := publish(t)
	p.write(t, "gate", 0, "person")
	p.write(t, "yard", 0, "car")
	for _, c := range []struct {
		args   []string
		server *published
		says   string
	}{
		{[]string{"--camera", "gaet"}, p, `no detection of a camera "gaet" is stored; did you mean "gate"?; there are gate, yard; still waiting`},
		{[]string{"--camera", "gate", "--model", "yolo"}, p, `no detection of a model "yolo" is stored; did you mean "yolox"?; there are yolox of camera gate`},
		{[]string{"--label", "persn"}, p, `none of the newest 2 detections has the label "persn"; did you mean "person"?; they have car, person`},
		{[]string{"--camera", "gate"}, p, "the newest detection of any camera is "},
		{nil, empty, "no camera's detections are stored on this server under this prefix"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			w := watching(t, c.server, c.args...)
			if line := w.note(t); !strings.Contains(line, "nothing yet: ") || !strings.Contains(line, c.says) {
				t.Errorf("it says %q, want %q", line, c.says)
			}
			w.stop(t)
		})
	}
	t.Run("another prefix", func(t *testing.T) { // which the server does not let it see
		t.Parallel()
		run(t, "watch", "--server", p.Address(), "--prefix", "other").wantSentence(t, 2, "other.detection", "check the prefix")
	})
	t.Run("and goes on", func(t *testing.T) {
		t.Parallel()
		p := publish(t)
		w := watching(t, p, "--camera", "new", "--label", "dog")
		w.note(t)
		p.write(t, "new", 0, "dog")
		if !w.out.Scan() || !strings.Contains(w.out.Text(), "dog 0.90") {
			t.Errorf("it shows %q", w.out.Text())
		}
		w.stop(t)
	})
}

// watcher is a run of watch.
type watcher struct {
	cmd      *exec.Cmd
	out, err *bufio.Scanner
}

func watching(t *testing.T, p *published, args ...string) *watcher {
	t.Helper()
	cmd := exec.Command(built, append([]string{"watch", "--log-level", "error", "--server", p.Address()}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &watcher{cmd, bufio.NewScanner(stdout), bufio.NewScanner(stderr)}
}

// note is what it says to a person next.
func (w *watcher) note(t *testing.T) string {
	t.Helper()
	if !w.err.Scan() {
		t.Fatal("it says nothing and ends")
	}
	return w.err.Text()
}

// stop ends it and checks that it had nothing more to say.
func (w *watcher) stop(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for w.err.Scan() {
		t.Errorf("it also says %q", w.err.Text())
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}
