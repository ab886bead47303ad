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
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is the user and system time of a process, that of descendants which have
// ended and were waited for included, to 10 ms.
func CPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may contain anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from field 3, the state
	const utime = 14 - 3                                                // then stime, cutime and cstime
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
