//go:build cv

package stagetest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused starts a stage that is not to start and checks that it says why, in
// one sentence.
func (p *plant) refused(stage, config string, says ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.bin, stage, "-c", config, "--host", "there")
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		p.t.Errorf("exit code %d, %v", code, err)
	}
	var sentences []string
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "vedette: "); ok {
			sentences = append(sentences, text)
		}
	}
	if len(sentences) != 1 {
		p.t.Fatalf("it says\n%s", out)
	}
	for _, want := range says {
		if !strings.Contains(sentences[0], want) {
			p.t.Errorf("it does not say %q: %s", want, sentences[0])
		}
	}
}

// TestSecondOwner starts a second owner of a camera on another host, a second
// capture and a whole pipeline: they are refused, and nothing is lost. When the
// first owner is killed the next goes on.
func TestSecondOwner(t *testing.T) {
	p := newPlant(t)
	cfg := p.config("plant.yaml", one("synthetic://bars?width=160&height=90&fps=20"))
	p.start("infer", cfg)
	owner := p.start("preprocess", cfg)
	capture := p.start("ingest", cfg)
	p.await("results", func() bool { return p.live() >= 30 })
	p.refused("preprocess", cfg, "camera cam is owned already", "on the host here", "process ", "stop that one")
	p.refused("ingest", cfg, "camera cam is captured already", "on the host here")
	owner.kill()
	n := p.live()
	p.start("preprocess", cfg) // at once: its own ghost does not count
	p.await("results of the next owner", func() bool { return p.live() > n+30 })
	capture.stop()
	p.settled("preprocess", p.url(), "")
	p.checkWhole("cam", len(p.stored("cam")))
	if strings.Contains(capture.log.String(), "level=ERROR") || strings.Contains(owner.log.String(), "level=ERROR") {
		t.Error("the first was disturbed")
	}
}

// TestTwoRuns starts two whole pipelines for one camera at the same moment.
func TestTwoRuns(t *testing.T) {
	p := newPlant(t)
	cfg := p.config("plant.yaml", "http: {listen: ''}\n"+one("synthetic://bars?width=160&height=90&fps=20"))
	a, b := p.start("run", cfg), p.start("run", cfg)
	var first, second *process
	select {
	case <-a.done:
		first, second = b, a
	case <-b.done:
		first, second = a, b
	case <-time.After(20 * time.Second):
		t.Fatal("both go on")
	}
	// Which of the two claims the other was first with is chance.
	if says := second.log.String(); !strings.Contains(says, "camera cam is owned already") && !strings.Contains(says, "camera cam is captured already") {
		t.Errorf("the second says\n%s", second.log)
	}
	p.await("results", func() bool { return p.live() >= 20 })
	select {
	case <-first.done:
		t.Error("neither goes on")
	default:
	}
	first.kill()
	n := p.live()
	p.start("run", cfg)
	p.await("results of the next", func() bool { return p.live() > n+10 })
}

// TestOwnerStandsStill stops an owner's process without ending it, as a machine
// that sleeps: another host takes its place, and when it goes on it gives in.
func TestOwnerStandsStill(t *testing.T) {
	p := newPlant(t)
	cfg := p.config("plant.yaml", one("synthetic://bars?width=160&height=90&fps=20"))
	p.start("infer", cfg)
	p.start("ingest", cfg)
	first := p.start("preprocess", cfg)
	p.await("results", func() bool { return p.live() >= 10 })
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.start("preprocess", cfg) // the pictures are on this host
	n := p.live()
	p.await("results of the second owner", func() bool { return p.live() > n+10 })
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.await("the first owner to give in", func() bool {
		return strings.Contains(first.log.String(), "camera cam is owned already, by the instance here-")
	})
	n = p.live()
	p.await("results of the second owner", func() bool { return p.live() > n+40 })
	seen := map[string]bool{}
	for _, d := range p.stored("cam") {
		if seen[d.ID] {
			t.Errorf("%s has two results", d.ID)
		}
		seen[d.ID] = true
	}
}

// TestReloadOfAnothersCamera adds a camera that another owner has, beside one
// that is free: that one starts.
func TestReloadOfAnothersCamera(t *testing.T) {
	p := newPlant(t)
	line := func(id string) string {
		return "  - {id: " + id + ", source: \"synthetic://bars?width=160&height=90&fps=20\"}\n"
	}
	const models = "models: [{name: barcode-reader, engine: gorgonia, workers: 1}]\ncameras:\n"
	p.start("preprocess", p.config("there.yaml", models+line("gate")), "--host", "there")
	cfg := p.config("here.yaml", models+line("keep"))
	p.start("infer", cfg)
	p.start("ingest", cfg)
	p.start("preprocess", cfg)
	p.await("results", func() bool { return p.live() >= 10 })
	text, err := os.ReadFile(filepath.Join(p.dir, "here.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "here.yaml"), []byte(string(text)+line("gate")+line("new")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "added new; camera gate is owned already, by the instance there-") {
		t.Errorf("reload: %v\n%s", err, out)
	}
	p.await("results of the camera that is free", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, d := range p.out {
			if d.Camera == "new" {
				return true
			}
		}
		return false
	})
}
