//go:build cv

package ingest_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testkit"
)

// The price of a process of one's own, the ring and the announcements: to be
// compared with BenchmarkFileDirect.
func BenchmarkFile(b *testing.B) {
	src, err := ingest.ParseSource(testkit.Data(b, "videos/one-by-one-person-detection.mp4"))
	if err != nil {
		b.Fatal(err)
	}
	frames, used := 0, cpuTime(b)
	for b.Loop() {
		c, err := ingest.New(ingest.Config{ID: "cam", Source: src, Delivery: ingest.Every, DecoderThreads: 1},
			ingest.Deps{Output: outputFunc(func(*vedette.Frame) error { frames++; return nil })})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(c.Run(b.Context()), c.Close()); err != nil {
			b.Fatal(err)
		}
	}
	report(b, frames, used)
}

func BenchmarkFileDirect(b *testing.B) {
	path := testkit.Data(b, "videos/one-by-one-person-detection.mp4")
	cv.SetDecoderThreads(1)
	defer cv.SetDecoderThreads(0)
	slot := make([]byte, 768*432*3)
	frames, used := 0, cpuTime(b)
	for b.Loop() {
		c, err := cv.OpenCapture(path, cv.CaptureOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for c.Grab() == nil {
			if _, err := c.Retrieve(slot); err != nil {
				b.Fatal(err)
			}
			frames++
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, frames, used)
}

// report gives the processor time a frame took, which a busy machine disturbs
// less than the rate.
func report(b *testing.B, frames int, before time.Duration) {
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(frames), "cpu-µs/frame")
}

// cpuTime is the processor time of this process and its ended children.
func cpuTime(b *testing.B) time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}
