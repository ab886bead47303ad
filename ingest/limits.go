package ingest

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/proc"
)

// Limits of Config.Memory and Config.CPU.
const (
	MinMemory = 64 << 20
	MinCPU    = 0.1
	MaxCPU    = 1024
)

// What a capture process may take by default, well above what was measured: a
// 1080p stream takes 53 MB in one thread, 100 MB with the most reference
// pictures that H.264 knows, and 7 MB more for each further thread; 4K HEVC
// takes 180 MB. That is up to 38 bytes a pixel and 4 for each thread.
const (
	memoryBase      = 128 << 20
	memoryPerPixel  = 72
	memoryPerThread = 8         // and pixel
	memoryUnknown   = 1 << 30   // the size is not known yet
	memoryDrivers   = 512 << 20 // of a hardware decoder, or the queues of a pipeline
	memoryPictures  = 3 << 29   // a picture may have 100 megapixels
	cpuLimit        = 2.0       // of a camera: its decoder has one thread
)

// memoryLimit is how many bytes of its own the process may take with pictures
// of that many pixels, 0 for not known. The ring is not among them.
func (j *job) memoryLimit(pixels int) int64 {
	switch {
	case j.Memory > 0:
		return j.Memory
	case j.Kind == Images:
		return memoryPictures
	}
	limit := int64(memoryUnknown)
	if pixels > 0 {
		limit = memoryBase + int64(pixels)*int64(memoryPerPixel+memoryPerThread*j.Threads)
	}
	if j.Kind == GStreamer || j.drivers() {
		limit += memoryDrivers
	}
	return limit
}

// drivers reports whether a hardware decoder may be used.
func (j *job) drivers() bool { return j.Acceleration != cv.Software || len(j.Codecs) > 0 }

// cpuLimit is how many processors the process may use, 0 for no limit.
func (c *Camera) cpuLimit() float64 {
	switch {
	case c.cfg.CPU > 0:
		return c.cfg.CPU
	case c.cfg.Source.finite || c.cfg.Source.kind == GStreamer:
		return 0
	}
	return cpuLimit
}

// How a child is watched. Beyond the limit of its processors it is made nicer
// than others after one window, and replaced after three in a row; a source
// that needs so much will need it again, so that this is not done often.
const (
	checkEvery     = time.Second
	cpuWindow      = 5 * time.Second
	cpuWindows     = 3
	freshAfter     = 2 * time.Second // with pictures the decoder has what it needs
	plannedEvery   = 10 * time.Second
	plannedForCPU  = 10 * time.Minute
	nicer          = 10
	softOf, softBy = 3, 4 // a planned restart is due at three quarters of the limit
)

// meter is what one child has been seen to take.
type meter struct {
	pixels int   // of its largest picture
	fresh  int64 // memory when it had just begun, 0 for not known yet
	warned bool
	beyond int // checks in a row that found it beyond its limit

	cpu     time.Duration // used until then
	cpuAt   time.Time
	windows int // in a row above the limit
}

// check looks at the child. It returns why the child should be replaced, if it
// should, and an error when it has to end now.
func (m *meter) check(s *session) (plan string, err error) {
	memory, err := proc.Private(s.cmd.Process.Pid)
	if err != nil {
		return "", nil // it has just ended, which is noticed elsewhere
	}
	limit := s.job.memoryLimit(m.pixels)
	if memory <= limit {
		m.beyond = 0
	} else if m.beyond++; m.beyond > 1 { // once may be a picture that just grew
		return "", s.c.cfg.Source.fail(ErrMemory, fmt.Sprintf("%d MiB, its limit is %d MiB", memory>>20, limit>>20))
	}
	if plan := m.checkMemory(s, memory, limit); plan != "" {
		return plan, nil
	}
	return m.checkCPU(s), nil
}

func (m *meter) checkMemory(s *session, memory, limit int64) string {
	c := s.c
	if m.fresh == 0 {
		if s.since.IsZero() || time.Since(s.since) < freshAfter {
			return ""
		}
		m.fresh = memory
	}
	soft := limit * softOf / softBy
	if m.fresh > soft && !m.warned {
		m.warned = true
		c.log.Warn("a fresh capture process takes nearly its limit of memory: set capture.memory higher",
			"memory_mib", m.fresh>>20, "limit_mib", limit>>20)
	}
	// Replacing a child by another that takes as much gains nothing.
	if memory < max(soft, m.fresh*3/2) || time.Since(c.plannedMemory) < plannedEvery {
		return ""
	}
	c.plannedMemory = time.Now()
	return fmt.Sprintf("memory is at %d of %d MiB", memory>>20, limit>>20)
}

func (m *meter) checkCPU(s *session) string {
	c := s.c
	limit := c.cpuLimit()
	used, err := proc.CPU(s.cmd.Process.Pid)
	if limit == 0 || err != nil || s.since.IsZero() {
		return ""
	}
	now := time.Now()
	took := now.Sub(m.cpuAt)
	if m.cpuAt.IsZero() || took >= cpuWindow {
		before := m.cpu
		first := m.cpuAt.IsZero()
		m.cpu, m.cpuAt = used, now
		if first {
			return ""
		}
		return m.judgeCPU(s, (used-before).Seconds()/took.Seconds(), limit)
	}
	return ""
}

// lowerPriority lets other processes go first: before all threads of the child,
// which is a process group of its own.
func lowerPriority(s *session) error {
	return unix.Setpriority(unix.PRIO_PGRP, s.cmd.Process.Pid, nicer)
}

func (m *meter) judgeCPU(s *session, average, limit float64) string {
	c := s.c
	if average <= limit {
		m.windows = 0
		return ""
	}
	m.windows++
	switch {
	case m.windows == 1:
		err := c.lower(s) // it may just have ended
		c.log.Warn("capture process uses too many processors: others go first now", "average", average, "limit", limit, "err", err)
	case m.windows >= cpuWindows && !c.cfg.Source.finite && time.Since(c.plannedCPU) >= plannedForCPU:
		c.plannedCPU = time.Now()
		return fmt.Sprintf("it uses %.1f processors, the limit is %v", average, limit)
	}
	return ""
}
