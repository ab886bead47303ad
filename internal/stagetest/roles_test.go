//go:build cv

package stagetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
)

// TestStagesWithRoles runs the stages on a server with roles, each with its own
// key, and the worker with one that is for little else. None is refused anything.
func TestStagesWithRoles(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	p := newPlantWith(t, keys)
	const frames = 120
	text := strings.TrimSpace(one(p.clipOf(frames))) // a file that ends, and a camera that does not
	text = strings.TrimSuffix(text, "]") + ", {id: live, source: 'synthetic://bars?width=160&height=90&fps=5'}]\n"
	stage, worker := p.config("stage.yaml", text), p.configFor(bus.Worker, "worker.yaml", text)
	stages := []*process{p.start("infer", worker), p.start("preprocess", stage)}
	capture := p.start("ingest", stage)
	p.await("results", func() bool { return p.live() >= 20 })

	operator := []string{"--server", p.url(), "--nkey", p.key(bus.Operator)}
	out, err := exec.Command(p.bin, append([]string{"status"}, operator...)...).CombinedOutput()
	if err != nil || strings.Count(string(out), " here ") != 3 {
		t.Errorf("status: %v\n%s", err, out)
	}
	if out, err := exec.Command(p.bin, append([]string{"reload"}, operator...)...).CombinedOutput(); err != nil || strings.Count(string(out), "nothing changed") != 3 {
		t.Errorf("reload: %v\n%s", err, out)
	}
	// Beside the stage's key the command finds the operator's.
	if out, err := exec.Command(p.bin, "reload", "-c", stage).CombinedOutput(); err != nil {
		t.Errorf("reload -c: %v\n%s", err, out)
	}
	p.await("the whole file", func() bool { return p.of("cam") == frames })
	p.checkWhole("cam", frames)
	for _, s := range append(stages, capture) {
		log := s.log.String()
		if s.name == "infer" { // it offers its model, which is not for it to do
			log = strings.Replace(log, "this login may not do that: publish on $JS.API.STREAM", "", 1)
		}
		if strings.Contains(log, "ermission") || strings.Contains(log, "may not do that") {
			t.Errorf("%s was refused something:\n%s", s.name, log)
		}
	}
}

// TestStageWithTheWrongKey: a stage whose key is for another role says so and
// ends, rather than do half its work.
func TestStageWithTheWrongKey(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	p := newPlantWith(t, keys)
	for _, stage := range []string{"ingest", "preprocess", "infer"} {
		for _, r := range []bus.Role{bus.Subscriber, bus.Operator, bus.Worker} {
			if stage == "infer" && r == bus.Worker {
				continue
			}
			cmd := exec.Command(p.bin, stage, "-c", p.configFor(r, "wrong.yaml", one("synthetic://bars?frames=100000")), "--host", "here")
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(p.dir, "cache"))
			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "vedette: ") || !strings.Contains(string(out), "key of the right role") {
				t.Errorf("%s with the key of a %s: exit code %d\n%s", stage, r, cmd.ProcessState.ExitCode(), out)
			}
		}
	}
}
