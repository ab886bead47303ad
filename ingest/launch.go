package ingest

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/vedette-io/vedette/internal/proc"
)

// selfCommand starts this program again. /proc/self/exe stays right when the
// file was replaced by a newer version meanwhile.
func selfCommand() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "vedette-capture"
	return cmd
}

// newSession starts a child, perhaps one that is to take over from another, or
// takes the one that waits.
func (c *Camera) newSession(standby bool) (*session, error) {
	s := c.waiting
	if c.waiting = nil; s != nil && len(s.exited) > 0 { // something killed it
		s.stop()
		s = nil
	}
	if s == nil {
		var err error
		if s, err = c.launch(); err != nil {
			return nil, err
		}
	}
	s.assign(standby)
	return s, nil
}

// launch starts a child that waits for its job.
func (c *Camera) launch() (*session, error) {
	s := &session{c: c, events: make(chan event), quit: make(chan struct{}), exited: make(chan error, 1)}
	return s, s.start()
}

// assign gives the child its job.
func (s *session) assign(standby bool) {
	s.job, s.standby, s.started = s.c.job(), standby, time.Now()
	s.job.Standby = standby
	// In a goroutine: a long list of pictures fills the pipe before the child reads.
	go s.stdin.send(s.job)
}

// prepareNext starts the child that will be needed when the camera is back. To
// start one takes a tenth of a second of a processor, for OpenCV's libraries,
// and cameras come back together.
func (c *Camera) prepareNext() {
	if c.waiting != nil {
		return
	}
	s, err := c.launch()
	if err != nil { // the attempt itself will say so
		c.log.Debug("start a capture process ahead", "err", err)
		return
	}
	c.waiting = s
}

// dismiss ends the child that waits.
func (c *Camera) dismiss() {
	if c.waiting != nil {
		c.waiting.stop()
		c.waiting = nil
	}
}

func (s *session) start() (err error) {
	s.cmd = s.c.deps.Command()
	s.cmd.Env = append(s.cmd.Env, s.c.childEnviron(os.Environ())...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C in the terminal is ours to handle
		Pdeathsig: syscall.SIGKILL,
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	inR, inW, err := pipe()
	if err != nil {
		return err
	}
	evR, evW, err := pipe()
	if err != nil {
		return err
	}
	errR, errW, err := pipe()
	if err != nil {
		return err
	}
	s.cmd.Stdin, s.cmd.Stderr, s.cmd.ExtraFiles = inR, errW, []*os.File{evW}
	if err := s.c.launcher.Start(s.cmd); err != nil {
		return err
	}
	files = []*os.File{inR, evW, errW} // the child's ends
	s.stdin = &commandPipe{w: inW}
	s.stderr = newStderrRelay(errR, s.c.log, s.c.cfg.Source)
	s.pipe = evR
	go s.read()
	go func() { s.exited <- s.cmd.Wait() }()
	go s.stderr.run()
	return nil
}

// grace is how long a child has to exit by itself: closing its pipe ends it at
// once, unless it is stopped or hangs in the kernel.
const grace = 500 * time.Millisecond

// stop ends the child and everything around it, and returns how it exited.
func (s *session) stop() error {
	s.stdin.close() // asks it to exit
	close(s.quit)
	exit, ok := s.wait(grace)
	if !ok {
		s.kill()
		if exit, ok = s.wait(5 * time.Second); !ok {
			// Stuck in the kernel: nothing can end it before its call returns.
			s.c.log.Error("capture process cannot be killed", "pid", s.cmd.Process.Pid)
			exit = errors.New("it cannot be killed")
			s.abandon()
		}
	}
	for range s.events { // until its reader is gone
	}
	s.stderr.wait()
	return exit
}

// kill ends the child, and what a wrapper around it has started, by force. It
// fails only when they have just ended.
func (s *session) kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// abandon ends the goroutines that listen to a child that cannot be ended.
func (s *session) abandon() {
	_ = s.pipe.Close()
	_ = s.stderr.file.Close()
}

func (s *session) wait(d time.Duration) (exit error, exited bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case exit = <-s.exited:
		return exit, true
	case <-timer.C:
		return nil, false
	}
}

// commandPipe is the parent's end of the child's standard input.
type commandPipe struct {
	mu sync.Mutex // keeps lines whole
	w  *os.File
}

// send is safe for concurrent use. A child that is gone needs no commands, so
// that a failure is no matter.
func (p *commandPipe) send(v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = proc.WriteLine(p.w, v)
}

// close also ends a send that the child does not read.
func (p *commandPipe) close() { _ = p.w.Close() }
