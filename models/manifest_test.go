package models_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/models"
)

func TestParseManifest(t *testing.T) {
	got, err := models.ParseManifest("m.yaml", []byte(`
name: pcb-defects
task: detect
licence: Apache-2.0
input: {width: 640, height: 480, color: bgr, scale: 0.5, mean: [1, 2, 3]}
output:
  decoder: yolov8
  strides: [8, 16]
labels: [open, short]
`))
	want := models.Manifest{
		Name: "pcb-defects", Task: models.Detect, Licence: "Apache-2.0",
		Input:  models.Input{Width: 640, Height: 480, Color: models.BGR, Scale: 0.5, Mean: []float64{1, 2, 3}},
		Output: models.Output{Decoder: "yolov8", Strides: []int{8, 16}},
		Labels: []string{"open", "short"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestManifestScene(t *testing.T) {
	want := models.Manifest{Output: models.Output{Decoder: "yolox", Scene: &models.Scene{
		Output: "scene", Classes: []string{"no_board", "board"}, Fit: "board", MinShare: 0.2,
	}}}
	text, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := models.ParseManifest("m.yaml", text)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s\n%s", err, diff, text)
	}
}

func TestParseManifestBad(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown keys", "nam: x\ninput: {widht: 3, height: 3}\n",
			`m.yaml:1:1: nam: unknown key; did you mean "name"?; allowed: name, task, file, sha256, licence, source, input, output, label_set, labels
m.yaml:2:9: input.widht: unknown key; did you mean "width"?; allowed: name, width, height, layout, color, resize, crop_fraction, pad, interpolation, scale, mean, std, type`},
		{"values", "task: detekt\ninput:\n  color: grey\n  width: wide\n",
			`m.yaml:1:7: task: must be detect, classify, segment, embed or anomaly (got "detekt"); did you mean "detect"?
m.yaml:3:10: input.color: must be rgb, bgr or gray (got "grey"); did you mean "gray"?
m.yaml:4:10: input.width: must be a whole number (got "wide")`},
		{"ranges", "name: a.b\nsha256: 12\ninput: {width: 0, pad: 300, scale: -1, mean: [1, 2], std: [0, 1, 1], crop_fraction: 2}\noutput: {iou: 3, strides: [0], max_objects: -1}\nlabel_set: coco\nlabels: [\"\"]\n",
			`m.yaml:1:7: name: invalid id "a.b": allowed are a-z, 0-9, _ and -
m.yaml:2:9: sha256: must be 64 hexadecimal digits (got "12")
m.yaml:3:16: input.width: must be within 1..16384 (got 0)
m.yaml:3:24: input.pad: must be within 0..255 (got 300)
m.yaml:3:36: input.scale: must be above 0 (got -1)
m.yaml:3:46: input.mean: must have 1 value or one for each of 3 channels (got 2)
m.yaml:3:60: input.std[0]: must be above 0 (got 0)
m.yaml:3:85: input.crop_fraction: must be within 0..1 (got 2)
m.yaml:4:15: output.iou: must be within 0..1 (got 3)
m.yaml:4:28: output.strides[0]: must be within 1..16384 (got 0)
m.yaml:4:45: output.max_objects: must not be negative (got -1)
m.yaml:5:12: label_set: must be coco80 or imagenet1000 (got "coco"); did you mean "coco80"?
m.yaml:6:9: labels: give either labels or label_set, not both
m.yaml:6:10: labels[0]: is empty`},
		{"scene", "output:\n  scene: {output: \"\", classes: [no board], fit: board, min_share: 2}\n",
			`m.yaml:2:19: output.scene.output: is required: the name of the graph's output
m.yaml:2:32: output.scene.classes: must be at least two: the empty scene first, and what can be judged
m.yaml:2:33: output.scene.classes[0]: invalid id "no board": allowed are a-z, 0-9, _ and -
m.yaml:2:49: output.scene.fit: must be one of the classes (got "board")
m.yaml:2:67: output.scene.min_share: must be within 0..1 (got 2)`},
		{"not YAML", "a: [1\n", "m.yaml:1:4: sequence end token ']' not found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := models.ParseManifest("m.yaml", []byte(tt.text))
			if err == nil {
				t.Fatal("it was read")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidateWithoutFile(t *testing.T) {
	m := models.Manifest{Name: "A", Input: models.Input{Color: "red"}}
	err := m.Validate()
	want := "name: invalid id \"A\": allowed are a-z, 0-9, _ and -\ninput.color: must be rgb, bgr or gray (got \"red\")"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
}

// TestKnown reads the shipped manifests as strictly as a user's.
func TestKnown(t *testing.T) {
	files, err := filepath.Glob("known/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := models.ParseManifest(f, data)
		if err != nil {
			t.Error(err)
		}
		if m.Task == "" || m.Output.Decoder == "" || m.Input.Width == 0 || (len(m.Labels) == 0 && m.LabelSet == "") {
			t.Errorf("%s leaves out what it should say: %+v", f, m)
		}
	}
}

func TestCatalogue(t *testing.T) {
	all := models.Catalogue()
	if len(all) != 12 {
		t.Fatalf("%d models", len(all))
	}
	for _, e := range all {
		if len(e.SHA256) != 64 || e.Bytes < 1000 || !strings.HasPrefix(e.URL, "https://") || e.Licence == "" || e.About == "" {
			t.Errorf("entry is %+v", e)
		}
		_, err := os.Stat("known/" + e.Name + ".yaml")
		if (err == nil) == (e.Unsupported != "") {
			t.Errorf("%s: a manifest or a reason why there is none: %v, %q", e.Name, err, e.Unsupported)
		}
	}
}

func TestLabelSets(t *testing.T) {
	for name, want := range map[string]struct {
		n           int
		first, last string
	}{"coco80": {80, "person", "toothbrush"}, "imagenet1000": {1000, "tench", "toilet tissue"}} {
		l := models.LabelSet(name)
		if len(l) != want.n || l[0] != want.first || l[len(l)-1] != want.last {
			t.Errorf("%s has %d labels: %v", name, len(l), l)
		}
	}
	if models.LabelSet("../labels/coco80") != nil || models.LabelSet("none") != nil {
		t.Error("a list that is not there")
	}
}

func TestResolve(t *testing.T) {
	here, cache := t.TempDir(), t.TempDir()
	write(t, filepath.Join(here, "mine.onnx"), nil)
	write(t, filepath.Join(here, "mine.yaml"), nil)
	write(t, filepath.Join(cache, "mine.onnx"), nil)
	write(t, filepath.Join(cache, "other.onnx"), nil)
	if err := os.Mkdir(filepath.Join(here, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := models.Places{here, cache, filepath.Join(here, "absent")}
	tests := []struct{ name, path, err string }{
		{"mine", filepath.Join(here, "mine.yaml"), ""},
		{"other", filepath.Join(cache, "other.onnx"), ""},
		{"folder", filepath.Join(here, "folder"), ""},
		{filepath.Join(cache, "mine.onnx"), filepath.Join(cache, "mine.onnx"), ""},
		{filepath.Join(cache, "none.onnx"), "", "no such file"},
		{"none.onnx", "", "no such file"},
		{"mina", "", `did you mean "mine"?; on this machine: mine, other`},
		{"yolox-nano", "", "run: vedette models pull yolox-nano"},
		{"", "", "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, err := p.Resolve(tt.name)
			if path != tt.path || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %q, %v", path, err)
			}
		})
	}
	want := []models.Found{{Name: "mine", Path: filepath.Join(here, "mine.onnx")}, {Name: "other", Path: filepath.Join(cache, "other.onnx")}}
	if diff := cmp.Diff(want, p.List()); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte("name: a\ninput: {width: 3}\nlabels: [a, b]\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := models.ParseManifest("m.yaml", data)
		if err != nil {
			return
		}
		text, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := models.ParseManifest("m.yaml", text); err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, text)
		}
	})
}
