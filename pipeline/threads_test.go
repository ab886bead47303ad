//go:build !cv

package pipeline

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"

	"github.com/vedette-io/vedette/ingest"
)

// TestBesides: workers in C leave Go what it would have without them, and a
// model that comes later takes nothing back.
func TestBesides(t *testing.T) {
	had := cores()
	runtime.GOMAXPROCS(had) // other tests have had their workers
	t.Cleanup(func() { runtime.GOMAXPROCS(had) })
	for _, c := range []struct{ workers, want int }{{1, had + 1}, {5, had + 5}, {2, had + 5}} {
		besides(c.workers)
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("besides %d workers: %d at a time, want %d", c.workers, got, c.want)
		}
		if cores() != had || (Model{}).workers(engine.CPU) != had {
			t.Errorf("besides %d workers there are %d cores and %d workers, want %d", c.workers, cores(), (Model{}).workers(engine.CPU), had)
		}
	}
}

// TestDecoderThreads: files share half of the cores.
func TestDecoderThreads(t *testing.T) {
	for files := range 9 {
		p := &Pipeline{}
		live, err := ingest.ParseSource("rtsp://127.0.0.1/x")
		if err != nil {
			t.Fatal(err)
		}
		p.cfg.Cameras = []Camera{{Ingest: ingest.Config{Source: live}}}
		for i := range files {
			src, err := ingest.ParseSource(fmt.Sprintf("clip-%d.mp4", i))
			if err != nil {
				t.Fatal(err)
			}
			p.cfg.Cameras = append(p.cfg.Cameras, Camera{Ingest: ingest.Config{Source: src}})
		}
		got := p.decoderThreads()
		if files == 0 {
			if got != 0 {
				t.Errorf("no file: %d threads", got)
			}
			continue
		}
		if got < 1 || got > 8 || (got > 1 && got*files > cores()/2) {
			t.Errorf("%d files on %d cores: %d threads each", files, cores(), got)
		}
	}
}
