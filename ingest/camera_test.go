package ingest_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
)

func TestSyntheticEveryFrame(t *testing.T) {
	c := newCamera(t, ingest.Config{Delivery: ingest.Every,
		Source: source(t, "synthetic://bars?width=320&height=180&fps=20&frames=200&seed=3")})
	c.each = c.readsItsNumber
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(200)
	if c.lost > 0 {
		t.Errorf("%d frames were overwritten", c.lost)
	}
	end := c.end()
	if end == nil || end.Reason != "eof" || end.Seq != 200 {
		t.Fatalf("end notice %+v", end)
	}
	f := c.frames[10]
	if f.PTSMillis != 500 || f.Clock != vedette.ClockFile || f.CaptureMillis <= 0 ||
		f.CaptureTime.Sub(c.frames[0].CaptureTime.Time).Milliseconds() != 500 || f.CapturedAt.IsZero() {
		t.Errorf("times of frame 10: %+v", f)
	}
}

// A generator without end is a live source.
func TestSyntheticLive(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Source: source(t, "synthetic://bars?width=64&height=48&fps=100")})
	c.start()
	c.await("20 frames", func() bool { return len(c.frames) >= 20 })
	c.mu.Lock()
	_ = syscall.Kill(c.child(), syscall.SIGKILL)
	c.mu.Unlock()
	c.await("another epoch", func() bool {
		last := c.frames[len(c.frames)-1]
		return !last.End && last.Epoch != c.frames[0].Epoch
	})
	if err := c.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	c.checkEpochs(2)
	if f := c.frames[0]; f.Clock != vedette.ClockHost || f.CaptureTime != f.CapturedAt {
		t.Errorf("times of a live frame: %+v", f)
	}
	if s := c.states[len(c.states)-1]; s.Phase != ingest.Online || s.Reconnects != 1 {
		t.Errorf("last state %+v", s)
	}
}

// Under every delivery a live source that finds no free slot accounts for the
// frame all the same.
func TestLiveEveryOverflow(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Slots: 2,
		Source: source(t, "synthetic://bars?width=64&height=48&fps=50")})
	c.keep = true
	c.start()
	c.await("a frame without a slot", func() bool { return len(c.frames) >= 3 })
	_ = c.stop()
	if f := c.frames[2]; !f.Overflow || f.Unreadable || f.Seq != 2 {
		t.Errorf("third frame: %+v", f)
	}
}

// A finite source goes on behind what another process has dealt with, with the
// same choice of frames.
func TestResume(t *testing.T) {
	t.Parallel()
	cfg := ingest.Config{Delivery: ingest.Every, FPS: 7, Source: source(t, "synthetic://bars?fps=20&frames=100&width=64&height=48")}
	whole := newCamera(t, cfg)
	if err := whole.run(); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg.Resume = ingest.Resume{Epoch: "01abc", Seq: 31, Start: start}
	c := newCamera(t, cfg)
	c.each = c.readsItsNumber
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	var want []*vedette.Frame
	for _, f := range whole.frames {
		if f.Seq >= 31 {
			want = append(want, f)
		}
	}
	if len(c.frames) != len(want) {
		t.Fatalf("%d frames, want %d", len(c.frames), len(want))
	}
	for i, f := range c.frames {
		if f.Seq != want[i].Seq || f.Sampled != want[i].Sampled || f.Epoch != "01abc" || f.End != want[i].End {
			t.Errorf("%+v, want %+v", f, want[i])
		}
		if !f.End && f.CaptureTime.Sub(start) != time.Duration(f.Seq)*50*time.Millisecond {
			t.Errorf("seq %d captured at %v", f.Seq, f.CaptureTime)
		}
	}
}

// A child that dies at once, again and again, is given up for a finite source.
func TestChildNeverStarts(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Source: source(t, "synthetic://bars?frames=5")})
	c.command = func(int) *exec.Cmd { return exec.Command("sh", "-c", "echo panic: boom >&2; exit 3") }
	err := c.run()
	if !errors.Is(err, ingest.ErrCrashed) || !strings.Contains(err.Error(), "exit code 3, panic: boom") {
		t.Errorf("got %v", err)
	}
	if n := len(c.cmds); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

// What a child says is not believed: garbage, impossible frames, repeated
// numbers, endless lines.
func TestChildTalksNonsense(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{
		"no json":         `echo hello >&3; sleep 9`,
		"endless line":    `head -c 200000 /dev/zero | tr '\0' x >&3; sleep 9`,
		"unknown event":   `echo '{"t":"surprise"}' >&3`,
		"frame, no ring":  `echo '{"t":"frame","seq":0,"w":10,"h":10,"ch":3}' >&3; sleep 9`,
		"ring of nothing": `echo '{"t":"opened"}{"t":"ring","ring":1,"fd":0}' >&3`,
		"wrong types":     `echo '{"t":"frame","seq":-1}' >&3; sleep 9`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCamera(t, ingest.Config{Delivery: ingest.Every, Source: source(t, "synthetic://bars?frames=5&width=64&height=48")})
			c.command = func(n int) *exec.Cmd {
				if n == 0 {
					return exec.Command("sh", "-c", say)
				}
				return nil
			}
			err := c.run()
			if name == "frame, no ring" {
				if err == nil || !strings.Contains(err.Error(), "impossible") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.checkNumbers(5)
		})
	}
}

func TestOutputErrorEndsRun(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	out := outputFunc(func(f *vedette.Frame) error {
		if f.Seq == 3 {
			return boom
		}
		return nil
	})
	c, err := ingest.New(ingest.Config{ID: "cam", Source: source(t, "synthetic://bars?frames=50&width=64&height=48"), Unpaced: true},
		ingest.Deps{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Run(t.Context()); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("a second Run succeeded")
	}
}

type outputFunc func(f *vedette.Frame) error

func (o outputFunc) Frame(_ context.Context, f *vedette.Frame, release func()) error {
	release()
	return o(f)
}

func (o outputFunc) State(context.Context, ingest.State) {}

// Cancelling ends a run at any moment, soon.
func TestCancelAnyTime(t *testing.T) {
	t.Parallel()
	for i := range 12 {
		c := newCamera(t, ingest.Config{Delivery: ingest.Every, Source: source(t, "synthetic://bars?frames=100000")})
		c.keep = i%2 == 0
		c.start()
		time.Sleep(time.Duration(i*i) * time.Millisecond)
		began := time.Now()
		if err := c.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("Run ended after %v", took)
		}
	}
}

func TestConfigProblemsAtOnce(t *testing.T) {
	_, err := ingest.New(ingest.Config{ID: "Front Door", Delivery: "some", FPS: -1, Transport: "pigeon", Decode: "magic", Slots: 1},
		ingest.Deps{Output: outputFunc(nil)})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"invalid id", "source: there is none", "delivery: must be latest or every", "fps: must be 0 to 1000 (got -1)",
		"transport: must be tcp or udp", "decode: must be one of software, auto", "slots: must be 2 to 62 (got 1)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func BenchmarkSynthetic1080p(b *testing.B) {
	frames := 0
	for b.Loop() {
		src, err := ingest.ParseSource("synthetic://bars?width=1920&height=1080&frames=200")
		if err != nil {
			b.Fatal(err)
		}
		c, err := ingest.New(ingest.Config{ID: "cam", Source: src, Delivery: ingest.Every},
			ingest.Deps{Output: outputFunc(func(*vedette.Frame) error { frames++; return nil })})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(c.Run(b.Context()), c.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
}
