package onnxfile_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
)

// small is a model with a weight that is also an input, as old exporters write
// them, an axis left open, metadata, and an operator of another domain.
func small() *onnxtest.Graph {
	return &onnxtest.Graph{
		Inputs: []onnxtest.Value{
			{Name: "image", Type: onnxtest.Float, Shape: []int{-1, 3, 8, 8}},
			{Name: "w", Type: onnxtest.Float, Shape: []int{1}},
		},
		Outputs:      []onnxtest.Value{{Name: "out", Type: onnxtest.Float16, Shape: []int{1, 2}}},
		Initializers: []onnxtest.Tensor{onnxtest.FloatTensor("w", []int{1}, []float32{2})},
		Nodes: []onnxtest.Node{
			{Op: "Conv", Inputs: []string{"image"}, Outputs: []string{"x"}, Attrs: []onnxtest.Attr{onnxtest.IntsAttr("pads", 1, 1, 2, 2), onnxtest.IntAttr("group", 3)}},
			{Op: "Odd", Domain: "com.example", Inputs: []string{"x"}, Outputs: []string{"out"}},
		},
		Metadata: map[string]string{"names": "{0: 'a'}"},
	}
}

func TestParse(t *testing.T) {
	m, err := onnxfile.Parse(small().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 1 || m.Inputs[0].String() != `"image" float32 [dim0 3 8 8]` {
		t.Errorf("inputs are %v", m.Inputs)
	}
	if diff := cmp.Diff([]int{-1, 3, 8, 8}, m.Inputs[0].Shape()); diff != "" {
		t.Error(diff)
	}
	if len(m.Outputs) != 1 || m.Outputs[0].String() != `"out" float16 [1 2]` || m.Outputs[0].Op != "Odd" {
		t.Errorf("outputs are %v", m.Outputs)
	}
	if m.Metadata["names"] != "{0: 'a'}" {
		t.Errorf("metadata is %v", m.Metadata)
	}
	want := map[onnxfile.Op]int{{Name: "Conv"}: 1, {Domain: "com.example", Name: "Odd"}: 1}
	if diff := cmp.Diff(want, m.Ops()); diff != "" {
		t.Error(diff)
	}
	conv := m.Nodes[0]
	if g := conv.Int("group", 1); g != 3 {
		t.Errorf("group is %d", g)
	}
	if g := conv.Int("dilation", 7); g != 7 {
		t.Errorf("an attribute that is not there is %d", g)
	}
	if !m.Has("Conv") || m.Has("Odd") {
		t.Error("Has looks in the wrong domain")
	}
	if m.Opsets[0] != (onnxfile.Opset{Version: 13}) {
		t.Errorf("operator sets are %v", m.Opsets)
	}
}

// TestParseReal reads models of four exporters.
func TestParseReal(t *testing.T) {
	tests := []struct {
		file, inputs, outputs string
		nodes                 int // as the onnx package of Python counts
	}{
		{"yolox_nano_416.onnx", `"images" float32 [1 3 416 416]`, `"output" float32 [1 3549 85]`, 369},
		{"SqueezeNet_fp16.onnx", `"data_0" float16 [1 3 224 224]`, `"softmaxout_1" float16 [1 1000 1 1]`, 66},
		{"mnist.onnx", `"Input3" float32 [1 1 28 28]`, `"Plus214_Output_0" float32 [1 10]`, 12},
		{"ultraface_version-slim-320.onnx", `"input" float32 [1 3 240 320]`, `"scores" float32 [1 4420 2], "boxes" float32 [1 4420 4]`, 217},
		{"deeplab_v3_mnv2_257_nhwc.onnx", `"sub_7" float32 [1 257 257 3]`, `"ResizeBilinear_3" float32 [1 257 257 21]`, 108},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			data, err := os.ReadFile(testkit.Data(t, "models/"+tt.file))
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnxfile.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(m.Inputs); got != tt.inputs {
				t.Errorf("inputs are %s", got)
			}
			if got := list(m.Outputs); got != tt.outputs {
				t.Errorf("outputs are %s", got)
			}
			if len(m.Nodes) != tt.nodes {
				t.Errorf("%d nodes", len(m.Nodes))
			}
		})
	}
}

