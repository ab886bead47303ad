package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testkit"
)

// Results that cannot be written are no success.
func TestStdoutFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full: ", err)
	}
	t.Cleanup(func() { full.Close() })
	commands := []string{"version", "models list", "models list --format json", "doctor", "--help"}
	if buildTags != "" {
		commands = append(commands, "detect synthetic://bars --model barcode-reader --engine gorgonia", "demo --duration 1s --listen 127.0.0.1:0")
	}
	for _, args := range commands {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			program{args: strings.Fields(args), stdout: full}.run(t).wantSentence(t, 1, "no space left on device")
		})
	}
}

// A reader that has seen enough ends the program, in order and without a word.
func TestStdoutClosed(t *testing.T) {
	t.Parallel()
	commands := []string{"version", "models list"}
	if buildTags != "" {
		commands = append(commands, "detect synthetic://bars --model barcode-reader --engine gorgonia")
	}
	for _, args := range commands {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if o := (program{args: strings.Fields(args), stdout: w}).run(t); o.code != 0 || o.stderr != "" {
				t.Errorf("exit code %d; stderr %s", o.code, o.stderr)
			}
		})
	}
}

// Nothing that the program starts writes into the user's cache, least of all an
// identity of the machine for somebody's statistics.
func TestCacheStaysClean(t *testing.T) {
	t.Parallel()
	if buildTags == "" {
		t.Skip("needs a build with OpenCV to look at a picture")
	}
	cache := t.TempDir()
	// The variables of CI would turn telemetry off by themselves.
	env := []string{"XDG_CACHE_HOME=" + cache, "CI=", "GITHUB_ACTIONS=", "ONNXRUNTIME_SHARED_LIBRARY_PATH=" + library(t)}
	o := program{args: []string{"detect", "synthetic://bars?frames=2", "--model", "barcode-reader", "--engine", "onnxruntime"}, env: env}.run(t)
	if o.code != 0 {
		t.Errorf("exit code %d; %s", o.code, o.stderr)
	}
	emptyFolder(t, cache)
}

// Without ONNX Runtime the other engine does its work, with one warning.
func TestWithoutONNXRuntime(t *testing.T) {
	t.Parallel()
	if buildTags == "" {
		t.Skip("needs a build with OpenCV to look at a picture")
	}
	nowhere := []string{"ONNXRUNTIME_SHARED_LIBRARY_PATH=/nonexistent"}
	look := []string{"detect", "synthetic://bars?frames=2", "--model", "barcode-reader", "--format", "jsonl"}
	o := program{args: look, env: nowhere}.run(t)
	if o.code != 0 || strings.Count(o.stdout, `"engine":"gorgonia"`) != 2 || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, "make ort") {
		t.Errorf("exit code %d; stdout:\n%s\nstderr:\n%s", o.code, o.stdout, o.stderr)
	}
	program{args: append(look, "--engine", "onnxruntime"), env: nowhere}.run(t).wantSentence(t, 2, "no usable ONNX Runtime library", "make ort")
}

// library is where the program finds ONNX Runtime.
func library(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(built, "doctor").Output()
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "ok" && f[1] == "ONNX" {
			return f[len(f)-1]
		}
	}
	testkit.Missing(t, fmt.Sprintf("there is no ONNX Runtime library here (run make ort): %v", err))
	return ""
}
