//go:build cv

package stagetest_test

import (
	"fmt"
	"testing"
	"time"
)

// one is a lossless camera and the network that reads its pictures' numbers,
// on the engine that is slow enough to be killed at work.
func one(source string) string {
	return fmt.Sprintf(`
models: [{name: barcode-reader, engine: gorgonia, workers: 1}]
cameras: [{id: cam, source: %q, delivery: every}]
`, source)
}

// TestWorkersComeAndGo kills workers and starts others: no frame is lost, none
// has two results.
func TestWorkersComeAndGo(t *testing.T) {
	const frames = 300
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	a, b := p.start("infer", cfg), p.start("infer", cfg)
	p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	p.await("results", func() bool { return p.live() >= 60 })
	a.kill()
	mark := time.Now()
	c := p.start("infer", cfg)
	p.await("more results", func() bool { return p.live() >= 140 })
	b.kill()
	p.start("infer", cfg)
	p.await("more results", func() bool { return p.live() >= 220 })
	c.stop() // this one leaves in order
	finished(t, capture)
	t.Logf("the rest took %v", time.Since(mark).Round(time.Millisecond))
	p.checkWhole("cam", frames)
}
