package enginetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

// refusal is something that Load must refuse with an error that wraps is and
// contains says.
type refusal struct {
	name string
	onnx []byte
	opts engine.LoadOptions
	is   error
	says string
}

func (r refusal) run(t *testing.T, e engine.Engine) {
	m, err := e.Load(t.Context(), r.onnx, r.opts)
	if err == nil {
		_ = m.Close()
		t.Fatal("it was loaded")
	}
	if !errors.Is(err, r.is) || !strings.Contains(err.Error(), r.says) {
		t.Errorf("error %q, want one that wraps %q and says %q", err, r.is, r.says)
	}
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 600 {
		t.Errorf("the error is no sentence: %q", text)
	}
}

// runManifests loads one model with manifests that contradict it.
func runManifests(t *testing.T, e engine.Engine) {
	fixed := onnxtest.ConvNet{Batch: 1, Size: 12, Layers: 1, Channels: 3, Classes: 4}.Marshal()
	input := func(in models.Input) engine.LoadOptions { return engine.LoadOptions{Input: in} }
	for _, c := range []refusal{
		{"width", fixed, input(models.Input{Width: 640, Height: 12}), engine.ErrModel, "640 width"},
		{"height", fixed, input(models.Input{Width: 12, Height: 48}), engine.ErrModel, "48 height"},
		{"channels", fixed, input(models.Input{Width: 12, Height: 12, Color: models.Gray}), engine.ErrModel, "1 channels"},
		{"layout", fixed, input(models.Input{Width: 12, Height: 12, Color: models.RGB, Layout: models.NHWC}), engine.ErrModel, "nhwc"},
		{"type", fixed, input(models.Input{Type: models.Uint8}), engine.ErrModel, "uint8"},
		{"name", fixed, input(models.Input{Name: "picture"}), engine.ErrModel, `"images"`},
		{"unknown device", fixed, engine.LoadOptions{Device: "tpu"}, engine.ErrNoDevice, "tpu"},
		{"device with an index that has none", fixed, engine.LoadOptions{Device: "cpu:1"}, engine.ErrNoDevice, "cpu:1"},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, e) })
	}
	for _, in := range []models.Input{
		{}, {Name: "images", Width: 12, Height: 12, Layout: models.NCHW, Color: models.BGR, Type: models.Float32},
	} {
		Load(t, e, fixed, input(in))
	}
}

func runBadModels(t *testing.T, e engine.Engine) {
	good := onnxtest.ConvNet{Batch: 1, Size: 12, Layers: 1, Channels: 3, Classes: 4}.Marshal()
	values := func(shape ...int) onnxtest.Value {
		return onnxtest.Value{Name: "v", Type: onnxtest.Float, Shape: shape}
	}
	relu := func(in, out onnxtest.Value, n onnxtest.Node) []byte {
		in.Name, out.Name = "x", "y"
		n.Inputs, n.Outputs = append([]string{"x"}, n.Inputs...), []string{"y"}
		g := onnxtest.Graph{Inputs: []onnxtest.Value{in}, Outputs: []onnxtest.Value{out}, Nodes: []onnxtest.Node{n}}
		return g.Marshal()
	}
	picture := values(1, 3, 4, 4)
	text := picture
	text.Type = 8 // string
	for _, c := range []refusal{
		{name: "empty", is: engine.ErrModel, says: "empty"},
		{name: "text", onnx: []byte("name: not a model\nfile: really\n"), is: engine.ErrModel, says: "not an ONNX model"},
		{name: "cut in the middle", onnx: good[:len(good)/2], is: engine.ErrModel, says: "cut off"},
		{name: "cut at the end", onnx: good[:len(good)-1], is: engine.ErrModel, says: "cut off"},
		{name: "unknown operator", onnx: onnxtest.UnknownOperator(8), is: engine.ErrUnsupported, says: "NoSuchOperator"},
		{name: "unknown domain", onnx: relu(picture, picture, onnxtest.Node{Op: "Relu", Domain: "org.example"}), is: engine.ErrUnsupported, says: "org.example"},
		{name: "several inputs", onnx: onnxtest.SeveralInputs(8), is: engine.ErrUnsupported, says: "2 inputs (left [1,3,8,8], right [1,3,8,8])"},
		{name: "no picture", onnx: relu(values(1, 10), values(1, 10), onnxtest.Node{Op: "Relu"}), is: engine.ErrUnsupported, says: "4 axes"},
		{name: "strings", onnx: relu(text, text, onnxtest.Node{Op: "Identity"}), is: engine.ErrUnsupported, says: "string"},
		{name: "open size", onnx: relu(values(1, 3, -1, -1), values(1, 3, -1, -1), onnxtest.Node{Op: "Relu"}), is: engine.ErrModel, says: "leaves the height"},
		{name: "a missing value", onnx: relu(picture, picture, onnxtest.Node{Op: "Add", Inputs: []string{"nothing"}}), is: engine.ErrModel, says: "nothing"},
		{name: "shapes that do not fit", onnx: mismatched(), is: engine.ErrModel, says: ""},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, e) })
	}
}

// mismatched multiplies matrices that do not fit.
func mismatched() []byte {
	g := onnxtest.Graph{
		Inputs:       []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []int{1, 3, 4, 4}}},
		Outputs:      []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []int{1, 3, 4, 2}}},
		Initializers: []onnxtest.Tensor{onnxtest.FloatTensor("w", []int{5, 2}, make([]float32, 10))},
		Nodes:        []onnxtest.Node{{Op: "MatMul", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
	}
	return g.Marshal()
}
