package models_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// TestBareFiles points at model files that have no manifest. Copied under
// another content hash they are still read by their layout.
func TestBareFiles(t *testing.T) {
	tests := []struct {
		file, name, decoder string
		known               bool
		color               models.Color
		resize              models.Resize
		labels              int
		first               string
	}{
		{"yolox_nano_416.onnx", "yolox_nano_416", "yolox", false, models.BGR, models.LetterboxTopLeft, 80, "person"},
		{"yolox_person_192.onnx", "yolox_person_192", "yolox", true, models.BGR, models.LetterboxTopLeft, 1, "person"},
		{"nanodet_m_320.onnx", "nanodet_m_320", "nanodet", false, models.BGR, models.Letterbox, 80, "person"},
		{"FastestDet_352.onnx", "fastestdet_352", "fastestdet", false, models.BGR, models.Stretch, 80, "person"},
		{"ultraface_version-RFB-320.onnx", "ultraface_version-rfb-320", "ssd", true, models.RGB, models.Stretch, 1, "face"},
		{"ultraface_version-slim-320.onnx", "ultraface_version-slim-320", "ssd", true, models.RGB, models.Stretch, 1, "face"},
		{"yunet_120x160.onnx", "yunet_120x160", "yunet", true, models.BGR, models.Stretch, 1, "face"},
		{"SqueezeNet_fp16.onnx", "squeezenet_fp16", "classify", true, models.BGR, models.Crop, 1000, "tench"},
		{"mnist.onnx", "mnist", "classify", true, models.Gray, models.Stretch, 10, "0"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			m, err := models.Load(testkit.Data(t, "models/"+tt.file), decode.Guess)
			if err != nil {
				t.Fatal(err)
			}
			got := m.Manifest
			if got.Name != tt.name || got.Output.Decoder != tt.decoder || got.Input.Color != tt.color || got.Input.Resize != tt.resize {
				t.Errorf("the manifest is %+v", got)
			}
			if len(got.Labels) != tt.labels || got.Labels[0] != tt.first {
				t.Errorf("%d labels: %v", len(got.Labels), got.Labels)
			}
			if (m.Report.Origin == models.FromKnown) != tt.known {
				t.Errorf("the manifest is from a %s", m.Report.Origin)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
			roundTrip(t, m)
			if n := len(m.Report.Notes); n != 0 && tt.known {
				t.Errorf("notes: %v", m.Report.Notes)
			}
		})
	}
}

// roundTrip writes the proposal beside a copy of the model and loads that.
func roundTrip(t *testing.T, m *models.Model) {
	t.Helper()
	dir := t.TempDir()
	text, err := m.Manifest.YAML()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, m.Manifest.File), m.ONNX)
	write(t, filepath.Join(dir, "manifest.yaml"), text)
	again, err := models.Load(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Manifest, again.Manifest); diff != "" {
		t.Error(diff)
	}
}

