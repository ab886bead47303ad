//go:build cv

package pipeline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestCamerasComeAndGo adds and removes a camera again and again beside
// another one, which loses nothing; descriptors and goroutines come back.
func TestCamerasComeAndGo(t *testing.T) {
	m := reader()
	keep := camera(t, "keep", "synthetic://bars?fps=50&width=160&height=90", preprocess.Every, m)
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
	kept := 0
	checked := func(out []*vedette.Detection) { checkFrom(t, out); checkNumbers(t, out[1:]) }
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
		kept += r.prune("keep", checked)
	}
	r.await("results", func() bool { return len(r.out) > 5 })
	once()
	cycles := 6
	if soaking() {
		for range 20 {
			once() // until everything that is made once has been made
		}
		cycles = 1000
	}
	before := settled(t)
	for n := range cycles {
		once()
		if n%100 == 99 {
			t.Logf("after %d cycles: %+v", n+1, settled(t))
		}
	}
	after := settled(t)
	t.Logf("after %d cycles: %+v, before: %+v", cycles, after, before)
	before.returned(t, after)
	kept += r.prune("keep", checked)
	t.Logf("%d frames of the camera that stays, without a gap", kept)

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

// checkFrom is checkChain for results behind the first one, of a lossless camera.
func checkFrom(t *testing.T, out []*vedette.Detection) {
	t.Helper()
	for i, d := range out[1:] {
		if prev := out[i]; d.Epoch != prev.Epoch || d.Seq != prev.Seq+1 || d.PrevSeq != int64(prev.Seq) || len(d.GapBefore) > 0 {
			t.Errorf("%s seq %d after %s seq %d: prev_seq %d, gap_before %v", d.Epoch, d.Seq, prev.Epoch, prev.Seq, d.PrevSeq, d.GapBefore)
		}
	}
}

// prune has a camera's results checked and forgets what was published so far, but
// the camera's last one. It returns how many it forgot.
func (r *rig) prune(camera string, check func([]*vedette.Detection)) int {
	r.mu.Lock()
	out := r.out
	r.out = nil
	r.mu.Unlock()
	out = slices.DeleteFunc(out, func(d *vedette.Detection) bool { return d.Camera != camera })
	if len(out) == 0 {
		return 0
	}
	check(out)
	r.mu.Lock()
	r.out = append([]*vedette.Detection{out[len(out)-1]}, r.out...)
	r.mu.Unlock()
	return len(out) - 1
}
