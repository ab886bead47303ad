package supervise

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vedette-io/vedette/internal/proc"
)

// running is a process that was started.
type running struct {
	cmd    *exec.Cmd
	exited chan error
	heard  chan struct{} // closed when it has said all

	sending sync.Mutex // keeps lines whole
	stdin   *os.File
	reports *os.File

	mu  sync.Mutex // guards what follows
	end *End
}

// start starts the process of a slot.
func (s *Supervisor) start(sl *slot) (r *running, err error) {
	r = &running{cmd: s.command(sl.Args...), exited: make(chan error, 1), heard: make(chan struct{})}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C in the terminal is the supervisor's to handle
		Pdeathsig: syscall.SIGKILL,
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inR.Close(), inW.Close())
	}
	r.cmd.Stdin, r.cmd.ExtraFiles = inR, []*os.File{outW}
	r.stdin, r.reports = inW, outR
	s.launching.Lock()
	err = s.launcher.Start(r.cmd)
	s.launching.Unlock()
	err = errors.Join(err, inR.Close(), outW.Close()) // the process's ends
	if err != nil {
		return nil, errors.Join(err, inW.Close(), outR.Close())
	}
	go func() { r.exited <- r.cmd.Wait() }()
	go s.listen(sl, r)
	// In a goroutine: a long job fills the pipe before the process reads.
	go r.send(sl.Job())
	return r, nil
}

// send writes a line to the process. One that is gone needs nothing more, so that a
// failure is no matter.
func (r *running) send(v any) {
	r.sending.Lock()
	defer r.sending.Unlock()
	_ = proc.WriteLine(r.stdin, v)
}

// listen takes what the process reports, until it closes its end.
func (s *Supervisor) listen(sl *slot, r *running) {
	defer close(r.heard)
	for sc := newScanner(r.reports); sc.Scan(); {
		var rep Report
		if err := json.Unmarshal(sc.Bytes(), &rep); err != nil {
			s.cfg.Log.Warn("report not understood", "process", sl.Name, "error", err)
			continue
		}
		if rep.End != nil {
			r.mu.Lock()
			r.end = rep.End
			r.mu.Unlock()
		}
		if rep.Up {
			s.cameUp(sl, r, rep.Address)
		}
		if s.cfg.Heard != nil {
			s.cfg.Heard(sl.Name, rep)
		}
	}
}

// afterwards is how long the last words of a process that has ended may take to
// arrive, should somebody else hold its pipe.
const afterwards = time.Second

// settle takes the last words of a process that has exited.
func (r *running) settle() *End {
	select {
	case <-r.heard:
	case <-time.After(afterwards):
	}
	_ = r.stdin.Close() // also ends what is being sent
	_ = r.reports.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// kill ends the process by force. It fails only when it has just ended.
func (r *running) kill() { _ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) }

// reason says in a few words why a process ended.
func reason(end *End, exit error) string {
	switch {
	case end != nil && end.Error != "":
		return strings.ReplaceAll(strings.TrimSpace(end.Error), "\n", "; ")
	case exit != nil:
		return exit.Error() // "signal: killed", "exit status 2"
	}
	return "it ended by itself"
}
