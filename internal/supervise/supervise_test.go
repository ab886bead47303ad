package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/supervise"
	"github.com/vedette-io/vedette/internal/testkit"
)

// childArg makes this program a process that is supervised, parentArg one that
// supervises two of them until it dies.
const (
	childArg  = "supervised"
	parentArg = "supervise"
)

// job is what a test has a process do.
type job struct {
	Once  bool   // say what follows at once, and end
	Fatal bool   // it would not do better another time
	Done  bool   // everything is done
	Error string // why it ends
	Crash bool   // end without a word
	Deaf  bool   // take no notice of SIGTERM
	Quiet bool   // never say that it is at work
	Big   string
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		os.Exit(child())
	}
	if len(os.Args) > 1 && os.Args[1] == parentArg {
		s := supervise.New(supervise.Config{
			Processes: []supervise.Process{process("a", job{}), process("b", job{Deaf: true})},
			Log:       slog.New(slog.DiscardHandler), Tell: func(string, ...any) {},
		})
		_ = s.Run(context.Background())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func process(name string, j job) supervise.Process {
	return supervise.Process{Name: name, Args: []string{childArg}, Job: func() any { return j }}
}

func child() int {
	var j job
	p, err := supervise.Join(&j)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if j.Crash {
		return 4
	}
	if !j.Quiet {
		_ = p.Report(supervise.Report{Up: true, Config: []byte(j.Big)})
	}
	end := &supervise.End{Done: j.Done, Fatal: j.Fatal, Error: j.Error}
	if j.Once {
		_ = p.Report(supervise.Report{End: end})
		return 1
	}
	commands, gone := make(chan string), make(chan struct{})
	go func() {
		p.Obey(func(c string) { commands <- c })
		close(gone)
	}()
	for {
		select {
		case c := <-commands:
			_ = p.Report(supervise.Report{Config: []byte("heard " + c)})
		case <-stop:
			if !j.Deaf {
				_ = p.Report(supervise.Report{End: end})
				return 0
			}
		case <-gone:
			return 0
		}
	}
}

// house is a supervisor under test and what it says.
type house struct {
	*supervise.Supervisor
	stop context.CancelFunc
	done chan error

	mu    sync.Mutex
	lines []string
	heard []string
	ends  []string // names, in the order in which they were stopped
}

func run(t *testing.T, processes ...supervise.Process) *house {
	h := &house{done: make(chan error, 1)}
	h.Supervisor = supervise.New(supervise.Config{
		Processes: processes, Log: slog.New(slog.DiscardHandler),
		Command: func(args ...string) *exec.Cmd {
			cmd := exec.Command("/proc/self/exe", args...)
			cmd.Stderr = os.Stderr
			return cmd
		},
		Pauses: supervise.Pauses{Min: time.Millisecond, Max: 20 * time.Millisecond, Settled: time.Hour, Stop: 2 * time.Second},
		Tell: func(format string, args ...any) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lines = append(h.lines, fmt.Sprintf(format, args...))
		},
		Heard: func(name string, r supervise.Report) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.heard = append(h.heard, name+" "+string(r.Config))
		},
		Changed: func(s supervise.Status) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if s.State == supervise.Stopped {
				h.ends = append(h.ends, s.Name)
			}
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	h.stop = stop
	go func() { h.done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("it said %q", h.said())
		}
	})
	return h
}

func (h *house) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (h *house) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
		return nil
	}
}

