//go:build cv

package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// firstIs is a recorder's command that makes the first child troublesome.
func firstIs(kind string) func(int) *exec.Cmd {
	return func(n int) *exec.Cmd {
		if n > 0 {
			return nil
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{troubleEnv + "=" + kind}
		return cmd
	}
}

// seen waits for a state whose reason has some words, and returns it.
func (v *viewer) seen(words string) ingest.State {
	v.t.Helper()
	var s ingest.State
	v.await("a state with the reason "+words, func() bool {
		i := slices.IndexFunc(v.states, func(s ingest.State) bool { return strings.Contains(s.Reason, words) })
		if i >= 0 {
			s = v.states[i]
		}
		return i >= 0
	})
	return s
}

// eventually waits for what does not show in frames and states.
func (v *viewer) eventually(what string, ok func() bool) {
	v.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			v.t.Fatalf("timed out waiting for %s", what)
		}
	}
}

// allAreNice reports whether every thread of a process lets others go first.
func allAreNice(t *testing.T, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		const nice = 19 - 3 // of the fields behind the name
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if fields[nice] != "10" {
			return false
		}
	}
	return len(files) > 0
}

// switched checks what came over a planned restart: another epoch, and at most
// a short gap in what the camera showed.
func (v *viewer) switched() {
	v.t.Helper()
	v.await("pictures of two epochs", func() bool {
		n := len(v.sights)
		return n > 10 && v.sights[n-10].frame.Epoch != v.sights[0].frame.Epoch
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	checkIdentity(v.t, v.sights)
	i := slices.IndexFunc(v.sights, func(s sight) bool { return s.frame.Epoch != v.sights[0].frame.Epoch })
	before, after := v.sights[i-1], v.sights[i]
	v.t.Logf("planned restart: the last picture before shows %d, the first after %d, %v later", before.number, after.number, after.at.Sub(before.at))
	if after.number > before.number+testFPS { // it is one or two, or none at all
		v.t.Errorf("from picture %d to %d in a planned restart", before.number, after.number)
	}
	for _, s := range v.states {
		if s.Phase == ingest.Offline {
			v.t.Errorf("offline in a planned restart: %s", s.Reason)
		}
	}
	for _, f := range v.frames {
		if f.End && !strings.Contains(f.Reason, "planned restart") {
			v.t.Errorf("the epoch ended for the reason %q", f.Reason)
		}
	}
	v.checkEpochs(2)
	if last := v.states[len(v.states)-1]; last.Planned == 0 || last.Reconnects != 0 {
		v.t.Errorf("last state: %+v", last)
	}
}

// Children that take too much are replaced or ended. A camera beside them does
// not notice: it loses no frame.
func TestTroubledChildren(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, cfg ingest.Config, command func(int) *exec.Cmd) *viewer {
		t.Helper()
		cfg.Delivery = ingest.Every
		v := newViewer(t, rtsp(t, testcam.Options{}).URL(), cfg)
		v.command = command
		v.watch()
		v.more(1)
		return v
	}
	beside := start(t, ingest.Config{ID: "beside", Slots: 62, Silence: 20 * time.Second}, nil)
	t.Run("beside", func(t *testing.T) {
		for kind, judge := range map[string]func(*viewer){
			leaking:  judgeLeak,
			burning:  judgeBurn,
			flooding: judgeFlood,
			runaway:  judgeRunaway,
		} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				cfg := ingest.Config{ID: kind, Memory: 128 << 20}
				if kind == burning {
					cfg.CPU = 0.2
				}
				judge(start(t, cfg, firstIs(kind)))
			})
		}
	})
	beside.more(5)
	beside.mu.Lock()
	defer beside.mu.Unlock()
	checkIdentity(t, beside.sights)
	var worst time.Duration
	for i, s := range beside.sights {
		if s.frame.Seq != uint64(i) || s.frame.Epoch != beside.sights[0].frame.Epoch || s.frame.SourceGap != 0 {
			t.Fatalf("picture %d of the camera beside: %+v", i, s.frame)
		}
		if i > 0 {
			worst = max(worst, s.frame.CapturedAt.Sub(beside.sights[i-1].frame.CapturedAt.Time))
		}
	}
	t.Logf("the camera beside: %d pictures, none lost, %v at most from one to the next (two intervals: %v)", len(beside.sights), worst, 2*time.Second/testFPS)
	if worst > 2*time.Second+busy {
		t.Errorf("the camera beside had a gap of %v", worst)
	}
}

func judgeLeak(v *viewer) {
	v.seen("planned restart: memory is at")
	v.switched()
}

