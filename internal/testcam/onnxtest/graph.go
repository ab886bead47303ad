// Package onnxtest writes small ONNX models in plain Go, for tests that need a
// network with a known answer: one that reads the bar codes of test cameras,
// slow ones, and ones an engine must refuse.
//
// The field numbers are those of onnx.proto (IR version 8); only what these
// models need is written.
package onnxtest

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// DataType is an element type, with ONNX's numbers.
type DataType int32

// The element types.
const (
	Float   DataType = 1
	Uint8   DataType = 2
	Int64   DataType = 7
	Float16 DataType = 10
)

// Graph is a model to be written.
type Graph struct {
	Inputs, Outputs []Value
	Nodes           []Node
	Initializers    []Tensor
	// Metadata are the model's metadata_props.
	Metadata map[string]string
	// Opset of the default domain; 0 means 13.
	Opset int64
}

// Value is an input or output of the graph. A negative dimension is dynamic.
type Value struct {
	Name  string
	Type  DataType
	Shape []int
}

// Node is one operator.
type Node struct {
	Op string
	// Domain is empty for the standard operators.
	Domain  string
	Inputs  []string
	Outputs []string
	Attrs   []Attr
}

// Tensor is an initializer.
type Tensor struct {
	name  string
	typ   DataType
	shape []int
	raw   []byte
}

// Attr is an attribute of a node.
type Attr struct {
	name string
	typ  uint64
	put  func([]byte) []byte
}

// FloatTensor is a float32 initializer in row-major order.
func FloatTensor(name string, shape []int, data []float32) Tensor {
	raw := make([]byte, 0, 4*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return Tensor{name, Float, shape, raw}
}

// Int64Tensor is an int64 initializer in row-major order.
func Int64Tensor(name string, shape []int, data []int64) Tensor {
	raw := make([]byte, 0, 8*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return Tensor{name, Int64, shape, raw}
}

// The types and fields of an AttributeProto.
const (
	attrFloat, attrInt, attrString, attrInts         = 1, 2, 3, 7
	fieldFloat, fieldInt, fieldString, fieldIntsList = 2, 3, 4, 8
)

// FloatAttr is a float attribute.
func FloatAttr(name string, v float32) Attr {
	return Attr{name, attrFloat, func(b []byte) []byte {
		b = protowire.AppendTag(b, fieldFloat, protowire.Fixed32Type)
		return protowire.AppendFixed32(b, math.Float32bits(v))
	}}
}

// IntAttr is an integer attribute.
func IntAttr(name string, v int64) Attr {
	return Attr{name, attrInt, func(b []byte) []byte { return appendInt(b, fieldInt, v) }}
}

// IntsAttr is a list of integers.
func IntsAttr(name string, v ...int64) Attr {
	return Attr{name, attrInts, func(b []byte) []byte { return appendInts(b, fieldIntsList, v) }}
}

// StringAttr is a string attribute.
func StringAttr(name, v string) Attr {
	return Attr{name, attrString, func(b []byte) []byte { return appendString(b, fieldString, v) }}
}

// Marshal is the model as the bytes of an .onnx file. The same graph always
// gives the same bytes.
func (g *Graph) Marshal() []byte {
	const irVersion, fieldGraph, fieldOpset, fieldMetadata = 8, 7, 8, 14
	opset := g.Opset
	if opset == 0 {
		opset = 13
	}
	var b []byte
	b = appendInt(b, 1, irVersion)
	b = appendString(b, 2, "vedette-test")
	b = appendBytes(b, fieldGraph, g.marshalGraph())
	b = appendBytes(b, fieldOpset, appendInt(nil, 2, opset))
	for _, domain := range g.domains() {
		b = appendBytes(b, fieldOpset, appendInt(appendString(nil, 1, domain), 2, 1))
	}
	for _, key := range slices.Sorted(maps.Keys(g.Metadata)) {
		b = appendBytes(b, fieldMetadata, appendString(appendString(nil, 1, key), 2, g.Metadata[key]))
	}
	return b
}

// domains are those beside the default one.
func (g *Graph) domains() []string {
	var out []string
	for _, n := range g.Nodes {
		if n.Domain != "" && !slices.Contains(out, n.Domain) {
			out = append(out, n.Domain)
		}
	}
	return out
}

func (g *Graph) marshalGraph() []byte {
	const fieldNode, fieldName, fieldInitializer, fieldInput, fieldOutput = 1, 2, 5, 11, 12
	var b []byte
	for i, n := range g.Nodes {
		b = appendBytes(b, fieldNode, n.marshal(i))
	}
	b = appendString(b, fieldName, "test")
	for _, t := range g.Initializers {
		b = appendBytes(b, fieldInitializer, t.marshal())
	}
	for _, v := range g.Inputs {
		b = appendBytes(b, fieldInput, v.marshal())
	}
	for _, v := range g.Outputs {
		b = appendBytes(b, fieldOutput, v.marshal())
	}
	return b
}

func (n Node) marshal(index int) []byte {
	var b []byte
	for _, name := range n.Inputs {
		b = appendString(b, 1, name)
	}
	for _, name := range n.Outputs {
		b = appendString(b, 2, name)
	}
	b = appendString(b, 3, n.Op+"_"+strconv.Itoa(index))
	b = appendString(b, 4, n.Op)
	for _, a := range n.Attrs {
		attr := a.put(appendString(nil, 1, a.name))
		b = appendBytes(b, 5, appendInt(attr, 20, int64(a.typ)))
	}
	if n.Domain != "" {
		b = appendString(b, 7, n.Domain)
	}
	return b
}

func (t Tensor) marshal() []byte {
	dims := make([]int64, len(t.shape))
	for i, d := range t.shape {
		dims[i] = int64(d)
	}
	b := appendInts(nil, 1, dims)
	b = appendInt(b, 2, int64(t.typ))
	b = appendString(b, 8, t.name)
	return appendBytes(b, 9, t.raw)
}

func (v Value) marshal() []byte {
	var shape []byte
	for axis, d := range v.Shape {
		if d < 0 {
			shape = appendBytes(shape, 1, appendString(nil, 2, "dim"+strconv.Itoa(axis)))
		} else {
			shape = appendBytes(shape, 1, appendInt(nil, 1, int64(d)))
		}
	}
	tensor := appendBytes(appendInt(nil, 1, int64(v.Type)), 2, shape)
	return appendBytes(appendString(nil, 1, v.Name), 2, appendBytes(nil, 1, tensor))
}

func appendInt(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

// appendInts writes one entry a value, as the writers of proto2 do.
func appendInts(b []byte, field protowire.Number, v []int64) []byte {
	for _, x := range v {
		b = appendInt(b, field, x)
	}
	return b
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	return appendBytes(b, field, []byte(v))
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}
