package onnxtest

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// ConvNet describes a plain classifier: Layers convolutions of 3 × 3 with
// Channels filters and ReLU, the mean over the picture, and a dense layer.
type ConvNet struct {
	// Batch is the size of the first axis; negative means dynamic.
	Batch int
	// Size is the width and height of the picture.
	Size             int
	Layers, Channels int
	Classes          int
	Metadata         map[string]string
}

// Slow is a classifier of 3 × 128 × 128 pictures in ten classes that costs an
// engine 21 million multiplications a layer: 100 layers are about 2 thousand
// million, some tens of milliseconds on one core.
func Slow(layers int) []byte {
	return ConvNet{Batch: 1, Size: 128, Layers: layers, Channels: 12, Classes: 10}.Marshal()
}

// Marshal writes the network: input "images" [batch,3,size,size], output
// "logits" [batch,classes]. Its weights are random but always the same.
func (c ConvNet) Marshal() []byte {
	r := rand.New(rand.NewPCG(1, uint64(c.Layers)))
	g := &Graph{
		Metadata: c.Metadata,
		Inputs:   []Value{{"images", Float, []int{c.Batch, 3, c.Size, c.Size}}},
		Outputs:  []Value{{"logits", Float, []int{c.Batch, c.Classes}}},
	}
	last, channels := "images", 3
	for i := range c.Layers {
		w, y := fmt.Sprintf("w%d", i), fmt.Sprintf("conv%d", i)
		g.Initializers = append(g.Initializers, randomTensor(r, w, 9*channels, c.Channels, channels, 3, 3))
		g.Nodes = append(g.Nodes,
			Node{Op: "Conv", Inputs: []string{last, w}, Outputs: []string{y}, Attrs: []Attr{
				IntsAttr("kernel_shape", 3, 3), IntsAttr("strides", 1, 1),
				IntsAttr("pads", 1, 1, 1, 1), IntsAttr("dilations", 1, 1), IntAttr("group", 1),
			}},
			Node{Op: "Relu", Inputs: []string{y}, Outputs: []string{y + "_relu"}})
		last, channels = y+"_relu", c.Channels
	}
	g.Initializers = append(g.Initializers,
		Int64Tensor("flat", []int{2}, []int64{int64(max(c.Batch, -1)), int64(channels)}),
		randomTensor(r, "dense", channels, channels, c.Classes))
	g.Nodes = append(g.Nodes,
		Node{Op: "GlobalAveragePool", Inputs: []string{last}, Outputs: []string{"pooled"}},
		Node{Op: "Reshape", Inputs: []string{"pooled", "flat"}, Outputs: []string{"features"}},
		Node{Op: "MatMul", Inputs: []string{"features", "dense"}, Outputs: []string{"logits"}})
	return g.Marshal()
}

// UnknownOperator is a network with an operator that no engine has,
// "NoSuchOperator", on a picture of size × size.
func UnknownOperator(size int) []byte {
	shape := []int{1, 3, size, size}
	g := &Graph{
		Inputs:  []Value{{"images", Float, shape}},
		Outputs: []Value{{"output", Float, shape}},
		Nodes:   []Node{{Op: "NoSuchOperator", Inputs: []string{"images"}, Outputs: []string{"output"}}},
	}
	return g.Marshal()
}

// SeveralInputs is a network that adds two pictures, "left" and "right".
func SeveralInputs(size int) []byte {
	shape := []int{1, 3, size, size}
	g := &Graph{
		Inputs:  []Value{{"left", Float, shape}, {"right", Float, shape}},
		Outputs: []Value{{"output", Float, shape}},
		Nodes:   []Node{{Op: "Add", Inputs: []string{"left", "right"}, Outputs: []string{"output"}}},
	}
	return g.Marshal()
}

// FailsWhenBright is an end-to-end detector that finds nothing in a picture
// whose values are all below 100 and whose run fails in any brighter one: it
// looks up a table of 100 rows by the brightest value of its input "images"
// [1,3,size,size], 0…255. Output "output" [1,1,6]. For ONNX Runtime only.
func FailsWhenBright(size int) []byte {
	const castToInt64 = 7
	g := &Graph{
		Inputs:       []Value{{"images", Float, []int{1, 3, size, size}}},
		Outputs:      []Value{{"output", Float, []int{1, 1, 6}}},
		Initializers: []Tensor{FloatTensor("table", []int{100, 6}, make([]float32, 600)), Int64Tensor("shape", []int{3}, []int64{1, 1, 6})},
		Nodes: []Node{
			{Op: "ReduceMax", Inputs: []string{"images"}, Outputs: []string{"brightest"}, Attrs: []Attr{IntAttr("keepdims", 0)}},
			{Op: "Cast", Inputs: []string{"brightest"}, Outputs: []string{"row"}, Attrs: []Attr{IntAttr("to", castToInt64)}},
			{Op: "Gather", Inputs: []string{"table", "row"}, Outputs: []string{"found"}, Attrs: []Attr{IntAttr("axis", 0)}},
			{Op: "Reshape", Inputs: []string{"found", "shape"}, Outputs: []string{"output"}},
		},
	}
	return g.Marshal()
}

// randomTensor has values that keep a layer's output about as large as its
// input of fanIn values.
func randomTensor(r *rand.Rand, name string, fanIn int, shape ...int) Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(r.NormFloat64() * math.Sqrt(2/float64(fanIn)))
	}
	return FloatTensor(name, shape, data)
}
