package ring

import (
	"os"
	"strconv"
	"strings"

	"github.com/vedette-io/vedette/internal/proc"
)

// availableMemory is how many bytes this process could still take: what the
// host has to spare or what its control group leaves, whichever is less. It
// reports false where neither is known.
func availableMemory() (int64, bool) {
	host, err := proc.Field("/proc/meminfo", "MemAvailable:")
	host <<= 10 // the file counts in KiB
	ok := err == nil
	limit, limited := number("/sys/fs/cgroup/memory.max")
	used, known := number("/sys/fs/cgroup/memory.current")
	if !limited || !known {
		return host, ok
	}
	// File cache counts as used, and is given back when it is needed.
	for _, cache := range []string{"inactive_file", "active_file"} {
		if n, err := proc.Field("/sys/fs/cgroup/memory.stat", cache); err == nil {
			used -= n
		}
	}
	if left := max(limit-used, 0); !ok || left < host {
		return left, true
	}
	return host, ok
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
