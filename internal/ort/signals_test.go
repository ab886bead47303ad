//go:build cgo && linux

package ort

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/ort/signaltest"
)

// TestKeepSignals has handlers replaced as CUDA's libraries do and then sends
// the signal, in a child: without keepSignals that ends a Go process.
func TestKeepSignals(t *testing.T) {
	if mode := os.Getenv("VEDETTE_TEST_SIGNALS"); mode != "" {
		interrupted(t, mode == "kept")
		return
	}
	for mode, want := range map[string]string{
		"kept": "--- PASS", "not kept": "non-Go code set up signal handler without SA_ONSTACK flag",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKeepSignals$", "-test.v")
		cmd.Env = append(os.Environ(), "VEDETTE_TEST_SIGNALS="+mode)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || (err == nil) != (mode == "kept") {
			t.Errorf("%s: %v, want %q:\n%s", mode, err, want, out)
		}
	}
}

func interrupted(t *testing.T, kept bool) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGTERM)
	broken := errors.New("broken")
	replace := func() error {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			if !signaltest.Install(s) {
				return fmt.Errorf("no handler for %v", s)
			}
		}
		return broken
	}
	if !kept {
		_ = replace()
	} else if restored, err := keepSignals(replace); restored != 2 || !errors.Is(err, broken) {
		t.Fatalf("%d handlers put back, error %v", restored, err)
	} else if restored, err := keepSignals(func() error { return nil }); restored != 0 || err != nil {
		t.Fatalf("with nothing replaced: %d, %v", restored, err)
	}
	// To this very thread, which is on the stack of a goroutine; one that is idle
	// may survive it.
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGTERM)); errno != 0 {
		t.Fatal(errno)
	}
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		t.Fatal("the signal is not heard")
	}
}
