//go:build !cv

package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// refused starts an instance that is not to start, and checks what it says.
func (p *plant) refused(cfg pipeline.Config, says ...string) {
	p.t.Helper()
	i, err := p.try(cfg)
	if err == nil {
		i.stop()
		p.t.Fatal("it started")
	}
	if !errors.Is(err, pipeline.ErrOwned) || strings.Contains(err.Error(), "\n") {
		p.t.Errorf("the error is %v", err)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			p.t.Errorf("the sentence does not say %q: %v", want, err)
		}
	}
}

// A second owner of a camera is refused in one sentence, wherever it runs, and
// the first goes on as if nothing had been.
func TestSecondOwnerIsRefused(t *testing.T) {
	p := newPlant(t)
	const frames = 150
	p.start(p.config(worker, "far", nil))
	first := p.start(p.config(owner, "here", cameras(t, preprocess.Every, "gate", "yard", "door")))
	instance := first.Status().Instance
	wait := p.film(p.drawn("here", "gate", preprocess.Every), frames, 0)
	p.results("gate", 10)
	for _, host := range []string{"there", "here"} {
		p.refused(p.config(owner, host, cameras(t, preprocess.Every, "wall", "gate")),
			"camera gate is owned already", instance, "on the host here", "process ", "stop that one", "another id")
	}
	p.refused(p.config(owner, "there", cameras(t, preprocess.Latest, "gate", "yard")), "cameras gate, yard are owned already", "other ids")
	wait()
	p.checkWhole("gate", frames)
	if a := first.account("gate"); a.Inferred != frames || a.Captured != frames {
		t.Errorf("account of the first owner: %+v", a)
	}
	if log := first.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Error("the first owner was disturbed")
	}
	// Who was refused has left nothing behind: its other camera is free.
	p.start(p.config(owner, "there", cameras(t, preprocess.Every, "wall")))
	first.stop()
	p.start(p.config(owner, "there", cameras(t, preprocess.Every, "gate")))
}

// The same camera is captured once.
func TestSecondCaptureIsRefused(t *testing.T) {
	p := newPlant(t)
	cfg := p.config("", "here", cameras(t, preprocess.Every, "gate"))
	cfg.Stages = pipeline.Stages{Ingest: true}
	first := p.startOnly(cfg)
	p.refused(cfg, "camera gate is captured already", first.Status().Instance)
	p.start(p.config(owner, "here", cameras(t, preprocess.Every, "gate"))) // another thing
}

// Of several that start at the same moment one becomes the owner.
func TestOneOfManyBecomesTheOwner(t *testing.T) {
	p := newPlant(t)
	const many = 5
	for round := range 3 {
		var wg sync.WaitGroup
		var owners [many]*pipeline.Pipeline
		for n := range many {
			cfg := p.config(owner, fmt.Sprintf("host-%d", n), cameras(t, preprocess.Latest, "a", "b"))
			wg.Go(func() {
				i, err := p.open(cfg)
				if err != nil && !errors.Is(err, pipeline.ErrOwned) {
					t.Errorf("round %d: %v", round, err)
				}
				owners[n] = i
			})
		}
		wg.Wait()
		started := 0
		for _, o := range owners {
			if o != nil {
				started++
				p.close(o)
			}
		}
		if started != 1 {
			t.Errorf("round %d: %d of %d are owners", round, started, many)
		}
	}
}

