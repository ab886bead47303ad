package enginetest

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

// RunLeak loads, runs and closes a model again and again and fails when the
// process keeps growing by more than a small share of what it would with the
// model leaked. Heaps settle in steps, more so under the race detector, and do
// so once; a leak grows every time. So a series of rounds without growth is
// enough, and five in a row that grew are a leak. VEDETTE_SOAK=1 makes each ten
// times as long.
func RunLeak(t *testing.T, e engine.Engine) {
	rounds := 20
	if os.Getenv("VEDETTE_SOAK") != "" {
		rounds *= 10
	}
	onnx := onnxtest.ConvNet{Batch: -1, Size: 48, Layers: 3, Channels: 16, Classes: 10}.Marshal()
	cycle := func(n int) {
		for range n {
			m, err := e.Load(t.Context(), onnx, engine.LoadOptions{Input: models.Input{Width: 48, Height: 48}})
			if err != nil {
				t.Fatal(err)
			}
			for batch := 1; batch <= 2; batch++ {
				r, err := m.NewRunner(t.Context(), batch)
				if err != nil {
					t.Fatal(err)
				}
				for range 5 {
					if _, err := r.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cycle(rounds / 4)
	// A round touches more than 2 MB; runs and loads that leaked would show.
	limit := 0.3 * float64(rounds)
	before := residentMB(t)
	for range 5 {
		cycle(rounds)
		now := residentMB(t)
		t.Logf("%d rounds: %+.1f MB, from %.1f MB", rounds, now-before, before)
		if now-before <= limit {
			return
		}
		before = now
	}
	t.Errorf("the process keeps growing, each time by more than %.1f MB in %d rounds", limit, rounds)
}

// RunAllocations fails when a run allocates more than limit bytes.
func RunAllocations(t *testing.T, r engine.Runner, limit float64) {
	const runs = 20
	before := allocated()
	for range runs {
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	each := float64(allocated()-before) / runs
	t.Logf("%.0f bytes a run", each)
	if each > limit {
		t.Errorf("a run allocates %.0f bytes, more than %.0f", each, limit)
	}
}

// residentMB is the memory of the process after a collection.
func residentMB(t *testing.T) float64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("resident memory is only known on Linux")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatal("no VmRSS in /proc/self/status")
	return 0
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
