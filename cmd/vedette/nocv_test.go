//go:build !cv

package main_test

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testkit"
)

func TestNoOpenCVIsNeeded(t *testing.T) {
	t.Parallel()
	f, err := elf.Open(built)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if strings.Contains(l, "opencv") || strings.Contains(l, "stdc++") {
			t.Errorf("the program needs %s", l)
		}
	}
}

func TestWithoutOpenCV(t *testing.T) {
	t.Parallel()
	plant := file(t, "plant.yaml", []byte("models: [{name: bars, file: barcode-reader}]\ncameras: [{id: a, source: 'synthetic://bars'}]\n"))
	for _, args := range [][]string{{"run", "-c", plant}, {"demo"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			run(t, args...).wantSentence(t, 2, args[0]+" captures pictures", "built without OpenCV", "make build")
		})
	}
	t.Run("detect", func(t *testing.T) {
		t.Parallel()
		photo, clip := file(t, "photo.png", []byte("x")), file(t, "clip.mp4", []byte("x"))
		for _, source := range []string{"synthetic://bars", clip, "rtsp://127.0.0.1:1/"} {
			run(t, "detect", photo, source).wantSentence(t, 2, "detect "+source+": ", "built without OpenCV: build it with make build", "picture files only")
		}
		run(t, "detect", "nosuch.mp4").wantSentence(t, 2, "nosuch.mp4: no such file")
		run(t, "detect", "foo://x").wantSentence(t, 2, `unknown scheme "foo"`)
	})
	t.Run("pictures", func(t *testing.T) {
		t.Parallel()
		cat := testkit.Data(t, "images/misc/winml_cat.jpg")
		library(t)
		o := run(t, "detect", cat, "--model", testkit.Data(t, "models/yolox_nano_416.onnx"))
		if o.code != 0 || !strings.Contains(o.stdout, "winml_cat.jpg  cat 0.67 [73 135 834 89") {
			t.Errorf("exit code %d\n%s\n%s", o.code, o.stdout, o.stderr)
		}
		frames := t.TempDir() // needs no OpenCV
		o = run(t, "detect", cat, "--model", "barcode-reader", "--engine", "gorgonia", "--save-frames", frames)
		if saved, err := filepath.Glob(frames + "/winml_cat-*.png"); o.code != 0 || err != nil || len(saved) != 1 {
			t.Errorf("--save-frames: exit code %d, %v, %v; %s", o.code, saved, err, o.stderr)
		}
		run(t, "detect", cat, "--save", t.TempDir()).wantSentence(t, 2, "--save draws into pictures", "built without OpenCV")
	})
	t.Run("doctor", func(t *testing.T) {
		t.Parallel()
		if o := run(t, "doctor"); !strings.Contains(o.stdout, "without OpenCV") || !strings.Contains(o.stdout, "detect and eval on picture files") {
			t.Errorf("doctor says\n%s", o.stdout)
		}
	})
}
