package ingest_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testkit"
)

// used is what this process has open.
type used struct {
	files, goroutines, children, mats int
	rings                             int // descriptors and mappings of rings
}

func usage(t *testing.T) used {
	t.Helper()
	u := used{goroutines: runtime.NumGoroutine(), children: len(testkit.Children(t, os.Getpid())), mats: cv.OpenMats()}
	const ring = "memfd:vedette-ring"
	files := testkit.OpenFiles(t)
	u.files = len(files)
	for _, to := range files {
		if strings.Contains(to, ring) {
			u.rings++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	u.rings += strings.Count(string(maps), ring)
	return u
}

// resident is how many bytes the process has in memory, garbage aside.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// exceeds reports whether anything that is counted grew by more than slack.
func (u used) exceeds(before used, slack int) bool {
	return u.files > before.files+slack || u.goroutines > before.goroutines+slack || u.children > before.children+slack ||
		u.rings > before.rings+slack || u.mats > before.mats+slack
}

// settle waits until what is open is no more than before, but for slack: ends
// of connections and processes take their time.
func settle(t *testing.T, what string, before used, slack int) {
	t.Helper()
	now := usage(t)
	for deadline := time.Now().Add(10 * time.Second); now.exceeds(before, slack) && time.Now().Before(deadline); now = usage(t) {
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: %+v, before %+v", what, now, before)
	if now.exceeds(before, slack) {
		t.Errorf("%s something is left open: %+v, before %+v, and %d more are allowed", what, now, before, slack)
	}
}

// leaks reconnects cameras together, round after round, and fails if each
// reconnect leaves something open: while they run, when it is closed with the
// camera, and afterwards, when it never is. It must not run beside other
// tests, as it counts what the process has open.
func leaks(t *testing.T, cameras []*camera, rounds int, reconnect func(n int, c *camera)) {
	t.Helper()
	// The garbage collector closes files that were forgotten.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	atRest := usage(t)
	for _, c := range cameras {
		c.start()
	}
	epochs := make([]string, len(cameras))
	fresh := func() {
		for i, c := range cameras {
			c.await("a picture of a new epoch", func() bool {
				n := len(c.frames)
				return n > 0 && !c.frames[n-1].End && c.frames[n-1].Epoch != epochs[i]
			})
			c.mu.Lock()
			epochs[i] = c.frames[len(c.frames)-1].Epoch
			c.mu.Unlock()
		}
	}
	fresh()
	var running used
	var memory int
	for n := range rounds + 1 {
		for _, c := range cameras {
			reconnect(n, c)
		}
		fresh()
		if n == 0 { // what is opened once is open
			running, memory = usage(t), resident(t)
		}
	}
	reconnects := rounds * len(cameras)
	settle(t, fmt.Sprintf("after %d reconnects", reconnects), running, reconnects/3)
	growth := resident(t) - memory
	for _, c := range cameras {
		c.mu.Lock()
		growth -= len(c.frames) << 10 // what the test itself notes
		c.mu.Unlock()
	}
	t.Logf("memory grew by %d KiB in %d reconnects", growth>>10, reconnects)
	// A build without OpenCV is run with the race detector, which takes memory
	// for what it notes.
	if _, err := cv.Version(); err == nil && growth > 30<<20 {
		t.Errorf("memory grew by %d MiB in %d reconnects", growth>>20, reconnects)
	}
	for _, c := range cameras {
		_ = c.stop() // its error is the end of its context
		if err := c.close(); err != nil {
			t.Error(err)
		}
		c.checkEpochs(rounds + 2)
	}
	settle(t, "at rest", atRest, 0)
}

// Restarts of capture processes leak nothing. VEDETTE_SOAK=1 runs the long form.
func TestRestartsLeakNothing(t *testing.T) {
	rounds := 6
	if os.Getenv("VEDETTE_SOAK") != "" {
		rounds = 100
	}
	var cameras []*camera
	for i := range 3 {
		cameras = append(cameras, newCamera(t, ingest.Config{ID: fmt.Sprintf("cam%d", i), MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
			Source: source(t, "synthetic://bars?width=64&height=48&fps=100")}))
	}
	leaks(t, cameras, rounds, func(n int, c *camera) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = syscall.Kill(c.child(), []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGTERM}[n%3])
	})
}
