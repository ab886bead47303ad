package proc_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/proc"
)

func TestPrivate(t *testing.T) {
	const size = 64 << 20
	before, err := proc.Private(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	grown := func(flags int) int64 {
		mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|flags)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(mem); i += 4096 {
			mem[i] = 1
		}
		after, err := proc.Private(os.Getpid())
		if err := unix.Munmap(mem); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return after - before
	}
	if n := grown(unix.MAP_PRIVATE); n < size*9/10 || n > size*2 {
		t.Errorf("%d MiB of its own count as %d", size>>20, n>>20)
	}
	if n := grown(unix.MAP_SHARED); n > size/2 {
		t.Errorf("%d MiB of shared memory count as %d of its own", size>>20, n>>20)
	}
}

func TestCPU(t *testing.T) {
	before, err := proc.CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; {
		after, err := proc.CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after-before >= 50*time.Millisecond {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("busy for a minute, and %v of processor time were used", after-before)
		}
	}
}

func TestGone(t *testing.T) {
	if _, err := proc.CPU(1 << 30); err == nil {
		t.Error("processor time of no process")
	}
	if _, err := proc.Private(1 << 30); err == nil {
		t.Error("memory of no process")
	}
	if _, err := proc.Field("/proc/self/status", "Nonsense:"); err == nil {
		t.Error("a field that is not there")
	}
}