// A camera that is added at work and is another's is an error of that camera
// alone; it can be added once the other has let it go.
func TestHotAddedCameraOfAnother(t *testing.T) {
	p := newPlant(t)
	const frames = 100
	p.start(p.config(worker, "far", nil))
	there := p.config(owner, "there", cameras(t, preprocess.Every, "gate", "yard"))
	other := p.start(there)
	here := p.config(owner, "here", cameras(t, preprocess.Every, "keep"))
	o := p.start(here)
	wait := p.film(p.drawn("here", "keep", preprocess.Every), frames, 0)
	more := here
	more.Cameras = cameras(t, preprocess.Every, "keep", "gate", "new")
	changes, err := o.Reconfigure(t.Context(), more)
	if !errors.Is(err, pipeline.ErrOwned) || !strings.Contains(err.Error(), "camera gate is owned already") || strings.Contains(err.Error(), "new") {
		t.Errorf("the error is %v", err)
	}
	if !slices.Equal(changes.Added, []string{"new"}) || len(changes.Removed)+len(changes.Changed)+len(changes.Models) > 0 {
		t.Errorf("changes %v", changes)
	}
	less := there
	less.Cameras = cameras(t, preprocess.Every, "yard")
	if _, err := other.Reconfigure(t.Context(), less); err != nil {
		t.Fatal(err)
	}
	changes, err = o.Reconfigure(t.Context(), more)
	if err != nil || !slices.Equal(changes.Added, []string{"gate"}) || len(changes.Removed)+len(changes.Changed)+len(changes.Models) > 0 {
		t.Errorf("changes %v, %v", changes, err)
	}
	wait()
	p.checkWhole("keep", frames)
}

// An owner that was taken for dead, because its machine slept, gives up the
// camera that another has by now, says so once, and keeps the others.
func TestAnOwnerThatSleptGivesIn(t *testing.T) {
	p := newPlant(t)
	const frames = 50
	p.start(p.config(worker, "far", nil))
	o := p.start(p.config(owner, "here", cameras(t, preprocess.Every, "gate", "keep")))
	leases, err := p.bus.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lease, err := leases.Find(t.Context(), "owner.gate")
	if err != nil || lease == nil {
		t.Fatalf("lease %v, %v", lease, err)
	}
	if _, err := leases.Replace(t.Context(), lease, bus.Holder{Instance: "other-1", Host: "other", PID: 7}); err != nil {
		t.Fatal(err)
	}
	p.await("the camera to be given up", func() bool { return len(o.Status().Cameras) == 1 })
	p.film(p.drawn("here", "keep", preprocess.Every), frames, 0)()
	p.checkWhole("keep", frames)
	if n := strings.Count(o.log.String(), "camera gate is owned already, by the instance other-1 on the host other"); n != 1 {
		t.Errorf("it says so %d times", n)
	}
	if now, err := leases.Find(t.Context(), "owner.gate"); err != nil || now == nil || now.Holder.Instance != "other-1" {
		t.Errorf("the lease is %+v, %v", now, err)
	}
}

// A lease that is gone, with the broker's store, is taken again.
func TestALostLeaseIsTakenAgain(t *testing.T) {
	p := newPlant(t)
	o := p.start(p.config(owner, "here", cameras(t, preprocess.Every, "gate")))
	leases, err := p.bus.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	find := func() *bus.Lease {
		lease, err := leases.Find(t.Context(), "owner.gate")
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}
	if err := leases.Return(t.Context(), find()); err != nil {
		t.Fatal(err)
	}
	p.await("the lease", func() bool { l := find(); return l != nil && l.Holder.Instance == o.Status().Instance })
	p.refused(p.config(owner, "there", cameras(t, preprocess.Every, "gate")), "camera gate is owned already")
}

// Of two owners on one host, each with cameras of its own, one that starts leaves
// what waits in the spool for the other's cameras.
func TestOwnersOfOneHostLeaveEachOthersSpool(t *testing.T) {
	p := newPlant(t)
	const frames = 40
	of := func(mine, others string) pipeline.Config {
		cfg := p.config(owner, "here", cameras(t, preprocess.Every, mine))
		cfg.Others = cameras(t, preprocess.Every, others)
		return cfg
	}
	b := p.start(of("b", "a"))
	p.film(p.drawn("here", "b", preprocess.Every), frames, 0)() // nobody infers: they wait in the spool
	b.stop()
	p.start(of("a", "b"))
	p.start(of("b", "a"))
	p.start(p.config(worker, "far", nil))
	p.checkWhole("b", frames)
}
