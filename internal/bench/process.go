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
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Tree is what a process and all its descendants have used.
type Tree struct {
	Processes int
	// CPU is user and system time, that of descendants which have ended and were
	// waited for included, to 10 ms for each process.
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
	all = []int{pid}
	for i := 0; i < len(all); i++ {
		cpu, err := cpuTime(all[i])
		if err != nil && i == 0 {
			return Tree{}, nil, err
		}
		if err == nil {
			t.Processes++
			t.CPU += cpu
		}
		all = append(all, children(all[i])...)
	}
	return t, all, nil
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

// cpuTime is utime, stime, cutime and cstime of /proc/<pid>/stat.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may contain anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3, the state
	const utime = 14 - 3
	if len(fields) < utime+4 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, f := range fields[utime : utime+4] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
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
