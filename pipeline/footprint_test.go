package pipeline_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testkit"
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
