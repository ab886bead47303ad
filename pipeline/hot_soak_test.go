//go:build !cv

package pipeline_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// Models are changed again and again, each time to another file, on ONNX Runtime.
// No frame of a lossless camera is lost, and what a model takes comes back.
func TestSwapsLeaveNothing(t *testing.T) {
	if _, err := infer.Open(infer.EngineONNXRuntime, slog.New(slog.DiscardHandler)); errors.Is(err, infer.ErrNoLibrary) {
		testkit.Missing(t, err.Error())
	}
	warm, swaps := 3, 6
	if soaking() {
		warm, swaps = 40, 200
	}
	for name, apart := range map[string]bool{"one instance": false, "owner and workers apart": true} {
		t.Run(name, func(t *testing.T) { swapAgainAndAgain(t, apart, warm, swaps) })
	}
}

// swapAgainAndAgain changes a model of an instance, or of an owner and workers
// that share tensors by memory.
func swapAgainAndAgain(t *testing.T, apart bool, warm, swaps int) {
	p := newPlant(t)
	cams := cameras(t, preprocess.Every, "line")
	model := func(n int) pipeline.Model {
		m := revised([]int{128, 256, 512}[n%3], byte(n%100+1))
		m.Engine, m.Workers = infer.EngineONNXRuntime, 2
		return m
	}
	configs := func(n int) (all []pipeline.Config) {
		if !apart {
			return []pipeline.Config{p.both(cams, model(n))}
		}
		return []pipeline.Config{with(p.config(worker, "here", nil), model(n)), with(p.config(owner, "here", cams), model(n))}
	}
	var instances []*instance
	for _, cfg := range configs(0) {
		instances = append(instances, p.start(cfg))
	}
	w, o := instances[0], instances[len(instances)-1]
	end := p.filmUntil(p.drawn("here", "line", preprocess.Every), o, "line", 5*time.Millisecond)
	swap := func(n int) {
		t.Helper()
		for i, cfg := range configs(n) {
			changed(t, instances[i].revise(cfg), "changed", false)
		}
		inferred := o.counts("line").Inferred
		p.await("results", func() bool { return o.counts("line").Inferred > inferred+3 })
		p.await("the end of the old one", func() bool { return len(w.Status().Models) == 1 })
	}
	// settle waits until the memory for tensors of other sizes is let go.
	settle := func() footprint {
		t.Helper()
		if apart {
			p.await("the camera's ring and one of tensors, each with two ends", func() bool { return views(t) == 4 })
		}
		return settled(t)
	}
	for n := range warm {
		swap(n + 1)
	}
	before := settle()
	for n := range swaps {
		swap(warm + n + 1)
		if n%20 == 19 {
			t.Logf("after %d swaps: %+v", n+1, settled(t))
		}
	}
	after := settle()
	frames := end()
	p.checkWhole("line", frames)
	t.Logf("%d swaps: %.1f MiB before, %.1f after; %d and %d descriptors, %d and %d goroutines, %d and %d views of rings; %d frames, each with one result",
		swaps, float64(before.private)/(1<<20), float64(after.private)/(1<<20), before.files, after.files, before.goroutines, after.goroutines, before.rings, after.rings, frames)
	before.returned(t, after)
}
