package bench_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bench"
)

func TestStatistics(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	for _, tc := range []struct {
		name      string
		got, want float64
	}{
		{"median, odd", bench.Median(v), 3},
		{"median, even", bench.Median(v[:4]), 3},
		{"median of nothing", bench.Median(nil), 0},
		{"p50", bench.Quantile(v, 0.5), 3},
		{"p99", bench.Quantile(v, 0.99), 5},
		{"p0", bench.Quantile(v, 0), 1},
		{"quantile of nothing", bench.Quantile(nil, 0.5), 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if v[0] != 5 {
		t.Error("the values were sorted in place")
	}
}

// TestTree starts a shell whose child burns 0.2 s of processor time.
func TestTree(t *testing.T) {
	before, err := bench.ReadTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "(i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; sleep 60) & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		now, err := bench.ReadTree(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.Processes >= before.Processes+2 && now.CPU > before.CPU && now.Memory > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("before %+v, with a shell and its child %+v", before, now)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := bench.ReadTree(1 << 30); err == nil {
		t.Error("a process that does not exist was measured")
	}
}

// TestPause stops a shell and its child in mid-work: they use no time until
// they are continued.
func TestPause(t *testing.T) {
	cmd := exec.Command("sh", "-c", "(while :; do :; done) & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	cpu := func() time.Duration {
		t.Helper()
		tree, err := bench.ReadCPU(pid)
		if err != nil {
			t.Fatal(err)
		}
		return tree.CPU
	}
	used := func(more time.Duration) {
		t.Helper()
		from, deadline := cpu(), time.Now().Add(20*time.Second)
		for cpu() < from+more {
			if time.Now().After(deadline) {
				t.Fatal("it does not run")
			}
			time.Sleep(time.Millisecond)
		}
	}
	used(5 * time.Millisecond)
	if err := bench.Pause(t.Context(), bench.Family(pid)); err != nil {
		t.Fatal(err)
	}
	before := cpu()
	time.Sleep(50 * time.Millisecond) // in which it would use up to 50 ms
	if after := cpu(); after != before {
		t.Errorf("a paused process used %v", after-before)
	}
	if err := bench.Continue(bench.Family(pid)); err != nil {
		t.Fatal(err)
	}
	used(5 * time.Millisecond)
	if err := errors.Join(bench.Pause(t.Context(), bench.Family(pid)), bench.Kill(bench.Family(pid))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
}

func TestCounter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	a, err := bench.OpenCounter(path)
	if err != nil {
		t.Fatal(err)
	}
	a.Set(7)
	b, err := bench.OpenCounter(path)
	if err != nil {
		t.Fatal(err)
	}
	a.Set(a.Get() + 1)
	if got := b.Get(); got != 8 {
		t.Errorf("the other one shows %d", got)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if _, err := bench.OpenCounter(filepath.Join(path, "below")); err == nil {
		t.Error("a counter in no folder")
	}
}

func TestThisMachine(t *testing.T) {
	m := bench.ThisMachine()
	if m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" || m.Go == "" || m.OS == "" {
		t.Errorf("%+v", m)
	}
}