// TestRestart kills one of two processes: it is started again, in a line, and the
// other one stays.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := run(t, process("a", job{}), process("b", job{}))
	await(t, "both", func() bool { return h.Ready() == nil })
	before := h.Status()
	if err := syscall.Kill(before[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "another a", func() bool { return h.Status()[0].Restarts == 1 && h.Ready() == nil })
	after := h.Status()
	if after[0].PID == before[0].PID || after[1].PID != before[1].PID || after[1].Restarts != 0 || after[0].Reason != "signal: killed" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if said := h.said(); len(said) != 1 || !strings.Contains(said[0], fmt.Sprintf("a (process %d) ended: signal: killed; it is started again", before[0].PID)) {
		t.Errorf("it said %q", said)
	}
	h.stop()
	if err := h.ended(t); err != nil {
		t.Error(err)
	}
	for _, s := range h.Status() {
		if s.State != supervise.Stopped || s.PID != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestFailing has a process that dies at once and for ever: it is told of a few
// times, then in one sentence that it is failing, and it is tried on.
func TestFailing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job    job
		reason string
	}{
		"without a word":      {job{Crash: true}, "exit status 4"},
		"with an error":       {job{Quiet: true, Once: true, Error: "the engine is broken\nand more"}, "the engine is broken; and more"},
		"at work for a blink": {job{Once: true, Fatal: true, Error: "no model"}, "no model"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := run(t, process("bad", c.job), process("good", job{}))
			await(t, "twelve restarts", func() bool { return h.Status()[0].Restarts >= 12 })
			said := h.said()
			if len(said) != 5 {
				t.Fatalf("it said %q", said)
			}
			for i, line := range said {
				if !strings.Contains(line, c.reason) || strings.Contains(line, "degraded") != (i == 4) {
					t.Errorf("line %d is %q", i, line)
				}
			}
			if s := h.Status()[1]; s.State != supervise.Up || s.Restarts != 0 {
				t.Errorf("the other one: %+v", s)
			}
			h.stop()
			if err := h.ended(t); err != nil && c.job.Error == "" {
				t.Error(err)
			}
		})
	}
}

// TestFatal has a process that never will be at work: everything ends with it.
func TestFatal(t *testing.T) {
	t.Parallel()
	h := run(t, process("good", job{}), process("bad", job{Quiet: true, Once: true, Fatal: true, Error: "no such model"}))
	var ended *supervise.EndedError
	if err := h.ended(t); !errors.As(err, &ended) || !ended.Fatal || ended.Name != "bad" || err.Error() != "no such model" {
		t.Errorf("it ended with %v", err)
	}
	if said := h.said(); len(said) > 0 {
		t.Errorf("it said %q", said)
	}
}

// TestDone has a process whose work comes to its end: the others are stopped after
// it, in their turns.
func TestDone(t *testing.T) {
	t.Parallel()
	first, second := process("first", job{Once: true, Done: true, Error: "one camera failed"}), process("second", job{})
	third := process("third", job{})
	second.Turn, third.Turn = 1, 2
	h := run(t, third, second, first)
	if err := h.ended(t); err == nil || err.Error() != "one camera failed" {
		t.Errorf("it ended with %v", err)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(h.ends, want) {
		t.Errorf("stopped were %q, want %q", h.ends, want)
	}
}

// TestDeaf has a process that takes no notice: it is killed, and that is said.
func TestDeaf(t *testing.T) {
	t.Parallel()
	h := run(t, process("deaf", job{Deaf: true}), process("other", job{}))
	await(t, "both", func() bool { return h.Ready() == nil })
	id := proc.Of(h.Status()[0].PID)
	h.stop()
	if err := h.ended(t); err != nil {
		t.Error(err)
	}
	if said := h.said(); len(said) != 1 || !strings.Contains(said[0], "deaf (process ") || !strings.Contains(said[0], "killed") {
		t.Errorf("it said %q", said)
	}
	if id != "" && !proc.Gone(id) {
		t.Error("it is there still")
	}
}

// TestWords has commands and a job that is larger than a pipe reach a process.
func TestWords(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1<<20)
	h := run(t, process("a", job{Big: big}), process("b", job{}))
	await(t, "both", func() bool { return h.Ready() == nil })
	h.Command("reload")
	await(t, "answers", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Contains(h.heard, "a "+big) && slices.Contains(h.heard, "a heard reload") && slices.Contains(h.heard, "b heard reload")
	})
}

// TestNobodyIsLeft kills a supervisor in every way: its processes go with it, also
// one that is stopped and one that takes no notice of signals.
func TestNobodyIsLeft(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			parent := exec.Command("/proc/self/exe", parentArg)
			parent.Env = append(os.Environ(), "GOTRACEBACK=none")
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = parent.Process.Kill()
				_ = parent.Wait() // it was killed
			}()
			var children []int
			await(t, "two processes", func() bool {
				children = slices.DeleteFunc(testkit.Children(t, parent.Process.Pid), func(pid int) bool {
					line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					return !strings.Contains(string(line), childArg)
				})
				return len(children) == 2
			})
			ids := []string{proc.Of(children[0]), proc.Of(children[1])}
			if err := syscall.Kill(children[0], syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if err := parent.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()
			for _, id := range ids {
				await(t, "the end of a process", func() bool { return proc.Gone(id) })
			}
		})
	}
}
