// Package proc reads what Linux says of processes and the machine.
package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is the user and system time of a process, to the microsecond, and that of
// descendants which have ended and were waited for, to 10 ms.
func CPU(pid int) (time.Duration, error) {
	var own unix.Timespec
	const processClock = 2 // CPUCLOCK_SCHED of the kernel's clock numbers
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &own); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	const cutime = 16 - firstField // then cstime
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

// State is the letter of a process's state in proc(5): T and t are stopped, Z and
// X have ended.
func State(pid int) (byte, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return fields[0][0], nil
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

// Private is how many bytes of its own a process has in memory or swapped out:
// what it has allocated and used. Files and shared memory are not counted.
func Private(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	resident, err := Field(path, "RssAnon:")
	if err != nil {
		return 0, err
	}
	swapped, err := Field(path, "VmSwap:")
	return (resident + swapped) << 10, err
}

// Field is the number behind the first word of a line of a file, in the unit
// that the file has.
func Field(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if words := strings.Fields(sc.Text()); len(words) > 1 && words[0] == name {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %s", path, name)
}
