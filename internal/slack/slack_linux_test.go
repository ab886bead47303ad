//go:build cgo && linux

package slack_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	_ "github.com/vedette-io/vedette/internal/slack"
)

// TestInherited asks a thread for its slack: the main thread's, from before Go
// started, came down to it.
func TestInherited(t *testing.T) {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads besides the main one, %v", len(tasks)-1, err)
	}
	done := make(chan int)
	go func() { // most likely another thread, and one's own is always readable
		slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			t.Error(err)
		}
		done <- slack
	}()
	if slack := <-done; slack != 500_000 {
		t.Errorf("a thread's slack is %d ns (pid %d)", slack, os.Getpid())
	}
}
