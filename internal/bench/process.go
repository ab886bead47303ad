package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vedette-io/vedette/internal/proc"
)

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
		cpu, err := proc.CPU(p)
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

// proportionalSize is the proportional set size in bytes.
func proportionalSize(pid int) (int64, error) {
	kb, err := proc.Field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	return kb << 10, err
}
