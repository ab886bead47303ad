//go:build cv

package stagetest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestReload adds, changes and removes cameras of a running plant; another one
// goes on without a gap, and nothing is left of those removed.
func TestReload(t *testing.T) {
	p := newPlant(t)
	text := func(cameras ...string) string {
		s := "models: [{name: barcode-reader, workers: 1}]\ncameras:\n"
		for _, c := range cameras {
			s += fmt.Sprintf("  - {id: %s, source: \"synthetic://bars?width=160&height=90&fps=%s\", delivery: every, timeouts: {silence: 30s}}\n", strings.Fields(c)[0], strings.Fields(c)[1])
		}
		return s
	}
	more := func(camera string) {
		t.Helper()
		n := p.of(camera)
		p.await("results of "+camera, func() bool { return p.of(camera) > n+3 })
	}
	reload := func(want ...string) {
		t.Helper()
		out, err := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("reload says %q, want %q", out, w)
			}
		}
	}
	cfg := p.config("plant.yaml", text("keep 20"))
	capture := p.start("ingest", cfg)
	owner := p.start("preprocess", cfg)
	p.start("infer", cfg)
	more("keep")

	p.config("plant.yaml", text("keep 20", "new 10"))
	reload("added new")
	more("new")
	p.config("plant.yaml", text("keep 20", "new 15"))
	reload("changed new")
	more("new")
	p.config("plant.yaml", text("keep 20"))
	reload("removed new")
	n := p.of("new")
	more("keep")
	if p.of("new") != n {
		t.Error("a removed camera goes on")
	}
	reload("nothing changed")

	p.config("plant.yaml", "models: [{name: barcode-reader}]\ncameras: [{id: Bad Name, source: x}]\n")
	if out, err := exec.Command(p.bin, "reload", "--server", p.url()).CombinedOutput(); err == nil || !strings.Contains(string(out), "cameras[0].id") {
		t.Errorf("a wrong file was taken: %v, %s", err, out)
	}
	more("keep")

	before := []int{fds(t, capture), fds(t, owner)}
	for range 3 {
		p.config("plant.yaml", text("keep 20", "new 15"))
		reload("added new")
		p.config("plant.yaml", text("keep 20"))
		reload("removed new")
	}
	for i, pr := range []*process{capture, owner} {
		if after := fds(t, pr); after > before[i]+1 { // a probe or a child may be on its way
			t.Errorf("%s has %d open descriptors, %d before", pr.name, after, before[i])
		}
	}
	more("keep")
	prev := int64(-1)
	for _, d := range p.stored("keep") {
		if int64(d.Seq) != prev+1 || len(d.GapBefore) > 0 {
			t.Fatalf("the other camera was disturbed: seq %d after %d, %v", d.Seq, prev, d.GapBefore)
		}
		prev = int64(d.Seq)
	}
	t.Logf("%d frames of the other camera without a gap", prev+1)
}

func fds(t *testing.T, pr *process) int {
	t.Helper()
	least := 1 << 30
	for range 5 { // what is open for a moment does not count
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pr.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, len(entries))
		time.Sleep(50 * time.Millisecond)
	}
	return least
}
