package ingest

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/proc"
)

// oomScore puts a capture process before all others when the host is out of
// memory: it costs one camera a restart.
const oomScore = "500"

// confine keeps to this process what goes wrong in it.
func confine() {
	// A core file would have the camera's password in it. Who wants one asks Go
	// for it.
	if os.Getenv("GOTRACEBACK") != "crash" {
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // lowering is always allowed
	}
	// Not so in every container; then the kernel chooses as it likes.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
}

// memoryCap bounds by the kernel what this process can allocate, so that one
// runaway allocation ends it and not the host. What is slow to grow the parent
// notices before.
type memoryCap struct {
	job  *job
	base uint64 // allocated before the source was opened, used or not
}

// What is allocated and never used: each thread's stack, and the memory that
// Go and the C library take in advance.
const (
	unusedPerThread = 16 << 20
	unused          = 192 << 20
)

func newMemoryCap(j *job) *memoryCap {
	kb, err := proc.Field("/proc/self/status", "VmData:")
	if err != nil || j.drivers() || j.Kind == GStreamer {
		// What drivers and plug-ins reserve is not known; the parent watches what
		// they use.
		return nil
	}
	return &memoryCap{job: j, base: uint64(kb) << 10}
}

// fit sets the limit for pictures of that many pixels. The default is not below
// that for pictures of unknown size: those of a stream may grow, and the
// decoder is the first to know.
func (m *memoryCap) fit(pixels int) error {
	if m == nil {
		return nil
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &lim); err != nil {
		return err
	}
	limit := m.job.memoryLimit(pixels)
	if m.job.Memory == 0 {
		limit = max(limit, memoryUnknown)
	}
	// Only the soft limit, which can be raised again.
	lim.Cur = min(m.base+uint64(limit)+unused+uint64(m.job.Threads)*unusedPerThread, lim.Max)
	return unix.Setrlimit(unix.RLIMIT_DATA, &lim)
}
