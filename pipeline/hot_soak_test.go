//go:build !cv

package pipeline_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// Models are changed again and again, each time to another file, on ONNX Runtime.
// No frame of a lossless camera is lost, and what a model takes comes back.
func TestSwapsLeaveNothing(t *testing.T) {
	if _, err := infer.Open(infer.EngineONNXRuntime, slog.New(slog.DiscardHandler)); errors.Is(err, infer.ErrNoLibrary) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	warm, swaps := 3, 9
	if soaking() {
		warm, swaps = 40, 200
	}
	p := newPlant(t)
	cams := cameras(t, preprocess.Every, "line")
	model := func(n int) pipeline.Model {
		m := revised([]int{128, 256, 512}[n%3], byte(n%100+1))
		m.Engine, m.Workers = infer.EngineONNXRuntime, 2
		return m
	}
	i := p.start(p.both(cams, model(0)))
	end := p.filmUntil(p.drawn("here", "line", preprocess.Every), i, "line", 5*time.Millisecond)
	swap := func(n int) {
		t.Helper()
		changed(t, i.revise(p.both(cams, model(n))), "changed", false)
		inferred := i.counts("line").Inferred
		p.await("results", func() bool { return i.counts("line").Inferred > inferred+3 })
		p.await("the end of the old one", func() bool { return len(i.Status().Models) == 1 })
	}
	for n := range warm {
		swap(n + 1)
	}
	before := settled(t)
	for n := range swaps {
		swap(warm + n + 1)
		if n%20 == 19 {
			t.Logf("after %d swaps: %+v", n+1, settled(t))
		}
	}
	after := settled(t)
	frames := end()
	p.checkWhole("line", frames)
	t.Logf("%d swaps: %.1f MiB before, %.1f after; %d and %d descriptors, %d and %d goroutines, %d and %d views of rings; %d frames, each with one result",
		swaps, float64(before.private)/(1<<20), float64(after.private)/(1<<20), before.files, after.files, before.goroutines, after.goroutines, before.rings, after.rings, frames)
	before.returned(t, after)
}
