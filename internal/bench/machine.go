package bench

import (
	"bytes"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/proc"
)

// Machine says on what something was measured. What cannot be found out is
// empty.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that may be used
	Memory int64  `json:"memory_bytes"`
	OS     string `json:"os"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	// Load1 is the load average of the last minute when the measuring began: on
	// a machine that is busy with other things the figures mean little.
	Load1 float64 `json:"load_1m"`
}

// ThisMachine describes the machine it is called on.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = value(b, "model name", ":")
	}
	if kb, err := proc.Field("/proc/meminfo", "MemTotal:"); err == nil {
		m.Memory = kb << 10
	}
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		m.OS = strings.Trim(value(b, "PRETTY_NAME", "="), `"`)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Load1 = float64(info.Loads[0]) / (1 << 16)
	}
	return m
}

// value is what stands behind key and the separator in the first such line.
func value(text []byte, key, separator string) string {
	for line := range bytes.Lines(text) {
		k, v, ok := strings.Cut(string(line), separator)
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
