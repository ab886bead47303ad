package infer_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/infer"
)

func TestOpenByName(t *testing.T) {
	e, err := infer.Open("gorgonia", slog.New(slog.DiscardHandler))
	if err != nil || e.Name() != "gorgonia" {
		t.Errorf("gorgonia: %v, %v", e, err)
	}
	if e, err := infer.Open("tensorflow", slog.New(slog.DiscardHandler)); err == nil || e != nil || !strings.Contains(err.Error(), "auto, onnxruntime, gorgonia") {
		t.Errorf("an unknown engine: %v, %v", e, err)
	}
}

// A process can load one library, so that a missing one is tried in a child.
func TestOpenWithoutLibrary(t *testing.T) {
	if os.Getenv("VEDETTE_TEST_NO_LIBRARY") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOpenWithoutLibrary$", "-test.v")
		cmd.Env = append(os.Environ(), "VEDETTE_TEST_NO_LIBRARY=1",
			"ONNXRUNTIME_SHARED_LIBRARY_PATH="+filepath.Join(t.TempDir(), "gone.so"))
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	e, err := infer.Open("auto", log)
	if err != nil || e.Name() != "gorgonia" {
		t.Errorf("auto: %v, %v", e, err)
	}
	if strings.Count(logged.String(), "level=WARN") != 1 || !strings.Contains(logged.String(), "gone.so") {
		t.Errorf("auto logged %s", logged.String())
	}
	e, err = infer.Open("onnxruntime", log)
	if !errors.Is(err, infer.ErrNoLibrary) || e != nil || !strings.Contains(err.Error(), "make ort") {
		t.Errorf("onnxruntime: %v, %v", e, err)
	}
}