func list(vs []onnxfile.Value) string {
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}

func TestParseBad(t *testing.T) {
	good := small().Marshal()
	noOutputs := small()
	noOutputs.Outputs = nil
	tests := []struct {
		name string
		data []byte
		is   error
		text string
	}{
		{"empty", nil, onnxfile.ErrNotONNX, "it is empty"},
		{"text", []byte("hello, this is a text file\n"), onnxfile.ErrNotONNX, "text/plain"},
		{"png", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), onnxfile.ErrNotONNX, "image/png"},
		{"html", []byte("<!DOCTYPE html><html>"), onnxfile.ErrNotONNX, "text/html"},
		{"zip", []byte("PK\x03\x04archive/data.pkl"), onnxfile.ErrNotONNX, "PyTorch"},
		{"lfs pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), onnxfile.ErrNotONNX, "git lfs pull"},
		{"zeros", make([]byte, 100), onnxfile.ErrNotONNX, ""},
		{"cut in the graph", good[:len(good)*2/3], onnxfile.ErrTruncated, "cut off"},
		{"no graph", good[:2], onnxfile.ErrNotONNX, "no graph"},
		{"no outputs", noOutputs.Marshal(), onnxfile.ErrNotONNX, "no outputs"},
		{"huge length", []byte{0x08, 0x08, 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1}, onnxfile.ErrTruncated, ""},
		{"two graphs", append(bytes.Clone(good), good...), onnxfile.ErrNotONNX, "two graphs"},
		{"nested", nested(40), onnxfile.ErrLimit, "nested more than 16 deep"},
		{"many nodes", manyNodes(1 << 19), onnxfile.ErrLimit, "operators"},
		{"group", append(bytes.Clone(good), 0x0b), onnxfile.ErrNotONNX, "wire type 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := onnxfile.Parse(tt.data)
			if m != nil || !errors.Is(err, tt.is) {
				t.Fatalf("got %v, %v", m, err)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error is %q", err)
			}
		})
	}
}

// TestParseCut cuts a model everywhere: each prefix is refused.
func TestParseCut(t *testing.T) {
	g := small()
	g.Metadata = nil
	good := g.Marshal()
	for n := range good {
		if _, err := onnxfile.Parse(good[:n]); err == nil && !strings.Contains(string(good[:n]), "out") {
			t.Fatalf("%d of %d bytes are a model", n, len(good))
		}
	}
}

func TestParseExternal(t *testing.T) {
	// An initializer "far" with data_location EXTERNAL.
	tensor := protowire.AppendString(protowire.AppendTag(nil, 8, protowire.BytesType), "far")
	tensor = protowire.AppendVarint(protowire.AppendTag(tensor, 14, protowire.VarintType), 1)
	value := message(nil, 1, []byte("out"))
	graph := message(message(nil, 5, tensor), 12, value)
	m, err := onnxfile.Parse(message([]byte{0x08, 8}, 7, graph))
	if err != nil || m.External != "far" {
		t.Fatalf("got %+v, %v", m, err)
	}
}

func message(to []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, num, protowire.BytesType), b)
}

// nested is a model with graphs in attributes of nodes, depth deep.
func nested(depth int) []byte {
	var graph []byte
	for range depth {
		graph = message(nil, 1, message(nil, 5, message(nil, 6, graph)))
	}
	return message([]byte{0x08, 8}, 7, message(graph, 12, message(nil, 1, []byte("out"))))
}

func manyNodes(n int) []byte {
	graph := message(nil, 12, message(nil, 1, []byte("out")))
	for range n {
		graph = append(graph, 0x0a, 0)
	}
	return message([]byte{0x08, 8}, 7, graph)
}

func FuzzParse(f *testing.F) {
	f.Add(small().Marshal())
	f.Add(nested(3))
	f.Add(manyNodes(3))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnxfile.Parse(data)
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v, %v", m, err)
		}
		if err == nil {
			_ = list(m.Inputs) + list(m.Outputs)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile(testkit.Data(b, "models/yolox_nano_416.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := onnxfile.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
