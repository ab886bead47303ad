//go:build cgo && linux && (amd64 || arm64)

package ort

import (
	"errors"
	"syscall"
	"testing"
	"unsafe"
)

// action is the kernel's struct sigaction.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const onStack = 0x08000000

func sigaction(t *testing.T, set, get *action) {
	t.Helper()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGUSR2),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 8, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// TestKeepSignals replaces a handler of the Go runtime as CUDA's libraries do:
// without SA_ONSTACK, which ends a Go process at the next signal.
func TestKeepSignals(t *testing.T) {
	var before, after action
	sigaction(t, nil, &before)
	if before.flags&onStack == 0 {
		t.Skip("the Go runtime does not handle SIGUSR2 here")
	}
	broken := errors.New("broken")
	restored, err := keepSignals(func() error {
		bad := before
		bad.flags &^= onStack
		sigaction(t, &bad, nil)
		return broken
	})
	sigaction(t, nil, &after)
	if restored != 1 || !errors.Is(err, broken) {
		t.Errorf("%d handlers put back, error %v", restored, err)
	}
	if after.handler != before.handler || after.flags != before.flags {
		t.Errorf("the handler is %+v, was %+v", after, before)
	}
	if restored, err := keepSignals(func() error { return nil }); restored != 0 || err != nil {
		t.Errorf("with nothing replaced: %d, %v", restored, err)
	}
}
