package onnxfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

// reshaping is a model of one picture that goes through these shapes.
func reshaping(shapes ...[]int64) []byte {
	g := &onnxtest.Graph{
		Inputs:  []onnxtest.Value{{Name: "image", Type: onnxtest.Float, Shape: []int{1, 3, 8, 8}}},
		Outputs: []onnxtest.Value{{Name: "out", Type: onnxtest.Float, Shape: []int{1, 192}}},
	}
	last := "image"
	for i, s := range shapes {
		name, out := "shape"+string(rune('a'+i)), "x"+string(rune('a'+i))
		if i == len(shapes)-1 {
			out = "out"
		}
		g.Initializers = append(g.Initializers, onnxtest.Int64Tensor(name, []int{len(s)}, s))
		g.Nodes = append(g.Nodes, onnxtest.Node{Op: "Reshape", Inputs: []string{last, name}, Outputs: []string{out}})
		last = out
	}
	return g.Marshal()
}

// raw is how a list of integers lies in a file.
func raw(v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

func TestOpenBatch(t *testing.T) {
	open, err := onnxfile.OpenBatch(reshaping([]int64{1, 3, 64}, []int64{1, -1, 8}, []int64{-1, 192}, []int64{4, 48}, []int64{1, 192}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxfile.Parse(open)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(m.Inputs) + list(m.Outputs); got != `"image" float32 [vedette_batch 3 8 8]`+`"out" float32 [vedette_batch 192]` {
		t.Errorf("inputs and outputs are %s", got)
	}
	for name, want := range map[string][]byte{
		"from one": raw(-1, 3, 64), "where another is open": raw(0, -1, 8), "open before": raw(-1, 192), "no batch": raw(4, 48),
	} {
		if !bytes.Contains(open, want) {
			t.Errorf("%s: no shape like that", name)
		}
	}
	// Once is enough.
	if _, err := onnxfile.OpenBatch(open); !errors.Is(err, onnxfile.ErrBatch) || !strings.Contains(err.Error(), "image") {
		t.Errorf("opened again: %v", err)
	}
	if _, err := onnxfile.OpenBatch([]byte("hello")); err == nil {
		t.Error("no model at all was opened")
	}
}

// TestOpenBatchOfConstants: a shape may come from an operator, and its numbers
// may be written one by one or packed.
func TestOpenBatchOfConstants(t *testing.T) {
	number := func(b []byte, field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
	}
	one := number(number(number(number(nil, 1, 2), 2, 7), 7, 1), 7, 192)
	packed := message(number(number(nil, 1, 2), 2, 7), 7, protowire.AppendVarint(protowire.AppendVarint(nil, 1), 192))
	for name, tensor := range map[string][]byte{"one by one": one, "packed": packed} {
		attr := number(message(message(nil, 1, []byte("value")), 5, tensor), 20, 4)
		constant := message(message(message(nil, 2, []byte("shape")), 4, []byte("Constant")), 5, attr)
		reshape := message(message(message(message(nil, 1, []byte("image")), 1, []byte("shape")), 2, []byte("out")), 4, []byte("Reshape"))
		value := func(name string, dims ...uint64) []byte {
			var shape []byte
			for _, d := range dims {
				shape = message(shape, 1, number(nil, 1, d))
			}
			return message(message(nil, 1, []byte(name)), 2, message(nil, 1, message(number(nil, 1, 1), 2, shape)))
		}
		graph := message(message(nil, 1, constant), 1, reshape)
		graph = message(message(message(graph, 11, value("image", 1, 3, 8, 8)), 12, value("out", 1, 192)), 13, value("between", 1, 7))
		model := message(number(nil, 1, 8), 7, graph)
		model = message(model, 8, number(nil, 2, 13))
		open, err := onnxfile.OpenBatch(model)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Contains(open, raw(-1, 192)) || bytes.Contains(open, []byte("between")) || !bytes.Contains(open, []byte("Constant")) {
			t.Errorf("%s: %q", name, open)
		}
	}
}

func FuzzOpenBatch(f *testing.F) {
	f.Add(reshaping([]int64{1, -1}, []int64{1, 192}))
	f.Add(small().Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		open, err := onnxfile.OpenBatch(data)
		if err != nil {
			return
		}
		m, err := onnxfile.Parse(open)
		if err != nil {
			t.Fatalf("what was opened cannot be read: %v", err)
		}
		for _, v := range append(m.Inputs, m.Outputs...) {
			if v.Dims[0].Size != -1 {
				t.Fatalf("%s is not open", v)
			}
		}
	})
}