func judgeBurn(v *viewer) {
	v.mu.Lock()
	pid := v.child()
	v.mu.Unlock()
	v.eventually("a lower priority", func() bool { return allAreNice(v.t, pid) })
	// On a busy machine it gets no more than its limit from now on, and may
	// stay: then there is nothing to replace it for.
	replaced := func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.states[len(v.states)-1].Planned > 0
	}
	for began := time.Now(); !replaced() && time.Since(began) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
	}
	if !replaced() {
		v.t.Log("a child that burns was left what others do not need, and stayed")
		return
	}
	v.seen("planned restart: it uses")
	v.switched()
}

func judgeFlood(v *viewer) {
	s := v.seen(ingest.ErrMemory.Error())
	if !strings.Contains(s.Reason, "its limit is 128 MiB") || !errors.Is(s.Err, ingest.ErrMemory) {
		v.t.Errorf("state: %+v", s)
	}
	v.reconnected()
	v.t.Logf("a child that leaks too fast to be replaced: %s", s.Reason)
}

func judgeRunaway(v *viewer) {
	v.seen(ingest.ErrMemory.Error())
	v.reconnected()
	v.mu.Lock()
	defer v.mu.Unlock()
	peak := v.cmds[0].ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	v.t.Logf("a child that ran away from a limit of 128 MiB took %d MiB at most", peak)
	if peak > 1024 {
		v.t.Errorf("it took %d MiB", peak)
	}
}

// reconnected waits until the camera is back, once.
func (v *viewer) reconnected() {
	v.t.Helper()
	v.await("the camera to be back", func() bool {
		last := v.states[len(v.states)-1]
		return last.Phase == ingest.Online && last.Reconnects == 1
	})
}

// A camera that serves one reader at a time is restarted with a gap.
func TestPlannedRestartOfASingleReader(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{Readers: 1})
	v := newViewer(t, cam.URL(), ingest.Config{Memory: 128 << 20})
	v.command = firstIs(leaking)
	v.watch()
	s := v.seen("planned restart: memory is at")
	v.await("pictures of another epoch", func() bool {
		n := len(v.sights)
		return n > 10 && v.sights[n-10].frame.Epoch != v.sights[0].frame.Epoch
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	checkIdentity(t, v.sights)
	v.checkEpochs(2)
	t.Logf("states: %s; then %+v", phasesOf(v.states), s)
}

// A file that is read by a leaking process is read on by another: nothing is
// lost and nothing comes twice.
func TestPlannedRestartOfAFile(t *testing.T) {
	t.Parallel()
	const frames = 400
	path := camtest.File(t, clip.Spec{Width: 320, Height: 180, FPS: 25, Frames: frames})
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Memory: 128 << 20, Source: source(t, path)})
	c.command = firstIs(leaking)
	c.each = func(f *vedette.Frame, pix []byte) {
		c.readsItsNumber(f, pix)
		if len(c.cmds) == 1 {
			time.Sleep(50 * time.Millisecond) // a consumer that needs 20 s for all, with the first process
		}
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(frames)
	last := c.states[len(c.states)-1]
	t.Logf("states: %s", phasesOf(c.states))
	if last.Planned != 1 || last.Restarts != 0 || len(c.cmds) != 2 {
		t.Errorf("%d processes, last state %+v", len(c.cmds), last)
	}
}

func phasesOf(states []ingest.State) string {
	var b strings.Builder
	for _, s := range states {
		fmt.Fprintf(&b, "%s(%s) ", s.Phase, s.Reason)
	}
	return b.String()
}

// What a capture process is given by default is enough for what there is, and
// it is the first to go when the host is out of memory.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{320, 180}, {1920, 1080}, {3840, 2160}} {
		c := newCamera(t, ingest.Config{Source: source(t, fmt.Sprintf("synthetic://bars?width=%d&height=%d&fps=5", size[0], size[1]))})
		c.start()
		c.await("pictures", func() bool { return len(c.frames) > 3 })
		c.mu.Lock()
		pid := c.child()
		c.mu.Unlock()
		for file, want := range map[string]string{"limits": "Max core file size        0", "oom_score_adj": "500"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s of the child: %v %s", file, err, b)
			}
			if line, _, ok := strings.Cut(string(b)[max(0, strings.Index(string(b), "Max data size")):], "\n"); ok && file == "limits" {
				t.Logf("%v: %s", size, line)
				if strings.Contains(line, "unlimited         unlimited") {
					t.Error("the child's memory is not limited")
				}
			}
		}
		_ = c.stop()
	}
}
