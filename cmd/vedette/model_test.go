package main_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
)

// network writes the barcode reader with a manifest, both edited, and returns
// the manifest's path.
func network(t *testing.T, editFile func([]byte) []byte, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	onnx := onnxtest.BarcodeReader(1)
	if editFile != nil {
		onnx = editFile(onnx)
	}
	m := onnxtest.BarcodeManifest()
	m.Name, m.File = "bars", "bars.onnx"
	manifest, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manifest), old) {
		t.Fatalf("no %q in the manifest:\n%s", old, manifest)
	}
	manifest = []byte(strings.Replace(string(manifest), old, new, 1))
	path := filepath.Join(dir, "bars.yaml")
	for name, content := range map[string][]byte{path: manifest, filepath.Join(dir, "bars.onnx"): onnx} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func onnxFile(t *testing.T, content []byte) string { return file(t, "net.onnx", content) }

// badModels are models that cannot be used, with what is said of them.
func badModels(t *testing.T) map[string]struct{ path, says string } {
	whole := onnxtest.BarcodeReader(1)
	type bad = struct{ path, says string }
	return map[string]bad{
		"no such file":     {"nosuch.onnx", "no such file"},
		"no such name":     {"nosuch", "vedette models list"},
		"empty":            {onnxFile(t, nil), "it is empty"},
		"text":             {onnxFile(t, []byte("this is no model\n")), "not an ONNX model"},
		"noise":            {onnxFile(t, bytes.Repeat([]byte{0xff, 0x13, 0x81}, 1000)), "not an ONNX model"},
		"cut in the head":  {onnxFile(t, whole[:3]), "cut off"},
		"cut in the midst": {onnxFile(t, whole[:len(whole)/2]), "cut off"},
		"cut at the end":   {onnxFile(t, whole[:len(whole)-10]), "cut off"},
		"folder":           {t.TempDir(), "model"},
		"a picture":        {file(t, "a.jpg", []byte("x")), "a.jpg"},

		"unknown key":     {network(t, nil, "task:", "tusk: 1\ntask:"), `bars.yaml:2:1: tusk: unknown key`},
		"not yaml":        {network(t, nil, "task:", "task: ["), "bars.yaml:"},
		"other file":      {network(t, nil, "file: bars.onnx", "file: other.onnx"), "other.onnx"},
		"wrong sha256":    {network(t, nil, "task:", "sha256: "+strings.Repeat("0", 64)+"\ntask:"), "another file or damaged"},
		"wrong width":     {network(t, nil, "width: ", "width: 1"), "input.width"},
		"wrong input":     {network(t, nil, "input:\n", "input:\n  name: other\n"), `says "other"`},
		"wrong layout":    {network(t, nil, "layout: nchw", "layout: nhwc"), "nhwc"},
		"wrong task":      {network(t, nil, "task: detect", "task: classify"), "classify"},
		"unknown decoder": {network(t, nil, "decoder: ", "decoder: no-"), "no decoder"},
	}
}

func TestBadModels(t *testing.T) {
	t.Parallel()
	for name, c := range badModels(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// eval needs no capture, so that this runs without OpenCV, too.
			run(t, "models", "inspect", c.path).wantSentenceOrManifest(t, c.says)
			if buildTags != "" {
				run(t, "detect", "synthetic://bars?frames=1", "--model", c.path).wantSentence(t, 2, c.says)
			}
		})
	}
}

// wantSentenceOrManifest is for models inspect, which proposes a manifest
// where only the decoder or the engine knows better.
func (o outcome) wantSentenceOrManifest(t *testing.T, says string) {
	t.Helper()
	if o.code != 0 {
		o.wantSentence(t, 2, says)
	}
}

