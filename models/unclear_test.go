package models_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// strange is the content of a model file under a hash that nobody knows: the
// name of the program that wrote it is changed.
func strange(t *testing.T, file, producer string) []byte {
	t.Helper()
	b, err := os.ReadFile(testkit.Data(t, "models/"+file))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b[:64], []byte(producer)) {
		t.Fatalf("%s does not begin with the name of %s", file, producer)
	}
	return bytes.Replace(b, []byte(producer), bytes.Repeat([]byte{'x'}, len(producer)), 1)
}

// TestUnclearTask: a vector of numbers is not taken for classes with invented
// labels. What the manifest has to say is enough.
func TestUnclearTask(t *testing.T) {
	reid := strange(t, "person-reid-retail-0288_nhwc.onnx", "tf2onnx")
	mnist := strange(t, "mnist.onnx", "CNTK")
	digits := "labels: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']\n"
	for _, tt := range []struct {
		name, manifest string
		onnx           []byte
		want           string // in the error; empty: a classifier of logits
		labels         int
	}{
		{name: "embedding", onnx: reid, want: `"Identity:0" [1 256] is one vector a picture`},
		{name: "digits", onnx: mnist, want: `"Plus214_Output_0" [1 10] is one vector a picture`},
		{name: "digits, only named", onnx: mnist, manifest: "name: digits\n", want: "embeddings cannot be run yet"},
		{name: "digits with their task", onnx: mnist, manifest: "task: classify\n"},
		{name: "digits with their labels", onnx: mnist, manifest: digits, labels: 10},
		{name: "digits with their decoder", onnx: mnist, manifest: "output: {decoder: classify}\n"},
		{name: "digits with too few labels", onnx: mnist, manifest: "labels: [a, b]\n", want: "2 labels, but the file's output"},
		{name: "digits with their task, probabilities claimed", onnx: mnist, manifest: "task: classify\noutput: {softmax: false}\n", want: "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := models.Load(folder(t, tt.onnx, tt.manifest), decode.Guess)
			if tt.want == "-" { // what the manifest says, holds
				if err != nil || m.Manifest.Output.Softmax {
					t.Errorf("%v, %+v", err, m)
				}
				return
			}
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := m.Manifest
			if got.Task != models.Classify || got.Output.Decoder != "classify" || !got.Output.Softmax || len(got.Labels) != tt.labels || got.Input.Color != models.Gray {
				t.Errorf("the manifest is %+v", got)
			}
		})
	}
}

// TestInspectUnclearTask: what the file does say is proposed, and what is
// missing stays missing.
func TestInspectUnclearTask(t *testing.T) {
	m, r, err := models.Inspect(testkit.Data(t, "models/person-reid-retail-0288_nhwc.onnx"), decode.Guess)
	if !errors.Is(err, models.ErrTaskUnclear) {
		t.Fatalf("the error is %v", err)
	}
	if m.Input.Width != 128 || m.Input.Height != 256 || m.Input.Layout != models.NHWC || m.Input.Name != "inputs:0" || m.SHA256 != r.SHA256 {
		t.Errorf("the manifest is %+v", m)
	}
	if m.Task != "" || m.Output.Decoder != "" || len(m.Labels) != 0 {
		t.Errorf("the manifest invents %+v", m)
	}
}
