package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testkit"
)

// parentEnv makes this program capture from the source it names, until it dies.
const parentEnv = "VEDETTE_INGEST_TEST_PARENT"

func parentMain() int {
	src, err := ingest.ParseSource(os.Getenv(parentEnv))
	if err != nil {
		return 1
	}
	c, err := ingest.New(ingest.Config{ID: "cam", Source: src}, ingest.Deps{
		Command: func() *exec.Cmd { return exec.Command("/proc/self/exe") },
		Output:  outputFunc(func(*vedette.Frame) error { return nil })})
	if err != nil {
		return 1
	}
	_ = c.Run(context.Background())
	return 1
}

// orphan starts a process that captures from a source, brings its child into a
// state, ends the process by a signal and waits for the end of the child.
func orphan(t *testing.T, source string, sig syscall.Signal, state func(child int)) {
	t.Helper()
	parent := exec.Command("/proc/self/exe")
	parent.Env = append(os.Environ(), parentEnv+"="+source, "GOTRACEBACK=none")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = parent.Process.Kill()
		_ = parent.Wait() // it was killed
	}()
	var child int
	for began := time.Now(); child == 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("no child was started")
		}
		for _, pid := range testkit.Children(t, parent.Process.Pid) {
			// Go starts another process, for a moment, to see what the kernel can do.
			env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if bytes.Contains(env, []byte("VEDETTE_PROCESS=capture")) {
				child = pid
			}
		}
	}
	state(child)
	if gone(child) {
		t.Fatal("the child is gone before its parent")
	}
	if err := parent.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	began := time.Now()
	for ; !gone(child); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the child lives on")
		}
	}
	t.Logf("the child was gone %v after its parent", time.Since(began))
}

// A capture child does not outlive its parent, however that dies and whatever
// the child is doing.
func TestChildEndsWithParent(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			orphan(t, "synthetic://bars?width=64&height=48", sig, func(int) {})
		})
	}
	t.Run("stopped child", func(t *testing.T) {
		t.Parallel()
		orphan(t, "synthetic://bars?width=64&height=48", syscall.SIGKILL, func(child int) {
			if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		})
	})
}
