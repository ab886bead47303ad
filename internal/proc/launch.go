package proc

import (
	"os/exec"
	"runtime"
)

// Launcher starts processes, all from one thread: the kernel kills a child with
// Pdeathsig when the thread that started it ends, however it ends, and Go gives no
// thread to a goroutine for good but by locking it. Its end kills what it has
// started. Make one with [NewLauncher].
type Launcher struct {
	cmds chan *exec.Cmd
	errs chan error
}

// NewLauncher makes one; it needs a [Launcher.Close].
func NewLauncher() *Launcher {
	l := &Launcher{cmds: make(chan *exec.Cmd), errs: make(chan error)}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		for cmd := range l.cmds {
			l.errs <- cmd.Start()
		}
	}()
	return l
}

// Start is called by one goroutine at a time.
func (l *Launcher) Start(cmd *exec.Cmd) error {
	l.cmds <- cmd
	return <-l.errs
}

// Close ends the thread.
func (l *Launcher) Close() { close(l.cmds) }
