//go:build cv

package stagetest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// asking is a way to have a plant read its configuration again. It returns what
// the plant says, when it has said it.
type asking func(p *plant, run *process) string

// byCommand asks with vedette reload.
func byCommand(p *plant, _ *process) string {
	out, _ := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput()
	return string(out)
}

// bySignal asks with SIGHUP: the answer is what the process tells.
func bySignal(p *plant, run *process) string {
	p.t.Helper()
	said := len(run.log.String())
	if err := run.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	p.await("its word", func() bool { return strings.Contains(run.log.String()[said:], " read again: ") })
	return run.log.String()[said:]
}

// byRequest asks as an operator's own program does.
func byRequest(p *plant, _ *process) string {
	p.t.Helper()
	m, err := p.nc.RequestMsg(&nats.Msg{Subject: "vedette.control.reload"}, time.Minute)
	if err != nil {
		p.t.Fatal(err)
	}
	var a struct {
		Changes struct {
			Models []struct{ Name, What, SHA256 string }
			Added  []string
		}
		Error string
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		p.t.Fatal(err)
	}
	text := a.Error
	for _, m := range a.Changes.Models {
		text += fmt.Sprintf(" %s model %s", m.What, m.Name)
		if m.What != "removed" && len(m.SHA256) != 64 {
			p.t.Errorf("the answer %s has no hash of the model", m.Name)
		}
	}
	if len(a.Changes.Added) > 0 {
		text += " added " + strings.Join(a.Changes.Added, ", ")
	}
	return text
}

// TestModelsAreReloaded changes, adds and removes models of a running plant in
// each way in which it can be asked: no frame of a lossless camera is lost, and
// one that uses another model is not disturbed. What cannot be used is refused
// with its place, and changes nothing.
func TestModelsAreReloaded(t *testing.T) {
	for name, ask := range map[string]asking{"command": byCommand, "signal": bySignal, "request": byRequest} {
		t.Run(name, func(t *testing.T) { reloadModels(t, ask) })
	}
}

func reloadModels(t *testing.T, ask asking) {
	p := newPlant(t)
	file := filepath.Join(p.dir, "own.onnx")
	p.writeModel(file, onnxtest.BarcodeReaderOf(1, 128), 128)
	own := fmt.Sprintf("{name: own, file: %q, engine: gorgonia, workers: 1}", file)
	const other = "{name: barcode-reader, engine: gorgonia, workers: 1}"
	line := fmt.Sprintf("{id: line, source: %q, delivery: every, detect: [{model: own}]}", live)
	keep := fmt.Sprintf("{id: keep, source: %q, delivery: every, detect: [{model: barcode-reader}]}", live)
	text := func(models, cameras []string) {
		p.config("plant.yaml", "http: {listen: ''}\nmodels:\n  - "+strings.Join(models, "\n  - ")+"\ncameras:\n  - "+strings.Join(cameras, "\n  - ")+"\n")
	}
	text([]string{other, own}, []string{keep, line})
	run := p.start("run", filepath.Join(p.dir, "plant.yaml"))
	p.more("line")
	p.more("keep")

	p.writeModel(file, onnxtest.BarcodeReaderOf(1, 256), 256) // for larger pictures
	text([]string{other, own}, []string{keep, line, fmt.Sprintf("{id: new, source: %q, detect: [{model: own}]}", live)})
	if out := ask(p, run); !strings.Contains(out, "changed model own") || !strings.Contains(out, "added new") {
		t.Errorf("a changed model, and a camera: %s", out)
	}
	p.await("results of the other model", func() bool { return len(p.sums("line")) == 2 })
	p.more("new")

	extra := []string{keep, line, fmt.Sprintf("{id: extra, source: %q, detect: [{model: own}]}", live)}
	for _, bad := range []struct {
		onnx  []byte
		model string
		says  []string
	}{
		{[]byte("no network"), own, []string{"plant.yaml:6:23: models[1].file: "}},
		{onnxtest.UnknownOperator(256), own, []string{"plant.yaml:6:", "models[1].", "NoSuchOperator"}},
		{onnxtest.BarcodeReaderOf(1, 256), strings.Replace(own, "workers: 1", "device: cuda:7", 1), []string{"plant.yaml:6:", "models[1].device: ", "cuda"}},
		{onnxtest.BarcodeReaderOf(1, 256), strings.Replace(own, "workers: 1", "worker: 1", 1), []string{"plant.yaml:6:", "models[1].worker: "}},
	} {
		if err := os.WriteFile(file, bad.onnx, 0o600); err != nil {
			t.Fatal(err)
		}
		text([]string{other, bad.model}, extra)
		out := ask(p, run)
		for _, says := range bad.says {
			if !strings.Contains(out, says) {
				t.Errorf("it does not say %q: %s", says, out)
			}
		}
		p.more("line")
		p.more("new")
	}
	if n := p.of("extra"); n != 0 || len(p.sums("line")) != 2 {
		t.Errorf("what was refused has %d results, and %d models were used", n, len(p.sums("line")))
	}

	p.writeModel(file, onnxtest.BarcodeReaderOf(1, 256), 256)
	text([]string{other}, []string{keep})
	if out := ask(p, run); !strings.Contains(out, "removed model own") {
		t.Errorf("a model is removed: %s", out)
	}
	p.more("keep")
	t.Logf("%d frames of the line with one model and the other, %d beside it", p.unbroken("line"), p.unbroken("keep"))
}

// writeModel writes a bar-code reader for pictures of a size, with its manifest.
func (p *plant) writeModel(file string, onnx []byte, size int) {
	p.t.Helper()
	manifest := onnxtest.BarcodeManifestOf(size)
	manifest.Name, manifest.File, manifest.SHA256 = "", "", ""
	text, err := manifest.YAML()
	if err != nil {
		p.t.Fatal(err)
	}
	for name, data := range map[string][]byte{file: onnx, strings.TrimSuffix(file, "onnx") + "yaml": text} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// more waits for more results of a camera.
func (p *plant) more(camera string) {
	p.t.Helper()
	n := p.of(camera)
	p.await("results of "+camera, func() bool { return p.of(camera) > n+3 })
}

// sums are the models of a camera's results so far, in order without repeats.
func (p *plant) sums(camera string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.out {
		if d.Camera == camera {
			all = append(all, d.Model.SHA256)
		}
	}
	return slices.Compact(all)
}

// unbroken checks that a lossless camera's stored results leave nothing out and
// have nothing twice, and says how many they are.
func (p *plant) unbroken(camera string) (frames int) {
	p.t.Helper()
	out := p.stored(camera)
	for i, d := range out {
		if d.Seq != uint64(i) || d.Epoch != out[0].Epoch || d.PrevSeq != int64(i)-1 || len(d.GapBefore) > 0 || d.Status != "ok" {
			p.t.Fatalf("result %d of %s: %s seq %d, prev_seq %d, gap_before %v, %s %s", i, camera, d.Epoch, d.Seq, d.PrevSeq, d.GapBefore, d.Status, d.Reason)
		}
	}
	return len(out)
}
