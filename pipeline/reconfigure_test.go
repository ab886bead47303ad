//go:build cv

package pipeline_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestCamerasComeAndGo adds and removes a camera again and again beside
// another one, which loses nothing; descriptors and goroutines come back.
func TestCamerasComeAndGo(t *testing.T) {
	m := reader()
	keep := camera(t, "keep", "synthetic://bars?frames=1000000&width=160&height=90", preprocess.Every, m)
	extra := camera(t, "extra", "synthetic://bars?fps=100&width=160&height=90", preprocess.Latest, m)
	cfg := pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{keep}}
	r := start(t, cfg)
	set := func(cameras ...pipeline.Camera) pipeline.Changes {
		t.Helper()
		cfg.Cameras = cameras
		changes, err := r.Reconfigure(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	once := func() {
		t.Helper()
		if c := set(keep, extra); len(c.Added) != 1 || len(c.Removed)+len(c.Changed) != 0 {
			t.Errorf("changes %+v", c)
		}
		n := len(r.of("extra"))
		r.await("results of the new camera", func() bool {
			now := 0
			for _, d := range r.out {
				if d.Camera == "extra" {
					now++
				}
			}
			return now > n+2
		})
		if c := set(keep); len(c.Removed) != 1 || len(c.Added)+len(c.Changed) != 0 {
			t.Errorf("changes %+v", c)
		}
	}
	r.await("results", func() bool { return len(r.out) > 5 })
	once()
	settled := func() (fds, goroutines int) {
		fds, goroutines = 1<<30, 1<<30
		for range 10 {
			fds, goroutines = min(fds, len(testkit.OpenFiles(t))), min(goroutines, runtime.NumGoroutine())
			time.Sleep(20 * time.Millisecond)
		}
		return fds, goroutines
	}
	fds, goroutines := settled()
	const cycles = 6
	for range cycles {
		once()
	}
	nowFDs, now := settled()
	t.Logf("after %d cycles: %d descriptors (%d before), %d goroutines (%d before)", cycles, nowFDs, fds, now, goroutines)
	if nowFDs > fds+1 || now > goroutines+cycles/2 { // requests under way have goroutines of their own
		t.Errorf("%d descriptors, %d before; %d goroutines, %d before", nowFDs, fds, now, goroutines)
	}
	checkChain(t, r.of("keep"))
	checkNumbers(t, r.of("keep"))

	other := cfg
	other.Site = "elsewhere"
	if _, err := r.Reconfigure(t.Context(), other); !errors.Is(err, pipeline.ErrRestart) {
		t.Errorf("another site: %v", err)
	}
	other = cfg
	other.Models = nil
	if _, err := r.Reconfigure(t.Context(), other); err == nil || !strings.Contains(err.Error(), "camera keep: there is no model") {
		t.Errorf("no models: %v", err)
	}
}
