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

// TestModelsRefused changes and removes a model of a plant in one process, and its
// cameras with it, in each way in which it can be asked. What cannot be used is
// refused with its place, and changes nothing.
func TestModelsRefused(t *testing.T) {
	for name, ask := range map[string]asking{"command": byCommand, "signal": bySignal, "request": byRequest} {
		t.Run(name, func(t *testing.T) { refuseModels(t, ask) })
	}
}

func refuseModels(t *testing.T, ask asking) {
	p := newPlant(t)
	sums := []string{writeReader(t, p.dir, 128)}
	own := fmt.Sprintf("{name: own, file: %q, engine: gorgonia, workers: 1}", filepath.Join(p.dir, "reader.onnx"))
	const other = "{name: barcode-reader, engine: gorgonia, workers: 1}"
	const line = "{id: line, source: 'synthetic://bars?width=320&height=180&fps=20', delivery: every, timeouts: {silence: 30s}, detect: [{model: own}]}"
	const keep = "{id: keep, source: 'synthetic://bars?width=320&height=180&fps=10', delivery: every, timeouts: {silence: 30s}, detect: [{model: barcode-reader}]}"
	text := func(models, cameras []string) {
		p.config("plant.yaml", "http: {listen: ''}\nmodels:\n  - "+strings.Join(models, "\n  - ")+"\ncameras:\n  - "+strings.Join(cameras, "\n  - ")+"\n")
	}
	text([]string{other, own}, []string{keep, line})
	run := p.start("run", filepath.Join(p.dir, "plant.yaml"))
	p.more("line")
	p.more("keep")

	sums = append(sums, writeReader(t, p.dir, 256)) // for larger pictures
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
		if err := os.WriteFile(filepath.Join(p.dir, "reader.onnx"), bad.onnx, 0o600); err != nil {
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

	writeReader(t, p.dir, 256)
	text([]string{other}, []string{keep})
	if out := ask(p, run); !strings.Contains(out, "removed model own") {
		t.Errorf("a model is removed: %s", out)
	}
	p.more("keep")
	p.checkReload("line", sums)
	p.checkReload("keep", nil)
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
