package ingest_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// troubleEnv tells a capture child of these tests to misbehave. The program has
// no such switch.
const troubleEnv = "VEDETTE_TEST_TROUBLE"

// The kinds of trouble.
const (
	leaking  = "leaks"  // 10 MiB a second
	flooding = "floods" // 60 MiB a second
	runaway  = "runs-away"
	burning  = "burns"
)

func makeTrouble(kind string) {
	switch kind {
	case leaking:
		go leak(1 << 20)
	case flooding:
		go leak(6 << 20)
	case runaway:
		go func() {
			time.Sleep(2 * time.Second)
			var all [][]byte
			for {
				b := make([]byte, 16<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				all = append(all, b)
				runtime.KeepAlive(all)
			}
		}()
	case burning:
		for range runtime.NumCPU() {
			go func() {
				for n := uint64(0); ; n++ {
					_ = n
				}
			}()
		}
	}
}

// leak leaks n bytes ten times a second.
func leak(n int) {
	for range time.Tick(100 * time.Millisecond) {
		if !grab(n) {
			return
		}
	}
}

// grab takes memory, as a leak in C does, and uses it.
func grab(n int) bool {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
	return err == nil
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}
