package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/proc"
)

// Supervisor keeps processes running. Make it with [New].
type Supervisor struct {
	cfg       Config
	command   func(args ...string) *exec.Cmd
	launching sync.Mutex // held while a process is started
	launcher  *proc.Launcher
	slots     []*slot
	finish    context.CancelCauseFunc

	mu   sync.Mutex // guards what follows, and that of the slots
	errs []error
}

// slot is the place of a process.
type slot struct {
	Process
	stopped chan struct{}

	now      *running // nil: there is none
	retry    backoff.Backoff
	status   Status
	everUp   bool
	failures int // deaths in a row
}

// errDone ends a run whose work is done.
var errDone = errors.New("everything is done")

// New makes a supervisor; nothing is started before [Supervisor.Run].
func New(cfg Config) *Supervisor {
	p := &cfg.Pauses
	p.Min, p.Max = cmp.Or(p.Min, minPause), cmp.Or(p.Max, maxPause)
	p.Settled, p.Stop = cmp.Or(p.Settled, settled), cmp.Or(p.Stop, stopTimeout)
	s := &Supervisor{cfg: cfg, command: cfg.Command}
	if s.command == nil {
		s.command = self
	}
	for _, pr := range cfg.Processes {
		s.slots = append(s.slots, &slot{
			Process: pr, retry: backoff.Backoff{Min: p.Min, Max: p.Max}, stopped: make(chan struct{}),
			status: Status{Name: pr.Name, State: Starting, Since: vedette.At(time.Now())},
		})
	}
	return s
}

// self starts this program again. /proc/self/exe stays right when the file was
// replaced by a newer version meanwhile.
func self(args ...string) *exec.Cmd { return exec.Command("/proc/self/exe", args...) }

