//go:build cv

package stagetest_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/pipeline"
)

// one is a lossless camera and the network that reads its pictures' numbers,
// on the engine that is slow enough to be killed at work.
// The camera may be silent for long, since a busy machine is: given up too early,
// it would begin a new epoch.
func one(source string) string {
	return fmt.Sprintf(`
models: [{name: barcode-reader, engine: gorgonia, workers: 1}]
cameras: [{id: cam, source: %q, delivery: every, timeouts: {silence: 30s}}]
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

// TestPlantStatus asks the running plant who is there.
func TestPlantStatus(t *testing.T) {
	p := newPlant(t)
	var mu sync.Mutex
	said := map[string][]string{} // states by stage
	if _, err := p.nc.Subscribe("vedette.status.>", func(m *nats.Msg) {
		var s struct{ Stage, State, Instance string }
		if err := json.Unmarshal(m.Data, &s); err != nil || m.Subject != "vedette.status."+s.Stage+"."+s.Instance {
			t.Errorf("%s: %v, %+v", m.Subject, err, s)
		}
		mu.Lock()
		said[s.Stage] = append(said[s.Stage], s.State)
		mu.Unlock()
	}); err != nil {
		t.Fatal(err)
	}
	cfg := p.config("plant.yaml", `
models: [{name: barcode-reader, engine: gorgonia, workers: 1}]
cameras: [{id: cam, source: "synthetic://bars?width=160&height=90&fps=20", timeouts: {silence: 30s}}]
`)
	stages := []*process{p.start("ingest", cfg), p.start("preprocess", cfg), p.start("infer", cfg)}
	p.await("results", func() bool { return p.live() >= 10 })
	out, err := exec.Command(p.bin, "status", "--server", p.url(), "--format", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Instances []struct {
			Metadata map[string]string
			Data     pipeline.Status
		}
		Streams []struct {
			Name     string
			Messages int
		}
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.Instances) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	plant := answer.Instances
	if s := answer.Streams; len(s) < 2 || s[len(s)-1].Name != "VEDETTE_DETECTIONS" || s[len(s)-1].Messages < 10 {
		t.Errorf("streams %+v", s)
	}
	for i, want := range []string{"infer", "ingest", "preprocess"} {
		s := plant[i].Data
		if s.Stage != want || s.Host != "here" || s.Site != "test" || s.PID == 0 {
			t.Errorf("instance %d: %+v", i, s)
		}
	}
	if m := plant[0].Data.Models; len(m) != 1 || m[0].Engine != "gorgonia" || m[0].Credits < 1 || len(m[0].SHA256) != 64 {
		t.Errorf("models %+v", m)
	}
	if c := plant[1].Data.Cameras; len(c) != 1 || c[0].Phase != "online" || c[0].Accounts != nil {
		t.Errorf("cameras of ingest %+v", c)
	}
	c := plant[2].Data.Cameras
	if len(c) != 1 || c[0].Phase != "" {
		t.Fatalf("cameras of preprocess %+v", c)
	}
	if a := c[0].Accounts["barcode-reader"]; a.Inferred < 5 || a.Balance() != 0 {
		t.Errorf("account %+v", a)
	}
	if l := c[0].Latency["barcode-reader"]; l.Count < 5 || l.P50Millis <= 0 || l.P99Millis < l.P50Millis || c[0].Rates["barcode-reader"].Inferred <= 0 {
		t.Errorf("latency %+v, rates %+v", l, c[0].Rates)
	}
	if m := plant[0].Data.Models[0].Runs; m.Count < 5 || m.PerSecond <= 0 {
		t.Errorf("runs %+v", m)
	}
	timed := map[string]uint64{}
	for _, s := range plant[2].Data.Stages {
		timed[s.Stage] = s.Count
		if len(s.Counts) != len(plant[2].Data.BoundsMillis)+1 {
			t.Errorf("%d buckets for %d bounds", len(s.Counts), len(plant[2].Data.BoundsMillis))
		}
	}
	for _, stage := range []string{"capture", "preprocess", "queue", "infer", "postprocess", "publish"} {
		if timed[stage] < 5 {
			t.Errorf("%d frames were timed in stage %s", timed[stage], stage)
		}
	}
	text, err := exec.Command(p.bin, "status", "--server", p.url()).Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("vedette status:\n%s", text)
	for _, s := range stages {
		s.stop()
	}
	p.await("everybody's last word", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, stage := range []string{"ingest", "preprocess", "infer"} {
			s := said[stage]
			if len(s) < 3 || s[0] != "birth" || s[1] != "health" || s[len(s)-1] != "death" {
				return false
			}
		}
		return true
	})
}
