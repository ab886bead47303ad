package ring

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// availableMemory is how many bytes this process could still take: what the
// host has to spare or what its control group leaves, whichever is less. It
// reports false where neither is known.
func availableMemory() (int64, bool) {
	host, ok := field("/proc/meminfo", "MemAvailable:")
	host <<= 10 // the file counts in KiB
	limit, limited := number("/sys/fs/cgroup/memory.max")
	used, known := number("/sys/fs/cgroup/memory.current")
	if !limited || !known {
		return host, ok
	}
	// File cache counts as used, and is given back when it is needed.
	for _, cache := range []string{"inactive_file", "active_file"} {
		n, _ := field("/sys/fs/cgroup/memory.stat", cache)
		used -= n
	}
	if left := max(limit-used, 0); !ok || left < host {
		return left, true
	}
	return host, ok
}

// field returns the number behind a line's first word.
func field(path, name string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if words := strings.Fields(sc.Text()); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// number reads a file that holds one number.
func number(path string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}
