//go:build !cv

package main_test

import (
	"debug/elf"
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
	for _, args := range [][]string{{"detect", "synthetic://bars"}, {"run", "-c", plant}, {"demo"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			run(t, args...).wantSentence(t, 1, args[0]+" captures pictures", "built without OpenCV", "make build")
		})
	}
	t.Run("eval", func(t *testing.T) {
		t.Parallel()
		data := testkit.Data(t, "images/coco64")
		run(t, "eval", "--data", data, "--model", "barcode-reader").wantSentence(t, 1, "built without OpenCV", "make build")
	})
	t.Run("doctor", func(t *testing.T) {
		t.Parallel()
		if o := run(t, "doctor"); !strings.Contains(o.stdout, "without OpenCV") {
			t.Errorf("doctor says\n%s", o.stdout)
		}
	})
}
