package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Tree is what a process and all its descendants have used.
type Tree struct {
	Processes int
	// CPU is user and system time, to the microsecond; that of descendants which
	// have ended and were waited for is included, to 10 ms for each process.
	CPU time.Duration
	// Memory is the proportional set size in bytes: shared pages count once
	// among those who share them.
	Memory int64
}

// ReadCPU is the processor time of the process pid and its descendants; Memory
// stays 0. Processes that end meanwhile are left out.
func ReadCPU(pid int) (Tree, error) {
	t, _, err := readCPU(pid)
	return t, err
}

// ReadTree measures the process pid and its descendants, the processor time
// first: finding out the memory costs milliseconds for each process.
func ReadTree(pid int) (Tree, error) {
	t, all, err := readCPU(pid)
	if err != nil {
		return Tree{}, err
	}
	for _, p := range all {
		if memory, err := proportionalSize(p); err == nil { // it may be gone
			t.Memory += memory
		} else if p == pid {
			return Tree{}, err
		}
	}
	return t, nil
}

func readCPU(pid int) (t Tree, all []int, err error) {
	all = Family(pid)
	for i, p := range all {
		cpu, err := cpuTime(p)
		if err != nil && i == 0 {
			return Tree{}, nil, err
		}
		if err == nil {
			t.Processes++
			t.CPU += cpu
		}
	}
	return t, all, nil
}

// Family is pid and its descendants, parents before children.
func Family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children(all[i])...)
	}
	return all
}

func children(pid int) []int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		for word := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// cpuTime is what the process's own clock shows, and what the children used
// that it has waited for.
func cpuTime(pid int) (time.Duration, error) {
	var own unix.Timespec
	const processClock = 2 // CPUCLOCK_SCHED of the kernel's clock numbers
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &own); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	const cutime = 16 - firstField
	var ticks int64
	for _, f := range fields[cutime : cutime+2] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(own.Nano()) + time.Duration(ticks)*time.Second/ticksPerSecond, nil
}

// firstField is the number that proc(5) gives the first word of stat.
const firstField = 3

// stat are the words of /proc/<pid>/stat behind the name, the state first.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name, in parentheses, may contain anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

// proportionalSize is Pss of /proc/<pid>/smaps_rollup.
func proportionalSize(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	kb, err := field(b, "Pss:")
	return kb << 10, err
}

// field is the number behind name at the beginning of a line.
func field(text []byte, name string) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			words := strings.Fields(rest)
			if len(words) == 0 {
				break
			}
			return strconv.ParseInt(words[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no number behind %q", name)
}
