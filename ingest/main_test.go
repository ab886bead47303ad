package ingest_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testkit"
)

// TestMain lets the test binary be its own capture child.
func TestMain(m *testing.M) {
	if ingest.IsChild() {
		makeTrouble(os.Getenv(troubleEnv))
		os.Exit(ingest.ChildMain())
	}
	if os.Getenv(parentEnv) != "" {
		os.Exit(parentMain())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("8") // the tests wait for cameras, not for the processor
	}
	goleak.VerifyTestMain(m)
}

// recorder is an Output that looks at every picture.
type recorder struct {
	t *testing.T
	// each is called with each frame and, unless there is none or it is lost,
	// its picture.
	each func(f *vedette.Frame, pix []byte)
	keep bool // do not release; hold does

	mu     sync.Mutex
	frames []*vedette.Frame
	states []ingest.State
	lost   int
	hold   []func()
	rd     ring.Reader
	signal testkit.Signal
	cmds   []*exec.Cmd
	// command replaces the n-th child, from 0, by another command if not nil.
	command func(n int) *exec.Cmd
}

// newCommand is the Deps.Command of the tests.
func (r *recorder) newCommand() *exec.Cmd {
	r.mu.Lock()
	defer r.mu.Unlock()
	cmd := exec.Command("/proc/self/exe")
	if r.command != nil {
		if other := r.command(len(r.cmds)); other != nil {
			cmd = other
		}
	}
	r.cmds = append(r.cmds, cmd)
	r.signal.Wake()
	return cmd
}

// child is the process id of the newest child. Call it with mu held, or from
// each.
func (r *recorder) child() int { return r.cmds[len(r.cmds)-1].Process.Pid }

func (r *recorder) Frame(_ context.Context, f *vedette.Frame, release func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pix []byte
	if !f.End && !f.Unreadable && !f.Overflow {
		view, err := r.rd.View(f.Ref)
		switch {
		case errors.Is(err, ring.ErrOverwritten):
			r.lost++
		case err != nil:
			r.t.Errorf("%v: %v", f.ID(), err)
		default:
			pix = view
		}
	}
	if r.each != nil {
		r.each(f, pix)
	}
	r.frames = append(r.frames, f)
	if r.keep {
		r.hold = append(r.hold, release)
	} else {
		release()
	}
	r.signal.Wake()
	return nil
}

func (r *recorder) State(_ context.Context, s ingest.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, s)
	r.signal.Wake()
}

// await waits until the recorder has seen something.
func (r *recorder) await(what string, seen func() bool) {
	r.t.Helper()
	r.signal.Await(r.t, &r.mu, 30*time.Second, what, seen)
}

// pictures are the frames without the end notice.
func (r *recorder) pictures() []*vedette.Frame {
	var out []*vedette.Frame
	for _, f := range r.frames {
		if !f.End {
			out = append(out, f)
		}
	}
	return out
}

func (r *recorder) end() *vedette.Frame {
	if n := len(r.frames); n > 0 && r.frames[n-1].End {
		return r.frames[n-1]
	}
	return nil
}

// checkNumbers checks that seq has no hole, and that a bar-coded picture shows
// its seq.
func (r *recorder) checkNumbers(want int) {
	r.t.Helper()
	pics := r.pictures()
	for i, f := range pics {
		if f.Seq != uint64(i) {
			r.t.Fatalf("announcement %d has seq %d", i, f.Seq)
		}
		if f.Epoch != pics[0].Epoch {
			r.t.Fatalf("epoch changed at seq %d", i)
		}
	}
	if len(pics) != want {
		r.t.Errorf("%d frames, want %d", len(pics), want)
	}
}

// checkEpochs checks that each epoch counts from 0 without holes and is ended.
func (r *recorder) checkEpochs(want int) {
	r.t.Helper()
	next, ended, order := map[string]uint64{}, map[string]bool{}, []string{}
	for _, f := range r.frames {
		if _, known := next[f.Epoch]; !known {
			order = append(order, f.Epoch)
			next[f.Epoch] = 0
		}
		if f.End {
			ended[f.Epoch] = true
			if f.Seq < next[f.Epoch] || f.Reason == "" {
				r.t.Errorf("end of %s: %+v", f.Epoch, f)
			}
			continue
		}
		if ended[f.Epoch] || f.Seq != next[f.Epoch] {
			r.t.Errorf("epoch %s: seq %d, want %d, ended %v", f.Epoch, f.Seq, next[f.Epoch], ended[f.Epoch])
		}
		next[f.Epoch] = f.Seq + 1
	}
	if !slices.IsSorted(order) || len(order) < want {
		r.t.Errorf("epochs %v, want %d or more, sorted", order, want)
	}
	for _, e := range order[:max(len(order)-1, 0)] {
		if !ended[e] {
			r.t.Errorf("epoch %s was not ended", e)
		}
	}
}

// readsItsNumber is an each that checks the bar code.
func (r *recorder) readsItsNumber(f *vedette.Frame, pix []byte) {
	if pix == nil {
		return
	}
	n, ok := barcode.Read(pix, f.Width, f.Height, f.Ref.Stride)
	if valid := r.rd.Valid(f.Ref); valid && (!ok || uint64(n) != f.Seq) {
		r.t.Errorf("seq %d shows number %d, %v", f.Seq, n, ok)
	}
}

type camera struct {
	*ingest.Camera
	*recorder
	log    *testkit.Log
	cancel context.CancelFunc
	done   chan error
}

func newCamera(t *testing.T, cfg ingest.Config) *camera {
	t.Helper()
	if cfg.ID == "" {
		cfg.ID = "cam"
	}
	rec := &recorder{t: t, signal: testkit.NewSignal()}
	log := new(testkit.Log)
	c, err := ingest.New(cfg, ingest.Deps{Output: rec, Command: rec.newCommand, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	cam := &camera{Camera: c, recorder: rec, log: log, done: make(chan error, 1)}
	t.Cleanup(func() {
		if err := cam.close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return cam
}

// close frees the rings; it may be called again.
func (c *camera) close() error { return errors.Join(c.Camera.Close(), c.rd.Close()) }

// run runs a finite camera to its end.
func (c *camera) run() error {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	return c.Run(ctx)
}

// start runs the camera beside the test, which ends it.
func (c *camera) start() {
	ctx, cancel := context.WithCancel(c.t.Context())
	c.cancel = cancel
	go func() { c.done <- c.Run(ctx) }()
}

func (c *camera) stop() error {
	c.cancel()
	select {
	case err := <-c.done:
		return err
	case <-time.After(10 * time.Second):
		c.t.Fatal("Run does not end")
		return nil
	}
}

func source(t *testing.T, text string) ingest.Source {
	t.Helper()
	s, err := ingest.ParseSource(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
