//go:build !cv

package pipeline_test

import (
	"testing"
	"time"

	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// Frames of several lossless cameras pass over the bus to two workers and come
// back as one result each, in order, of their own picture.
func TestEveryFrameHasOneResult(t *testing.T) {
	p := newPlant(t)
	const frames = 100
	ids := []string{"a", "b", "c"}
	p.start(p.config(worker, "far-1", nil))
	p.start(p.config(worker, "far-2", nil))
	o := p.start(p.config(owner, "here", cameras(t, preprocess.Every, ids...)))
	var waits []func()
	for _, id := range ids {
		waits = append(waits, p.film(p.drawn("here", id, preprocess.Every), frames, 0))
	}
	for _, wait := range waits {
		wait()
	}
	for _, id := range ids {
		p.checkWhole(id, frames)
		if a := o.account(id); a.Inferred != frames || a.Captured != frames || a.Balance() != 0 {
			t.Errorf("account of %s: %+v", id, a)
		}
	}
	p.checkStored(len(ids) * frames)
}

// Two owners on one host have a camera each: neither answers the other's frames,
// which would let the sender overwrite what is not inferred yet.
func TestOwnersOfOneHostLeaveEachOthersFramesAlone(t *testing.T) {
	p := newPlant(t)
	const frames = 100
	p.start(p.config(worker, "far", nil))
	var waits []func()
	for _, id := range []string{"a", "b"} {
		p.start(p.config(owner, "here", cameras(t, preprocess.Every, id)))
	}
	for _, id := range []string{"a", "b"} {
		waits = append(waits, p.film(p.drawn("here", id, preprocess.Every), frames, 0))
	}
	for _, wait := range waits {
		wait()
	}
	p.checkWhole("a", frames)
	p.checkWhole("b", frames)
	p.checkStored(2 * frames)
}

// Workers that are lost, that leave in order and that join cost no frame.
func TestWorkersAreLostAndJoin(t *testing.T) {
	p := newPlant(t)
	const frames = 240
	first, second := p.start(p.config(worker, "far-1", nil)), p.start(p.config(worker, "far-2", nil))
	o := p.start(p.config(owner, "here", cameras(t, preprocess.Every, "a")))
	wait := p.film(p.drawn("here", "a", preprocess.Every), frames, 0)
	inferred := func(n uint64) func() bool { return func() bool { return o.counts("a").Inferred >= n } }
	p.await("results", inferred(40))
	first.lose()
	p.await("more results", inferred(80))
	p.start(p.config(worker, "far-3", nil))
	second.stop()
	wait()
	p.checkWhole("a", frames)
	p.checkStored(frames)
}

// An owner that stops, and one that is lost, leave the lossless frames that they
// have under way to the next.
func TestTheNextOwnerGoesOn(t *testing.T) {
	p := newPlant(t)
	const frames = 240
	p.start(p.config(worker, "far", nil))
	cfg := p.config(owner, "here", cameras(t, preprocess.Every, "a"))
	o := p.start(cfg)
	wait := p.film(p.drawn("here", "a", preprocess.Every), frames, 0)
	p.results("a", 40)
	o.stop()
	o = p.start(cfg)
	p.results("a", 120)
	o.lose()
	p.start(cfg)
	wait()
	p.checkWhole("a", frames)
	p.checkStored(frames)
}

// Cameras are added, changed and removed while frames of all of them pass and
// others ask for the status: one that stays loses nothing, and one that comes
// back is watched again.
func TestCamerasComeAndGoAtWork(t *testing.T) {
	p := newPlant(t)
	const frames = 300
	p.start(p.config(worker, "far", nil))
	keep, extra := cameras(t, preprocess.Every, "keep"), cameras(t, preprocess.Latest, "extra")
	cfg := p.config(owner, "here", keep)
	o := p.start(cfg)
	wait := p.film(p.drawn("here", "keep", preprocess.Every), frames, 0)
	p.film(p.drawn("here", "extra", preprocess.Latest), 1<<30, time.Millisecond)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for o.counts("keep").Inferred < frames && t.Context().Err() == nil {
			if len(o.Status().Cameras) == 0 {
				t.Error("the camera that stays is not in the status")
			}
			time.Sleep(time.Millisecond) // asked often, not without a pause
		}
	}()
	set := func(cameras ...pipeline.Camera) pipeline.Changes {
		t.Helper()
		cfg.Cameras = cameras
		changes, err := o.Reconfigure(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	for range 5 {
		if c := set(keep[0], extra[0]); len(c.Added) != 1 || len(c.Removed)+len(c.Changed) > 0 {
			t.Errorf("changes %+v", c)
		}
		p.await("a result of the added camera", func() bool { return o.counts("extra").Inferred > 0 })
		other := extra[0]
		other.Owner.Detect = []preprocess.DetectConfig{{Model: other.Owner.Detect[0].Model, FPS: 100}}
		if c := set(keep[0], other); len(c.Changed) != 1 || len(c.Removed)+len(c.Added) > 0 {
			t.Errorf("changes %+v", c)
		}
		p.await("a result of the changed camera", func() bool { return o.counts("extra").Inferred > 0 })
		if a := o.counts("extra"); a.Balance() != 0 {
			t.Errorf("account %+v", a)
		}
		if c := set(keep[0]); len(c.Removed) != 1 || len(c.Added)+len(c.Changed) > 0 {
			t.Errorf("changes %+v", c)
		}
	}
	wait()
	<-asked
	p.checkWhole("keep", frames)
}
