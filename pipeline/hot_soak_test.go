package pipeline_test

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// soaking reports whether tests take their long form ("make soak").
func soaking() bool { return os.Getenv("VEDETTE_SOAK") != "" }

// footprint is what a process holds.
type footprint struct {
	private           int64 // bytes
	files, goroutines int
	rings             int // views of pictures in shared memory
}

// settled is the least of what this process holds within a second: what is under
// way for a moment does not count.
func settled(t *testing.T) footprint {
	t.Helper()
	least := footprint{1 << 62, 1 << 30, 1 << 30, 1 << 30}
	for range 20 {
		debug.FreeOSMemory()
		private, err := proc.Private(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		least.private = min(least.private, private)
		least.files = min(least.files, len(testkit.OpenFiles(t)))
		least.goroutines = min(least.goroutines, runtime.NumGoroutine())
		least.rings = min(least.rings, strings.Count(string(maps), "memfd:"))
		time.Sleep(50 * time.Millisecond)
	}
	return least
}

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

// returned checks that what was held before is about what is held now. Requests
// and announcements under way have goroutines, and a connection may be made anew.
//
// Memory counts in the long form alone: it is not given back to the byte, since
// the C library, the garbage collector and the broker, which the test has in the
// same process, keep some for later: 10 to 30 MiB, without growing, and more under
// the race detector. Against that, had each of 200 swaps left no more than the
// smallest model's inputs behind (0.4 MB), they would make 75 MiB, and with the
// other models' or with sessions several hundred.
func (before footprint) returned(t *testing.T, after footprint) {
	t.Helper()
	const slack = 40 << 20
	if soaking() && after.private > before.private+slack {
		t.Errorf("%d MiB more than before are in use", (after.private-before.private)>>20)
	}
	if after.files > before.files+2 || after.goroutines > before.goroutines+5 || after.rings > before.rings {
		t.Errorf("held before: %+v, after: %+v", before, after)
	}
}