// Run keeps the processes running until ctx ends, one says that the work is done,
// or one that never was at work says that it never will be. Then all are stopped.
// The error joins those of their ends. Call it once.
func (s *Supervisor) Run(ctx context.Context) error {
	s.launcher = proc.NewLauncher()
	defer s.launcher.Close()
	ctx, s.finish = context.WithCancelCause(ctx)
	defer s.finish(nil)
	var all sync.WaitGroup
	for _, sl := range s.slots {
		all.Go(func() {
			defer close(sl.stopped)
			s.keep(ctx, sl)
		})
	}
	all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// keep keeps one process running.
func (s *Supervisor) keep(ctx context.Context, sl *slot) {
	defer s.change(sl, func(st *Status) { st.State, st.PID = Stopped, 0 })
	for {
		r, err := s.start(sl)
		var end *End
		if err == nil {
			s.mu.Lock()
			sl.now = r
			s.mu.Unlock()
			s.change(sl, func(st *Status) { st.State, st.PID = cmp.Or(up(st.State), Starting), r.cmd.Process.Pid })
			select {
			case err = <-r.exited:
				end = r.settle()
			case <-ctx.Done():
				s.stop(sl, r)
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		pause, goOn := s.died(sl, end, err)
		if !goOn {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// up keeps what a process said of itself before it was noted that it was started.
func up(state string) string {
	if state == Up {
		return Up
	}
	return ""
}

// cameUp notes that a process is at work.
func (s *Supervisor) cameUp(sl *slot, r *running, address string) {
	s.mu.Lock()
	sl.everUp = true
	s.mu.Unlock()
	s.change(sl, func(st *Status) { st.State, st.Address = Up, address })
	time.AfterFunc(s.cfg.Pauses.Settled, func() { s.settled(sl, r) })
}

// settled forgets how often a process died, if it is at work still.
func (s *Supervisor) settled(sl *slot, r *running) {
	s.mu.Lock()
	same, failing := sl.now == r, sl.failures >= failingAfter
	if same {
		sl.failures = 0
		sl.retry.Reset()
	}
	s.mu.Unlock()
	if same && failing {
		s.cfg.Tell("%s is at work again", sl.Name)
	}
}

// died deals with the end of a process: whether it is started again, and when.
func (s *Supervisor) died(sl *slot, end *End, exit error) (pause time.Duration, goOn bool) {
	why := reason(end, exit)
	s.mu.Lock()
	sl.now = nil
	sl.failures++
	failures, everUp, pause := sl.failures, sl.everUp, sl.retry.Next()
	s.mu.Unlock()
	if end != nil && (end.Done || end.Fatal && !everUp) {
		if end.Error != "" {
			s.failed(&EndedError{Name: sl.Name, Text: end.Error, Fatal: end.Fatal})
		}
		s.finish(errDone)
		return 0, false
	}
	state := Waiting
	if failures >= failingAfter {
		state = Failing
	}
	pid := 0
	s.change(sl, func(st *Status) {
		pid = st.PID
		st.State, st.PID, st.Reason, st.Address = state, 0, why, ""
		st.Restarts++
	})
	switch {
	case failures < failingAfter:
		s.cfg.Tell("%s (process %d) ended: %s; it is started again in %.1f s", sl.Name, pid, why, pause.Seconds())
	case failures == failingAfter: // then it is quiet until something changes
		s.cfg.Tell("%s ended %d times in a row, now by: %s; the plant is degraded, and it is tried again every %.0f s at most",
			sl.Name, failures, why, s.cfg.Pauses.Max.Seconds())
	default:
		s.cfg.Log.Info("process ended again", "process", sl.Name, "reason", why, "times", failures)
	}
	return pause, true
}

// stop ends a process, those before it first.
func (s *Supervisor) stop(sl *slot, r *running) {
	defer func() {
		s.mu.Lock()
		sl.now = nil
		s.mu.Unlock()
	}()
	last := time.After(s.cfg.Pauses.Stop)
	turn := time.After(s.cfg.Pauses.Stop * time.Duration(sl.Turn) / time.Duration(s.turns()))
wait:
	for _, other := range s.slots {
		if other.Turn >= sl.Turn {
			continue
		}
		select {
		case <-other.stopped:
		case <-turn:
			break wait
		}
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // it fails only when it has just ended
	var exit error
	select {
	case exit = <-r.exited:
	case <-last:
		s.cfg.Tell("%s (process %d) does not stop; it is killed", sl.Name, r.cmd.Process.Pid)
		r.kill()
		select {
		case exit = <-r.exited:
		case <-time.After(afterwards): // stuck in the kernel
			exit = fmt.Errorf("process %d cannot be killed", r.cmd.Process.Pid)
		}
	}
	end := r.settle()
	if end != nil && end.Error != "" {
		s.failed(&EndedError{Name: sl.Name, Text: end.Error})
	} else if end == nil && exit != nil {
		s.cfg.Log.Warn("process ended without a word", "process", sl.Name, "reason", exit)
	}
}

// turns is in how many turns the processes are stopped.
func (s *Supervisor) turns() int {
	most := 0
	for _, sl := range s.slots {
		most = max(most, sl.Turn)
	}
	return most + 1
}

func (s *Supervisor) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// change notes something about a process and tells of it.
func (s *Supervisor) change(sl *slot, apply func(*Status)) {
	s.mu.Lock()
	before := sl.status.State
	apply(&sl.status)
	if sl.status.State != before {
		sl.status.Since = vedette.At(time.Now())
	}
	now := sl.status
	s.mu.Unlock()
	if s.cfg.Changed != nil {
		s.cfg.Changed(now)
	}
}

// Status says of each process how it is.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, sl := range s.slots {
		all = append(all, sl.status)
	}
	return all
}

// Ready says which process is not at work; nil: all are.
func (s *Supervisor) Ready() error {
	for _, st := range s.Status() {
		if st.State != Up {
			return fmt.Errorf("%s is %s", st.Name, st.State)
		}
	}
	return nil
}

// Command sends a command to each process that is there.
func (s *Supervisor) Command(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range s.slots {
		if sl.now != nil {
			go sl.now.send(command)
		}
	}
}