// A manifest names its file from its own folder, or from the root.
func TestManifestNamesItsFile(t *testing.T) {
	dir := t.TempDir()
	onnx, err := os.ReadFile(testkit.Data(t, "models/yolox_person_192.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "manifests"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "person.onnx")
	write(t, path, onnx)
	for _, file := range []string{path, "../person.onnx"} {
		manifest := filepath.Join(dir, "manifests", "person.yaml")
		write(t, manifest, []byte("file: "+file+"\n"))
		m, err := models.Load(manifest, decode.Guess)
		if err != nil {
			t.Fatalf("file: %s: %v", file, err)
		}
		if m.Path != path {
			t.Errorf("file: %s: loaded from %s", file, m.Path)
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// graph is a model with one input and one output.
func graph(in, out []int, ops ...string) *onnxtest.Graph {
	g := &onnxtest.Graph{
		Inputs:  []onnxtest.Value{{Name: "images", Type: onnxtest.Float, Shape: in}},
		Outputs: []onnxtest.Value{{Name: "output", Type: onnxtest.Float, Shape: out}},
	}
	last := "images"
	for i, op := range ops {
		next := "output"
		if i < len(ops)-1 {
			next = op
		}
		g.Nodes = append(g.Nodes, onnxtest.Node{Op: op, Inputs: []string{last}, Outputs: []string{next}})
		last = next
	}
	return g
}

// folder holds model.onnx and, unless it is empty, model.yaml.
func folder(t *testing.T, onnx []byte, manifest string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "model.onnx"), onnx)
	if manifest != "" {
		write(t, filepath.Join(dir, "model.yaml"), []byte(manifest))
	}
	return filepath.Join(dir, "model.onnx")
}

func yoloxGraph() *onnxtest.Graph { return graph([]int{1, 3, 416, 416}, []int{1, 3549, 85}, "Conv") }

func TestProposals(t *testing.T) {
	ultralytics := graph([]int{-1, 3, -1, -1}, []int{-1, 6, -1}, "Concat")
	ultralytics.Metadata = map[string]string{"author": "Ultralytics", "task": "detect", "imgsz": "[320, 640]", "stride": "32", "names": "{0: 'ok', 1: 'scratch'}"}
	tests := []struct {
		name  string
		graph *onnxtest.Graph
		want  models.Manifest
	}{
		{"yolox with boxes decoded", graph([]int{1, 3, 416, 416}, []int{1, 3549, 85}, "Exp", "Concat"), models.Manifest{
			Task: models.Detect, LabelSet: "coco80", Labels: models.LabelSet("coco80"),
			Input: models.Input{Name: "images", Width: 416, Height: 416, Layout: models.NCHW, Color: models.BGR,
				Resize: models.LetterboxTopLeft, Pad: 114, Interpolation: models.Linear, Scale: 1, Type: models.Float32},
			Output: models.Output{Decoder: "yolox", Decoded: true},
		}},
		{"ultralytics", ultralytics, models.Manifest{
			Task: models.Detect, Labels: []string{"ok", "scratch"},
			Input: models.Input{Name: "images", Width: 640, Height: 320, Layout: models.NCHW, Color: models.RGB,
				Resize: models.Letterbox, Pad: 114, Interpolation: models.Linear, Scale: 1.0 / 255, Type: models.Float32},
			Output: models.Output{Decoder: "yolov8"},
		}},
		{"nhwc classifier with logits", graph([]int{1, 224, 192, 3}, []int{1, 1000}, "Gemm", "Reshape"), models.Manifest{
			Task: models.Classify, LabelSet: "imagenet1000", Labels: models.LabelSet("imagenet1000"),
			Input: models.Input{Name: "images", Width: 192, Height: 224, Layout: models.NHWC, Color: models.RGB,
				Resize: models.Crop, CropFraction: 0.875, Interpolation: models.Linear, Scale: 1.0 / 255,
				Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}, Type: models.Float32},
			Output: models.Output{Decoder: "classify", Softmax: true},
		}},
		{"grey classifier with probabilities", graph([]int{1, 1, 32, 32}, []int{1, 2}, "Gemm", "Softmax", "Reshape"), models.Manifest{
			Task: models.Classify,
			Input: models.Input{Name: "images", Width: 32, Height: 32, Layout: models.NCHW, Color: models.Gray,
				Resize: models.Letterbox, Interpolation: models.Linear, Scale: 1, Type: models.Float32},
			Output: models.Output{Decoder: "classify"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, r, err := models.Inspect(folder(t, tt.graph.Marshal(), ""), decode.Guess)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Name, tt.want.File, tt.want.SHA256 = "model", "model.onnx", r.SHA256
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if len(r.Notes) == 0 || r.Origin != models.FromGuess {
				t.Errorf("the report is %+v", r)
			}
		})
	}
}

// TestManifestCompleted gives a few keys and leaves the others to the file.
func TestManifestCompleted(t *testing.T) {
	base := models.Input{Name: "images", Width: 416, Height: 416, Layout: models.NCHW, Color: models.BGR,
		Resize: models.LetterboxTopLeft, Pad: 114, Interpolation: models.Linear, Scale: 1, Type: models.Float32}
	with := func(change func(*models.Input)) models.Input {
		in := base
		change(&in)
		return in
	}
	tests := []struct {
		name, manifest, decoder string
		want                    models.Input
	}{
		{"only a name", "name: mine\n", "yolox", base},
		{"no padding colour", "input: {pad: 0}\n", "yolox", with(func(in *models.Input) { in.Pad = 0 })},
		{"scale alone", "input: {scale: 0.5}\n", "yolox", with(func(in *models.Input) { in.Scale = 0.5 })},
		{"another decoder brings its own family", "output: {decoder: yolov5}\n", "yolov5", with(func(in *models.Input) {
			in.Color, in.Resize, in.Scale = models.RGB, models.Letterbox, 1.0/255
		})},
		{"scale alone of another family", "output: {decoder: nanodet}\ninput: {scale: 2}\nlabel_set: coco80\n", "nanodet", with(func(in *models.Input) {
			in.Resize, in.Pad, in.Scale = models.Letterbox, 0, 2
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := yoloxGraph()
			if tt.decoder == "nanodet" {
				g = graph([]int{1, 3, 416, 416}, []int{1, 3598, 112}, "Conv")
			}
			m, err := models.Load(folder(t, g.Marshal(), tt.manifest), decode.Guess)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, m.Manifest.Input); diff != "" {
				t.Error(diff)
			}
			if m.Manifest.Output.Decoder != tt.decoder || len(m.Manifest.Labels) != 80 || m.Report.Origin != models.FromManifest {
				t.Errorf("the model is %+v, %s", m.Manifest.Output, m.Report.Origin)
			}
		})
	}
}

func TestContradictions(t *testing.T) {
	good := yoloxGraph().Marshal()
	external := graph([]int{1, 3, 8, 8}, []int{1, 2}, "Conv")
	tests := []struct {
		name, manifest string
		onnx           []byte
		want           []string
	}{
		{"everything at once", "input:\n  name: image\n  width: 640\n  height: 640\n  color: gray\n  type: uint8\nlabels: [a, b]\n", good, []string{
			`:2:9: input.name: the manifest says "image", but the file's input is "images" float32 [1 3 416 416]`,
			`:3:10: input.width: the manifest says 640, but the file's input "images" float32 [1 3 416 416] has 416 as nchw`,
			`:4:11: input.height: the manifest says 640, but`,
			`:5:10: input.color: the manifest says gray (1 channels), but the file's input "images" float32 [1 3 416 416] has 3`,
			`:6:9: input.type: the manifest says uint8, but the file's input is "images" float32`,
			`:7:9: labels: the manifest has 2 labels, but the file's output "output" float32 [1 3549 85] has 80 classes, read as yolox`,
		}},
		{"layout", "input: {layout: nhwc}\n", good, []string{`has 416 channels as nhwc; supported are 3 (colour) and 1 (grey)`}},
		{"hash", "sha256: " + strings.Repeat("ab", 32) + "\n", good, []string{`sha256: the manifest says abab`, `it is another file or damaged`}},
		{"size left open", "output: {decoder: yolox}\nlabel_set: coco80\n", graph([]int{1, 3, -1, -1}, []int{1, -1, 85}, "Conv").Marshal(), []string{
			`input.width: the file leaves it open ("images" float32 [1 3 dim2 dim3]), so the manifest must say it`}},
		{"unknown layout", "", graph([]int{1, 3, 64, 64}, []int{1, 21, 64, 64, 2}, "Conv").Marshal(), []string{`[1 21 64 64 2]`, "yolox [B,N,5+C]"}},
		{"several inputs", "", func() []byte {
			g := yoloxGraph()
			g.Inputs = append(g.Inputs, onnxtest.Value{Name: "size", Type: onnxtest.Int64, Shape: []int{2}})
			return g.Marshal()
		}(), []string{`the model has 2 inputs ("images" float32 [1 3 416 416], "size" int64 [2])`}},
		{"integers", "", func() []byte {
			g := external
			g.Inputs[0].Type = onnxtest.Int64
			return g.Marshal()
		}(), []string{"takes int64; supported are float32, float16 or uint8"}},
		{"text", "", []byte("this is not a model\n"), []string{"not an ONNX model: it looks like text/plain"}},
		{"cut off", "", good[:len(good)-20], []string{"the ONNX model is cut off"}},
		{"empty", "", nil, []string{"it is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := folder(t, tt.onnx, tt.manifest)
			_, err := models.Load(path, decode.Guess)
			if err == nil {
				t.Fatal("it was loaded")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

// TestInspectReports looks at a model that no decoder knows.
func TestInspectReports(t *testing.T) {
	_, r, err := models.Inspect(folder(t, graph([]int{1, 3, 64, 64}, []int{1, 21, 64, 64, 2}, "Conv", "Relu").Marshal(), ""), decode.Guess)
	if !errors.Is(err, decode.ErrLayout) {
		t.Fatalf("the error is %v", err)
	}
	if diff := cmp.Diff(map[string]int{"Conv": 1, "Relu": 1}, r.Ops); diff != "" {
		t.Error(diff)
	}
	if r.Opset != 13 || len(r.SHA256) != 64 || len(r.Inputs) != 1 || len(r.Outputs) != 1 {
		t.Errorf("the report is %+v", r)
	}
}

func TestFolders(t *testing.T) {
	good := yoloxGraph().Marshal()
	tests := []struct {
		name  string
		files map[string]string
		want  string // in the error; empty: loads
	}{
		{"one file", map[string]string{"a.onnx": string(good)}, ""},
		{"a manifest that names its file", map[string]string{"m.yaml": "file: weights/a.onnx\n", "weights/a.onnx": string(good)}, ""},
		{"a manifest and two files", map[string]string{"a.yaml": "name: a\n", "a.onnx": string(good), "b.onnx": ""}, ""},
		{"two files", map[string]string{"a.onnx": string(good), "b.onnx": string(good)}, "several models (a.onnx, b.onnx)"},
		{"nothing", map[string]string{"readme.txt": ""}, "has no model"},
		{"the file is missing", map[string]string{"m.yaml": "name: m\n"}, "m.onnx: no such file"},
		{"not a file", map[string]string{"m.yaml": "file: weights\n", "weights/x": ""}, "is not a file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, path, []byte(text))
			}
			_, err := models.Load(dir, decode.Guess)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := models.Load(filepath.Join(t.TempDir(), "none.onnx"), decode.Guess); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

func TestParsedErrorsAreKinds(t *testing.T) {
	_, err := models.Load(folder(t, []byte{0x08, 8, 0x3a, 0x7f}, ""), nil)
	if !errors.Is(err, onnxfile.ErrTruncated) {
		t.Errorf("the error is %v", err)
	}
}
