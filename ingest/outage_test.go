//go:build cv

package ingest

import (
	"context"
	"errors"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// fakeClock is a clock of which a pause takes no time until the clock is let
// run: hours pass while a camera is asked once more in each of their seconds.
type fakeClock struct {
	mu     sync.Mutex
	ahead  time.Duration // of the real clock
	pauses int
	skip   time.Duration // how much is passed over before it runs
	passed func()        // called when that is done
}

func (f *fakeClock) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.ahead)
}

func (f *fakeClock) sleep(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	f.pauses++
	skipped := f.skip > 0
	if skipped {
		f.ahead, f.skip = f.ahead+d, f.skip-d
		if f.skip <= 0 {
			f.passed()
		}
	}
	f.mu.Unlock()
	if skipped {
		return ctx.Err()
	}
	return backoff.Sleep(ctx, d)
}

// phases passes states on.
type phases chan State

func (phases) Frame(context.Context, *vedette.Frame, func()) error { return nil }

func (p phases) State(_ context.Context, s State) { p <- s }

func (p phases) await(t *testing.T, want Phase) {
	t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		select {
		case s := <-p:
			if s.Phase == want {
				return
			}
		case <-timeout:
			t.Fatalf("timed out waiting for the phase %s", want)
		}
	}
}

// After an outage of hours a camera is back as soon as after a short one, and
// being away cost no more than a question a second.
func TestOutageOfHours(t *testing.T) {
	t.Parallel()
	const outage = 3 * time.Hour
	video := camtest.Clip(t, clip.Spec{Width: 320, Height: 180, FPS: 20, Frames: 1200, GOP: 10})
	cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: video}})
	src, err := ParseSource(cam.URL())
	if err != nil {
		t.Fatal(err)
	}
	seen := make(phases, 100)
	c, err := New(Config{ID: "cam", Source: src}, Deps{Output: seen})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	over := make(chan struct{})
	clock := &fakeClock{passed: func() { close(over) }}
	c.now, c.sleep = clock.now, clock.sleep
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	seen.await(t, Online)
	clock.mu.Lock()
	clock.skip = outage
	clock.mu.Unlock()
	cam.Kill()
	seen.await(t, Offline)
	<-over
	began := time.Now()
	if err := cam.Restart(); err != nil {
		t.Fatal(err)
	}
	seen.await(t, Online)
	back := time.Since(began)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	clock.mu.Lock()
	defer clock.mu.Unlock()
	t.Logf("after %v and %d questions: back after %v (budget 2 s and 0.5 s to a key frame)", outage, clock.pauses, back)
	if back > 7500*time.Millisecond { // with five seconds for a busy machine
		t.Errorf("back after %v", back)
	}
	if perHour := float64(clock.pauses) / outage.Hours(); perHour > 2*3600 || perHour < 3600 {
		t.Errorf("%.0f questions an hour, want one in a half to a whole second", perHour)
	}
}

// While a camera is away the process that will capture it stands ready; one
// that has died meanwhile is not waited for.
func TestProcessStandsReady(t *testing.T) {
	t.Parallel()
	video := camtest.Clip(t, clip.Spec{Width: 320, Height: 180, FPS: 20, Frames: 1200, GOP: 10})
	cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: video}})
	src, err := ParseSource(cam.URL())
	if err != nil {
		t.Fatal(err)
	}
	seen, started := make(phases, 100), make(chan int, 100)
	n := 0
	command := func() *exec.Cmd {
		n++
		started <- n
		if n == 3 {
			return exec.Command("false")
		}
		return selfCommand()
	}
	c, err := New(Config{ID: "cam", Source: src}, Deps{Output: seen, Command: command})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	expect := func(want int) {
		t.Helper()
		if got := <-started; got != want {
			t.Fatalf("process %d was started, not %d", got, want)
		}
	}
	expect(1)
	seen.await(t, Online)
	for ready := 2; ready <= 3; ready++ {
		cam.Kill()
		seen.await(t, Offline)
		expect(ready)
		if err := cam.Restart(); err != nil {
			t.Fatal(err)
		}
		seen.await(t, Online)
	}
	expect(4) // in place of the third
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(started) > 0 {
		t.Errorf("process %d was started without need", <-started)
	}
}
