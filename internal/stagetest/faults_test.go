//go:build cv

package stagetest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// finished waits for the end of a finite source.
func finished(t *testing.T, capture *process) {
	t.Helper()
	select {
	case <-capture.done:
	case <-time.After(time.Minute):
		t.Fatal("the file does not end")
	}
}

// TestOwnerKilled kills the owner: the capture process keeps every frame whose
// result is not safe, so the next owner goes on with it.
func TestOwnerKilled(t *testing.T) {
	const frames = 300
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	p.start("infer", cfg)
	owner := p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	for _, mark := range []int{60, 150} {
		p.await("results", func() bool { return p.live() >= mark })
		owner.kill()
		owner = p.start("preprocess", cfg)
	}
	p.await("more results", func() bool { return p.live() >= 220 })
	owner.stop() // in order, with frames under way
	p.start("preprocess", cfg)
	finished(t, capture)
	p.checkWhole("cam", frames)
}

// TestCaptureKilled kills the process that reads a file: the next one goes on
// behind what is published, in the same epoch.
func TestCaptureKilled(t *testing.T) {
	const frames = 300
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	p.start("infer", cfg)
	p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	for _, mark := range []int{60, 150} {
		p.await("results", func() bool { return p.live() >= mark })
		capture.kill()
		capture = p.start("ingest", cfg)
	}
	finished(t, capture)
	p.checkWhole("cam", frames)
	// A run that came to its end is not gone on with: the next is a new one.
	again := p.start("ingest", cfg)
	finished(t, again)
	out := p.stored("cam")
	if len(out) != 2*frames || out[frames].Seq != 0 || out[frames].Epoch == out[0].Epoch {
		t.Errorf("%d results after a second run, want %d in two epochs", len(out), 2*frames)
	}
}

// TestBrokerAway stops the NATS server for five seconds.
func TestBrokerAway(t *testing.T) {
	const frames = 300
	p := newPlant(t)
	cfg := p.config("plant.yaml", one(p.clipOf(frames)))
	p.start("infer", cfg)
	p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	p.await("results", func() bool { return p.live() >= 60 })
	p.stopNATS()
	time.Sleep(5 * time.Second)
	p.startNATS()
	finished(t, capture)
	p.checkWhole("cam", frames)
}

// TestModelOverTheBus has workers without the model's file: they fetch it by
// its hash from where the owner put it, also if they start first.
func TestModelOverTheBus(t *testing.T) {
	const frames = 50
	p := newPlant(t)
	manifest := onnxtest.BarcodeManifest()
	manifest.Name, manifest.File = "", ""
	text, err := manifest.YAML()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"own.onnx": onnxtest.BarcodeReader(1), "own.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cameras := `cameras: [{id: cam, source: "` + p.clipOf(frames) + `", delivery: every}]` + "\n"
	here := p.config("here.yaml", `models: [{name: own, file: "`+filepath.Join(dir, "own.onnx")+`"}]`+"\n"+cameras)
	there := p.config("there.yaml", "models: [{name: own}]\n"+cameras)
	p.start("infer", there)
	time.Sleep(500 * time.Millisecond) // it finds nothing yet
	p.start("preprocess", here)
	finished(t, p.start("ingest", here))
	p.checkWhole("cam", frames)
}

// TestLatestStaysFresh has an engine that is slower than the camera: a run
// starts with a frame that at most two newer ones exist of, and the account
// closes.
func TestLatestStaysFresh(t *testing.T) {
	const frames = 240
	p := newPlant(t)
	cfg := p.config("plant.yaml", `
models: [{name: slow, file: "`+slowModel(t)+`", engine: gorgonia, workers: 1}]
cameras: [{id: cam, source: "synthetic://bars?width=320&height=180&fps=40&frames=240", delivery: latest}]
`)
	var mu sync.Mutex
	var captured []time.Time
	if _, err := p.nc.Subscribe("vedette.frame.>", func(m *nats.Msg) {
		var f vedette.Frame
		if err := json.Unmarshal(m.Data, &f); err != nil {
			t.Error(err)
		} else if !f.End && !f.Last {
			mu.Lock()
			captured = append(captured, f.CapturedAt.Time)
			mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	p.start("infer", cfg)
	p.start("preprocess", cfg)
	time.Sleep(2 * time.Second)
	finished(t, p.start("ingest", cfg))
	time.Sleep(2 * time.Second)
	out := p.stored("cam")
	if len(out) < 10 || len(out) > frames/2 {
		t.Fatalf("%d results of %d frames: the engine is not slower than the camera, or hangs", len(out), frames)
	}
	mu.Lock()
	defer mu.Unlock()
	var newer []int
	missing := 0
	for i, d := range out {
		if d.Status != vedette.StatusOK {
			t.Errorf("seq %d: %s %s", d.Seq, d.Status, d.Reason)
		}
		for why, n := range d.GapBefore {
			if why != vedette.GapSource { // it has no seq
				missing += int(n)
			}
		}
		if i < 2 { // the first runs of an engine are slower than its later ones
			continue
		}
		at := captured[d.Seq]
		start := at.Add(time.Duration((d.Timing.Preprocess + d.Timing.Queue) * float64(time.Millisecond)))
		n := 0
		for _, c := range captured[d.Seq+1:] {
			if c.Before(start) {
				n++
			}
		}
		newer = append(newer, n)
	}
	last := out[len(out)-1]
	if missing+len(out) != int(last.Seq)+1 {
		t.Errorf("%d results and %d frames left out do not make %d", len(out), missing, last.Seq+1)
	}
	t.Logf("%d results of %d frames; newer frames when a run started: %v; a run took %.0f ms", len(out), frames, newer, last.Timing.Infer)
	// The start of a run is worked out from when its answer came, which a machine
	// that is busy with other tests delays; the soak has it for itself. Frames that
	// queue up delay every run.
	share := 50
	if soak {
		share = 95
	}
	slices.Sort(newer)
	if high := newer[len(newer)*share/100]; high > 2 {
		t.Errorf("%d newer frames existed when a run started", high)
	}
}

// slowModel writes a network that takes a while.
func slowModel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slow.onnx")
	if err := os.WriteFile(path, onnxtest.Slow(24), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := "task: classify\ninput: {color: rgb, resize: letterbox, scale: 0.00392157}\noutput: {decoder: classify, softmax: true}\n"
	if err := os.WriteFile(path[:len(path)-len("onnx")]+"yaml", []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
