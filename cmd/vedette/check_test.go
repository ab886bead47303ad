package main_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// checkFolder has the files that testdata/check names.
func checkFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := onnxtest.BarcodeReader(1)
	manifest := func(name string, edit func(string) string) {
		t.Helper()
		m := onnxtest.BarcodeManifest()
		m.Name, m.File = name, name+".onnx"
		text, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		write(name+".yaml", []byte(edit(string(text))))
		write(name+".onnx", whole)
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in the manifest", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	manifest("good", func(s string) string { return s })
	manifest("typos", replace("task: detect", "task: detekt\ntusk: 1"))
	manifest("other", replace("task:", "sha256: "+strings.Repeat("ab", 32)+"\ntask:"))
	manifest("layout", replace("decoder: end2end", "decoder: yolox"))
	manifest("operator", func(string) string {
		return "task: detect\ninput: {width: 8, height: 8}\noutput: {decoder: end2end}\nlabels: [a]\n"
	})
	write("operator.onnx", onnxtest.UnknownOperator(8))
	write("text.onnx", []byte("this is no model\n"))
	write("cut.onnx", whole[:len(whole)/2])
	write("empty.mp4", nil)
	if err := os.Mkdir(filepath.Join(dir, "pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCheckElsewhere checks a configuration of another folder than the one where
// the program runs: what it names lies beside it.
func TestCheckElsewhere(t *testing.T) {
	t.Parallel()
	dir := checkFolder(t)
	text := "models: [{name: good, file: %s.yaml, engine: gorgonia}]\ncameras: [{id: a, source: boards.png}]\n"
	for name, content := range map[string]string{"boards.png": "x", "right.yml": fmt.Sprintf(text, "good"), "wrong.yml": fmt.Sprintf(text, "none")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string) outcome {
		return program{args: []string{"check", "-c", filepath.Join(filepath.Base(dir), name)}, dir: filepath.Dir(dir)}.run(t)
	}
	if o := check("right.yml"); o.code != 0 {
		t.Errorf("exit code %d:\n%s", o.code, o.stderr)
	}
	if o := check("wrong.yml"); o.code != 2 || !strings.Contains(o.stderr, filepath.Join(filepath.Base(dir), "none.yaml")) {
		t.Errorf("exit code %d:\n%s", o.code, o.stderr)
	}
}

// TestCheckSaysWhatIsIdle: a promise to keep what is never made is no error, but
// said.
func TestCheckSaysWhatIsIdle(t *testing.T) {
	t.Parallel()
	dir := checkFolder(t)
	for name, c := range map[string]struct{ retention, says string }{
		"none": {"{detections: {age: 365d}}", ""},
		"one":  {"{results: {age: 365d}}", "one.yaml:3:23: retention.results has no effect yet: "},
		"two":  {"{snapshots: {age: 1d}, detections: {age: 1d}, events: {age: 1d}}", "two.yaml:3:67: retention.events, retention.snapshots have no effect yet: "},
	} {
		text := "models: [{name: good, file: good.yaml, engine: gorgonia}]\ncameras: [{id: a, source: 'synthetic://bars'}]\nretention: " + c.retention + "\n"
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := program{args: []string{"check", "--quick", "-c", name + ".yaml"}, dir: dir}.run(t)
		if o.code != 0 || !strings.Contains(o.stderr, c.says) || strings.Count(o.stderr, "no effect") != min(len(c.says), 1) {
			t.Errorf("%s: exit code %d, does not say %q:\n%s", name, o.code, c.says, o.stderr)
		}
	}
}

// TestCheckBad runs check on each testdata/check/*.bad.yaml and compares what it
// says with the .txt beside it. It needs neither OpenCV nor ONNX Runtime.
func TestCheckBad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/check/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := checkFolder(t)
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			o := program{
				args: []string{"check", "-c", name, "--log-level", "error"}, dir: dir,
				env: []string{"PASSWORD=hunter2", "ONNXRUNTIME_SHARED_LIBRARY_PATH=/nosuch/libonnxruntime.so", "XDG_CACHE_HOME=" + dir},
			}.run(t)
			if o.code != 2 || o.stdout != "" {
				t.Errorf("exit code %d; stdout %q", o.code, o.stdout)
			}
			if strings.Contains(o.stderr, "hunter") {
				t.Errorf("a secret is shown:\n%s", o.stderr)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(o.stderr), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), o.stderr); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckGood(t *testing.T) {
	t.Parallel()
	dir := checkFolder(t)
	plant := filepath.Join(dir, "plant.yaml")
	text := "models: [{name: bars, file: good.yaml, engine: gorgonia}, {name: barcode-reader, engine: gorgonia}]\n" +
		"cameras: [{id: a, source: 'synthetic://bars', detect: [{model: bars, min_score: 0.01, labels: [cell-001]}]}]\n"
	if err := os.WriteFile(plant, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"check -c plant.yaml":         "plant.yaml is valid: 1 camera, 2 models\nmodel bars runs with gorgonia on cpu\nmodel barcode-reader runs with gorgonia on cpu\n",
		"check -c plant.yaml --quick": "plant.yaml is valid: 1 camera, 2 models\n",
	} {
		o := program{args: strings.Fields(args), dir: dir}.run(t)
		if o.code != 0 || o.stderr != "" || o.stdout != says {
			t.Errorf("%s: exit code %d; stdout %s; stderr %s", args, o.code, o.stdout, o.stderr)
		}
	}
}

// What keeps check from finding anything is one sentence; run and the stages
// say what check says, before they start anything.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	dir := checkFolder(t)
	text := "bus: {url: 'nats://127.0.0.1:1'}\nmodels: [{name: gone, file: nosuch.onnx}]\ncameras: [{id: a, source: 'foo://x'}]\n"
	if err := os.WriteFile(filepath.Join(dir, "plant.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "preprocess", "infer"} {
		o := program{args: []string{command, "-c", "plant.yaml"}, dir: dir}.run(t)
		s := o.sentences()
		if o.code != 2 || len(s) != 2 || !strings.HasPrefix(s[0], "plant.yaml:2:29: models[0].file: ") || !strings.HasPrefix(s[1], "plant.yaml:3:27: cameras[0].source: ") {
			t.Errorf("%s: exit code %d; stderr:\n%s", command, o.code, o.stderr)
		}
	}
	o := program{args: []string{"ingest", "-c", "plant.yaml"}, dir: dir}.run(t)
	if s := o.sentences(); o.code != 2 || len(s) != 1 || !strings.HasPrefix(s[0], "plant.yaml:3:27: cameras[0].source: ") {
		t.Errorf("ingest, which needs no model: exit code %d; stderr:\n%s", o.code, o.stderr)
	}
}

// A file that names no model is looked at with the built-in one, and is told of
// others.
func TestMinimalConfiguration(t *testing.T) {
	t.Parallel()
	plant := file(t, "plant.yaml", []byte("cameras: [{id: gate, source: 'synthetic://line'}]\n"))
	o := program{args: []string{"check", "-c", plant}, env: []string{"XDG_CACHE_HOME=" + t.TempDir()}}.run(t)
	if o.code != 0 || !strings.Contains(o.stdout, "plant.yaml is valid: 1 camera, 1 model\nmodel pcb-defects runs with ") {
		t.Errorf("exit code %d; stdout %s; stderr %s", o.code, o.stdout, o.stderr)
	}
	for _, says := range []string{"plant.yaml lists no models", "pcb-defects, which finds", "circuit boards", "vedette models pull yolox-nano", "vedette models list"} {
		if !strings.Contains(o.stderr, says) {
			t.Errorf("it does not say %q:\n%s", says, o.stderr)
		}
	}
}
