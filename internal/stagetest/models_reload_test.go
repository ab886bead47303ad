//go:build cv

package stagetest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// writeReader writes a model that reads the frames' numbers from pictures of
// size × size, and returns its SHA-256.
func writeReader(t *testing.T, dir string, size int) string {
	t.Helper()
	onnx := onnxtest.BarcodeReaderOf(1, size)
	m := onnxtest.BarcodeManifestOf(size)
	m.File = "reader.onnx"
	text, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"reader.onnx": onnx, "reader.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(onnx)
	return hex.EncodeToString(sum[:])
}

// TestModelsReload changes a model's file under a plant of three processes, and
// has them take it by the command, by a signal and by a message. No frame of a
// lossless live camera is lost, and a camera of another model goes on.
func TestModelsReload(t *testing.T) {
	p := newPlant(t)
	dir := t.TempDir()
	sums := []string{writeReader(t, dir, 128)}
	text := func(more string) string {
		return fmt.Sprintf(`models:
  - {name: reader, file: %q, engine: gorgonia, workers: 1}
  - {name: barcode-reader, engine: gorgonia, workers: 1}
%scameras:
  - {id: cam, source: "synthetic://bars?width=320&height=180&fps=20", delivery: every, timeouts: {silence: 30s}, detect: [{model: reader}]}
  - {id: other, source: "synthetic://bars?width=320&height=180&fps=10", delivery: every, timeouts: {silence: 30s}, detect: [{model: barcode-reader}]}
`, filepath.Join(dir, "reader.yaml"), more)
	}
	cfg := p.config("plant.yaml", text(""))
	stages := []*process{p.start("infer", cfg), p.start("preprocess", cfg), p.start("ingest", cfg)}
	seen := func(sum string) func() bool {
		return func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			n := 0
			for _, d := range p.out {
				if d.Camera == "cam" && d.Model.SHA256 == sum {
					n++
				}
			}
			return n > 5
		}
	}
	p.await("results", seen(sums[0]))

	// A file that is no network changes nothing, and each says why.
	if err := os.WriteFile(filepath.Join(dir, "reader.onnx"), []byte("no network"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput()
	if err == nil || strings.Count(string(out), "plant.yaml:4:26: models[0].file") < 2 {
		t.Errorf("a broken model was taken: %v\n%s", err, out)
	}
	n := p.of("cam")
	p.await("results as before", func() bool { return p.of("cam") > n+5 })

	for _, way := range []struct {
		size   int
		reload func() error
	}{
		{256, func() error {
			out, err := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput()
			if err == nil && strings.Count(string(out), "changed model reader") != 2 { // of infer and preprocess
				err = fmt.Errorf("it says nothing of the model:\n%s", out)
			}
			return err
		}},
		{384, func() error {
			for _, s := range stages {
				if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					return err
				}
			}
			return nil
		}},
		{128, func() error {
			return p.nc.PublishMsg(&nats.Msg{Subject: "vedette.control.reload", Reply: p.nc.NewInbox()})
		}},
	} {
		sums = append(sums, writeReader(t, dir, way.size))
		if err := way.reload(); err != nil {
			t.Error(err)
		}
		n := p.live()
		p.await("results of the new model", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, d := range p.out[n:] {
				if d.Camera == "cam" && d.Model.SHA256 == sums[len(sums)-1] {
					return true
				}
			}
			return false
		})
	}
	stages[2].stop() // the cameras
	p.checkReload("cam", sums[:3])
	p.checkReload("other", nil)
}

// checkReload checks that the stored results of a camera have no hole and show
// their own pictures, and that all the models gave some.
func (p *plant) checkReload(camera string, sums []string) {
	p.t.Helper()
	used := map[string]int{}
	out := p.stored(camera)
	for i, d := range out {
		if d.Seq != uint64(i) || d.Epoch != out[0].Epoch || d.PrevSeq != int64(i)-1 || len(d.GapBefore) > 0 || d.Objects == nil {
			p.t.Fatalf("result %d of %s: %s seq %d, prev_seq %d, gap_before %v, %s %s", i, camera, d.Epoch, d.Seq, d.PrevSeq, d.GapBefore, d.Status, d.Reason)
		}
		if r := read(d); !r.HasNumber || uint64(r.Number) != d.Seq {
			p.t.Errorf("%s seq %d: its picture shows %+v", camera, d.Seq, r)
		}
		used[d.Model.SHA256]++
	}
	for _, s := range sums {
		if used[s] == 0 {
			p.t.Errorf("no result of %s by the model %s", camera, s)
		}
	}
	p.t.Logf("%s: %d results without a hole, by %d models", camera, len(out), len(used))
}
