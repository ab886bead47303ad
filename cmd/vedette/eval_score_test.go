package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// twoBoards is a DeepPCB list of two boards that pcb-defects has not seen, with
// their templates.
func twoBoards(t *testing.T) string {
	t.Helper()
	const group = "group77000"
	dir := t.TempDir()
	if err := os.Symlink(testkit.Data(t, "defects/deeppcb/"+group), filepath.Join(dir, group)); err != nil {
		t.Fatal(err)
	}
	list := "group77000/77000/77000000.jpg group77000/77000_not/77000000.txt\ngroup77000/77000/77000001.jpg group77000/77000_not/77000001.txt\n"
	if err := os.WriteFile(filepath.Join(dir, "trainval.txt"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Without --score a model is scored at the threshold it runs with, and stored
// detections, which have none, at the one with the best F1.
func TestEvalThreshold(t *testing.T) {
	t.Parallel()
	data := twoBoards(t)
	library(t)
	type scores struct {
		Judged   int
		Found    int
		Chosen   struct{ Score float64 }
		BestF1   struct{ Score float64 } `json:"best_f1"`
		Pictures struct {
			WithoutObjects int `json:"without_objects"`
		}
	}
	score := func(args ...string) (s scores) {
		o := run(t, append([]string{"eval", "--data", data + "@group77000", "--format", "json"}, args...)...)
		if err := json.Unmarshal([]byte(o.stdout), &s); err != nil || o.code != 0 {
			t.Fatalf("%v: %v; exit code %d; %s", args, err, o.code, o.stderr)
		}
		return s
	}
	shipped, err := models.Load("../../models/pcb-defects/pcb-defects.yaml", decode.Guess)
	if err != nil {
		t.Fatal(err)
	}
	own := shipped.Manifest.Output.MinScore
	s := score("--model", "pcb-defects", "--templates")
	if s.Judged != 4 || s.Pictures.WithoutObjects != 2 {
		t.Errorf("with templates: %+v", s)
	}
	if s.Chosen.Score != own || s.BestF1.Score == own {
		t.Errorf("of a model: %+v, want %v", s, own)
	}
	if s := score("--model", "pcb-defects", "--score", "0.5"); s.Chosen.Score != 0.5 {
		t.Errorf("--score 0.5: %+v", s)
	}
	if s := score("--model", "pcb-defects", "--score", "0"); s.Chosen != s.BestF1 || s.BestF1.Score < 0.01 {
		t.Errorf("--score 0: %+v", s)
	}
	if low := score("--model", "pcb-defects", "--score", "0.001"); low.Found <= s.Found {
		t.Errorf("--score 0.001 counts no more than 0.01 does: %d detections, %d", low.Found, s.Found)
	}

	o := run(t, "detect", filepath.Join(data, "group77000", "77000", "77000000_test.jpg"), "--model", "pcb-defects", "--min-score", "0.01", "--format", "jsonl")
	if o.code != 0 {
		t.Fatalf("exit code %d; %s", o.code, o.stderr)
	}
	if s := score("--detections", file(t, "stored.jsonl", []byte(o.stdout))); s.Chosen != s.BestF1 || s.Judged != 1 {
		t.Errorf("of stored detections: %+v", s)
	}
}
