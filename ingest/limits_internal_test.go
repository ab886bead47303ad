package ingest

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/cv"
)

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name   string
		job    job
		pixels int
		want   int64 // MiB
	}{
		{"unknown size", job{Kind: RTSP, Threads: 1}, 0, 1024},
		{"small", job{Kind: RTSP, Threads: 1}, 320 * 180, 132},
		{"1080p", job{Kind: RTSP, Threads: 1}, 1920 * 1080, 286},
		{"4K", job{Kind: RTSP, Threads: 1}, 3840 * 2160, 760},
		{"1080p file, 8 threads", job{Kind: File, Threads: 8}, 1920 * 1080, 396},
		{"hardware", job{Kind: RTSP, Threads: 1, Acceleration: cv.VAAPI}, 1920 * 1080, 798},
		{"named decoder", job{Kind: RTSP, Threads: 1, Codecs: []string{"h264_cuvid"}}, 1920 * 1080, 798},
		{"pipeline", job{Kind: GStreamer, Threads: 1}, 1920 * 1080, 798},
		{"pictures", job{Kind: Images, Threads: 1}, 640 * 480, 1536},
		{"configured", job{Kind: RTSP, Threads: 1, Memory: 100 * mib}, 3840 * 2160, 100},
	} {
		if got := tc.job.memoryLimit(tc.pixels) / mib; got != tc.want {
			t.Errorf("%s: %d MiB, want %d", tc.name, got, tc.want)
		}
	}
}

// watched is a session without a process.
func watched(source Source, cfg Config) (*Camera, *session) {
	cfg.Source = source
	c := &Camera{cfg: cfg.withDefaults(), log: slog.New(slog.DiscardHandler)}
	return c, &session{c: c, job: c.job(), since: time.Now().Add(-time.Minute)}
}

func TestMemoryPlans(t *testing.T) {
	const mib = 1 << 20
	src := Source{kind: RTSP, location: "rtsp://h/live"}
	for _, tc := range []struct {
		name   string
		memory []int64 // MiB, one check after the other
		plans  int
		warned bool
	}{
		{"flat", []int64{50, 50, 50, 50}, 0, false},
		{"grows to three quarters", []int64{50, 60, 70, 76}, 1, false},
		{"again at once", []int64{50, 76, 77, 78}, 1, false},
		{"needs much when it is fresh", []int64{80, 81, 82, 81}, 0, true},
		{"needs much, and leaks", []int64{60, 76, 89, 91}, 1, false},
	} {
		c, s := watched(src, Config{ID: "cam", Memory: 100 * mib})
		plans := 0
		for _, m := range tc.memory {
			if plan := s.meter.checkMemory(s, m*mib, 100*mib); plan != "" {
				plans++
				if !strings.Contains(plan, "of 100 MiB") {
					t.Errorf("%s: %s", tc.name, plan)
				}
			}
		}
		if plans != tc.plans || s.meter.warned != tc.warned || plans > 0 && c.plannedMemory.IsZero() {
			t.Errorf("%s: %d plans, warned %v", tc.name, plans, s.meter.warned)
		}
	}
}

func TestCPUPlans(t *testing.T) {
	live, file := Source{kind: RTSP, location: "rtsp://h/live"}, Source{kind: Synthetic, finite: true}
	for _, tc := range []struct {
		name     string
		source   Source
		averages []float64
		plans    int
	}{
		{"within", live, []float64{0.5, 1, 0.9}, 0},
		{"a burst", live, []float64{3, 3, 0.5, 3, 3}, 0},
		{"lasts", live, []float64{3, 3, 3}, 1},
		{"lasts and lasts", live, []float64{3, 3, 3, 3, 3, 3, 3}, 1},
		{"a file may", file, []float64{3, 3, 3, 3}, 0},
	} {
		c, s := watched(tc.source, Config{ID: "cam"})
		plans := 0
		c.lower = func(*session) error { return nil }
		for _, a := range tc.averages {
			if plan := s.meter.judgeCPU(s, a, 1); plan != "" {
				plans++
				if plan != "it uses 3.0 processors, the limit is 1" {
					t.Errorf("%s: %s", tc.name, plan)
				}
			}
		}
		if plans != tc.plans {
			t.Errorf("%s: %d plans, want %d", tc.name, plans, tc.plans)
		}
	}
	for _, tc := range []struct {
		cfg  Config
		want float64
	}{{Config{Source: live}, 2}, {Config{Source: file}, 0}, {Config{Source: Source{kind: GStreamer}}, 0}, {Config{Source: file, CPU: 3}, 3}} {
		if got := (&Camera{cfg: tc.cfg}).cpuLimit(); got != tc.want {
			t.Errorf("%v: %v processors, want %v", tc.cfg.Source.kind, got, tc.want)
		}
	}
}
