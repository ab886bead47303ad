// Package onnxfile reads what an ONNX file says about itself: its inputs and
// outputs, its operators and its metadata. It works on the bytes as they are
// and does not copy the weights.
//
// The format is the protocol buffer ModelProto of onnx.proto (IR version 13 and
// older); only the fields that are needed are read, others are skipped.
package onnxfile

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrNotONNX is wrapped when the bytes are not an ONNX model.
var ErrNotONNX = errors.New("not an ONNX model")

// ErrTruncated is wrapped when the bytes begin like an ONNX model but end too
// early.
var ErrTruncated = errors.New("the ONNX model is cut off")

// ErrLimit is wrapped when a model is larger in some way than any real one, so
// that hostile bytes cost little memory.
var ErrLimit = errors.New("not a usable ONNX model")

// The limits, well above what real models need.
const (
	maxNodes    = 1 << 18
	maxAttrs    = 1 << 20
	maxTensors  = 1 << 18
	maxValues   = 1 << 12
	maxDims     = 32
	maxMetadata = 1 << 12
	maxDepth    = 16 // of graphs inside attributes (If, Loop, Scan)
	maxInts     = 64 // kept of one attribute
	maxText     = 1 << 12
)

// Model is what an ONNX file says about itself.
type Model struct {
	IRVersion       int64
	Producer        string
	ProducerVersion string
	// Opsets are the operator sets the model was written for.
	Opsets []Opset
	// Inputs are the graph's inputs less those that have weights.
	Inputs  []Value
	Outputs []Value
	// Nodes are all operators, those of graphs inside If, Loop and Scan
	// included.
	Nodes []Node
	// Functions are operators that the model itself defines.
	Functions []Op
	Metadata  map[string]string
	// External names one weight that is stored in another file; empty when the
	// model is complete.
	External string
}

// Opset is a version of an operator set; the domain "" is ONNX's own.
type Opset struct {
	Domain  string
	Version int64
}

// Value is an input or output of the graph.
type Value struct {
	Name string
	// Type is the element type ("float32", "int64", …); for what is not a
	// tensor it is "sequence", "map", "optional" or "sparse".
	Type string
	Dims []Dim
	// Ranked says that the file gives the number of axes.
	Ranked bool
	// Op is the operator that computes an output, looking past those that only
	// reshape or convert; empty when that is not one of the main graph.
	Op string
}

// Dim is the length of an axis: fixed when Size >= 0, else -1 with the file's
// own name for it, which may be empty.
type Dim struct {
	Size int64
	Name string
}

// Op names an operator.
type Op struct{ Domain, Name string }

func (o Op) String() string {
	if o.Domain == "" {
		return o.Name
	}
	return o.Domain + "." + o.Name
}

// Node is one operator of the graph.
type Node struct {
	Op    Op
	Name  string
	Attrs []Attr
}

// Attr is an attribute of a node. Numbers are in Ints and text in Text; lists
// of more than 64 numbers, floats and tensors are left out.
type Attr struct {
	Name string
	Ints []int64
	Text string
}

// Int returns the attribute's only or first number, or missing where the node
// has none of that name.
func (n Node) Int(name string, missing int64) int64 {
	for _, a := range n.Attrs {
		if a.Name == name && len(a.Ints) > 0 {
			return a.Ints[0]
		}
	}
	return missing
}

// Has reports whether the model uses an operator of ONNX's own set.
func (m *Model) Has(op string) bool {
	for _, n := range m.Nodes {
		if n.Op.Domain == "" && n.Op.Name == op {
			return true
		}
	}
	return false
}

// Ops counts the model's operators.
func (m *Model) Ops() map[Op]int {
	ops := map[Op]int{}
	for _, n := range m.Nodes {
		ops[n.Op]++
	}
	return ops
}

// Shape is the lengths of the axes, -1 where the file leaves one open.
func (v Value) Shape() []int {
	shape := make([]int, len(v.Dims))
	for i, d := range v.Dims {
		shape[i] = int(d.Size)
	}
	return shape
}

// String is the value for people: "images" float32 [batch 3 416 416].
func (v Value) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s ", v.Name, v.Type)
	if !v.Ranked {
		b.WriteString("of unknown shape")
		return b.String()
	}
	b.WriteByte('[')
	for i, d := range v.Dims {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case d.Size >= 0:
			fmt.Fprint(&b, d.Size)
		case d.Name != "":
			b.WriteString(d.Name)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte(']')
	return b.String()
}

// Parse reads a model. It keeps no reference to data and its memory use is
// bounded whatever data is. Errors wrap [ErrNotONNX], [ErrTruncated] or
// [ErrLimit].
func Parse(data []byte) (*Model, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrNotONNX)
	}
	if what := otherKind(data); what != "" {
		return nil, fmt.Errorf("%w: it looks like %s", ErrNotONNX, what)
	}
	p := parser{m: &Model{Metadata: map[string]string{}}, weights: map[string]bool{}}
	err := p.model(data)
	switch {
	case err == nil:
	case p.m.IRVersion == 0: // the first thing every exporter writes
		return nil, ErrNotONNX
	case errors.Is(err, ErrLimit), errors.Is(err, ErrTruncated):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", ErrNotONNX, err)
	}
	switch {
	case p.m.IRVersion < 1 || p.graphs == 0:
		return nil, fmt.Errorf("%w: it has no graph", ErrNotONNX)
	case len(p.m.Outputs) == 0:
		return nil, fmt.Errorf("%w: its graph has no outputs", ErrNotONNX)
	}
	return p.m, nil
}

// otherKind recognises what people mistake for a model. A model begins with
// the field ir_version, two bytes of which neither is text.
func otherKind(data []byte) string {
	kind, _, _ := strings.Cut(http.DetectContentType(data[:min(len(data), 512)]), ";")
	switch {
	case kind == "application/octet-stream":
		return ""
	case kind == "text/plain" && strings.HasPrefix(string(data[:min(len(data), 64)]), "version https://git-lfs"):
		return "a Git LFS pointer (fetch the file itself with git lfs pull)"
	case data[0] == 0x08 && kind == "text/plain":
		return ""
	case kind == "application/zip":
		return "a zip archive, perhaps a PyTorch checkpoint (export it to ONNX)"
	default:
		return kind
	}
}
