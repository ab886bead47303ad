package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/proc"
)

// Pause stops processes where they are, and returns when all of them stand
// still. Those that end meanwhile are no matter.
func Pause(ctx context.Context, pids []int) error {
	if err := signalAll(pids, unix.SIGSTOP); err != nil {
		return err
	}
	for _, p := range pids {
		for running(p) {
			select {
			case <-time.After(100 * time.Microsecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// Continue lets them go on.
func Continue(pids []int) error { return signalAll(pids, unix.SIGCONT) }

// Kill ends processes, also those that are paused.
func Kill(pids []int) error { return signalAll(pids, unix.SIGKILL) }

func signalAll(pids []int, sig unix.Signal) error {
	var errs []error
	for _, p := range pids {
		if err := unix.Kill(p, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("signal %d to process %d: %w", sig, p, err))
		}
	}
	return errors.Join(errs...)
}

// running reports whether a process is neither stopped nor gone.
func running(pid int) bool {
	state, err := proc.State(pid)
	return err == nil && state != 'T' && state != 't' && state != 'Z' && state != 'X'
}