// The odd graphs of the test data end in a sentence, too.
func TestOddModels(t *testing.T) {
	t.Parallel()
	odd, err := filepath.Glob(filepath.Join(testkit.Data(t, "models/edge-io"), "*.onnx"))
	if err != nil || len(odd) == 0 {
		t.Fatalf("odd models: %v, %v", odd, err)
	}
	for _, path := range odd {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			run(t, "models", "inspect", path).wantSentence(t, 2, filepath.Base(path), "the model")
		})
	}
	t.Run("embedding", func(t *testing.T) {
		t.Parallel()
		path := testkit.Data(t, "models/person-reid-retail-0288_nhwc.onnx")
		o := run(t, "models", "inspect", path)
		if o.code != 0 || !strings.Contains(o.stderr, "embeddings cannot be run yet") || !strings.Contains(o.stdout, "# To be completed") || strings.Contains(o.stdout, "\ntask:") {
			t.Errorf("exit code %d\n%s\n%s", o.code, o.stdout, o.stderr)
		}
		if buildTags != "" {
			run(t, "detect", "synthetic://bars?frames=1", "--model", path).wantSentence(t, 2, "[1 256] is one vector a picture")
		}
		manifest := file(t, "reid.yaml", []byte("task: embed\nfile: reid.onnx\n"))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(manifest), "reid.onnx"), content, 0o644); err != nil {
			t.Fatal(err)
		}
		if buildTags != "" {
			library(t)
			run(t, "detect", "synthetic://bars?frames=1", "--model", manifest).wantSentence(t, 2, "models that embed cannot be run yet")
		}
	})
	t.Run("unknown layout", func(t *testing.T) {
		t.Parallel()
		path := testkit.Data(t, "models/deeplab_v3_mnv2_257_nhwc.onnx")
		run(t, "models", "inspect", path).wantSentence(t, 2, "[1 257 257 21]", "decoders: ", "yolox")
	})
}

// TestModelsVerify checks what is in the cache, and files wherever they are.
func TestModelsVerify(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	verify := func(args ...string) outcome {
		return program{args: append([]string{"models", "verify"}, args...), env: []string{"XDG_CACHE_HOME=" + cache}}.run(t)
	}
	place := filepath.Join(cache, "vedette", "models")
	if o := verify(); o.code != 0 || !strings.Contains(o.stdout, "no model of the catalogue is in "+place+":") {
		t.Errorf("nothing is there: exit code %d; %s%s", o.code, o.stdout, o.stderr)
	}
	verify("ultraface-rfb-320").wantSentence(t, 1, "ultraface-rfb-320 is not there; run: vedette models pull ultraface-rfb-320")
	whole, err := os.ReadFile(testkit.Data(t, "models/ultraface_version-RFB-320.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, "mine.onnx", whole)
	if o := verify(path); o.code != 0 || !regexp.MustCompile(`^ultraface-rfb-320 +ok +`+regexp.QuoteMeta(path)+`\n$`).MatchString(o.stdout) {
		t.Errorf("a whole file: exit code %d; %s%s", o.code, o.stdout, o.stderr)
	}
	cut := file(t, "ultraface-rfb-320.onnx", whole[:1000])
	verify(cut).wantSentence(t, 1, cut+": not the file of the catalogue: it has 1000 bytes instead of", "models pull ultraface-rfb-320")
	verify(file(t, "mine.onnx", whole[:1000])).wantSentence(t, 1, "mine.onnx: not the file of the catalogue: its SHA-256 ", " is none of its models'")
	verify("./nosuch").wantSentence(t, 2, "./nosuch: no such file")
	verify(cache+"/").wantSentence(t, 2, "is a directory")
	verify("a.onnx", "--dir", cache).wantSentence(t, 2, "not both")
	if err := errors.Join(os.MkdirAll(place, 0o755), os.WriteFile(filepath.Join(place, "ultraface-rfb-320.onnx"), whole[:1000], 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"ultraface-rfb-320"}, {"--dir", place}} {
		o := verify(args...)
		o.wantSentence(t, 1, filepath.Join(place, "ultraface-rfb-320.onnx")+": not the file", "models pull ultraface-rfb-320")
		if !strings.Contains(o.stdout, "damaged") || strings.Count(o.stdout, "\n") != 1 {
			t.Errorf("%v lists %s", args, o.stdout)
		}
	}
	if o := verify("--dir", cache); o.code != 0 || !strings.Contains(o.stdout, "is in "+cache+":") {
		t.Errorf("an empty folder: exit code %d; %s%s", o.code, o.stdout, o.stderr)
	}
}

// TestModelsPullAlone has no network: it says where the file is to be brought.
func TestModelsPullAlone(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	place := filepath.Join(cache, "vedette", "models", "ultraface-rfb-320.onnx")
	env := []string{"XDG_CACHE_HOME=" + cache}
	args := []string{"models", "pull", "ultraface-rfb-320", "--mirror", "http://127.0.0.1:1"}
	program{args: args, env: env}.run(t).wantSentence(t, 1, "127.0.0.1:1", "bring the file to "+place+" by other means")
	whole, err := os.ReadFile(testkit.Data(t, "models/ultraface_version-RFB-320.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if o := (program{args: args, env: env}).run(t); o.code != 0 || o.stdout != place+"\n" {
		t.Errorf("brought there: exit code %d; %s%s", o.code, o.stdout, o.stderr)
	}
}
