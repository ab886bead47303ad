package gorgonia

import (
	"fmt"

	"github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"google.golang.org/protobuf/encoding/protowire"
	"gorgonia.org/tensor"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/onnxfile"
)

// network is a model as onnx-go decodes it. Nothing in it changes afterwards.
type network struct {
	opset   int64
	input   *node
	outputs []*node
	// calls are the operators in the file's order, each after those whose
	// results it reads; only those that an output needs.
	calls []*call
}

// node is a named tensor: an input, a weight, or the result of an operator.
type node struct {
	id     int64
	name   string
	tensor tensor.Tensor // of weights
	reads  []*node       // what the operator that makes it reads
}

// call is one operator of a model.
type call struct {
	op      string
	attrs   map[string]any
	inputs  []*node // nil for an optional one that is left out
	outputs []*node
}

func (n *node) ID() int64                       { return n.id }
func (n *node) SetName(name string)             { n.name = name }
func (n *node) GetName() string                 { return n.name }
func (n *node) SetTensor(t tensor.Tensor) error { n.tensor = t; return nil }
func (n *node) GetTensor() tensor.Tensor        { return n.tensor }
func (n *node) set(position int, input *node) {
	for len(n.reads) <= position {
		n.reads = append(n.reads, nil)
	}
	if input.name != "" {
		n.reads[position] = input
	}
}

// backend receives what onnx-go decodes. Of the embedded graph only the type
// is used: an edge list cannot say that an operator reads one value twice.
type backend struct {
	*simple.WeightedDirectedGraph
	nodes int64
	calls []*call
}

var _ onnx.Backend = (*backend)(nil)

func (b *backend) NewNode() graph.Node {
	b.nodes++
	return &node{id: b.nodes}
}

func (b *backend) AddNode(graph.Node) {}

// SetWeightedEdge is told that an operator's result reads a value; the weight
// is the position of the input.
func (b *backend) SetWeightedEdge(e graph.WeightedEdge) {
	e.From().(*node).set(int(e.Weight()), e.To().(*node))
}

// ApplyOperation is told an operator after its edges.
func (b *backend) ApplyOperation(o onnx.Operation, results ...graph.Node) error {
	c := &call{op: o.Name, attrs: o.Attributes}
	for _, r := range results {
		c.outputs = append(c.outputs, r.(*node))
	}
	if len(c.outputs) == 0 {
		return fmt.Errorf("operator %s has no outputs", o.Name)
	}
	c.inputs = c.outputs[0].reads
	b.calls = append(b.calls, c)
	return nil
}

// decode reads a model whose operators were checked.
func decode(file []byte, input string, info engine.Info) (net *network, err error) {
	defer func() { // onnx-go and its tensors panic on some malformed files
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the file cannot be decoded: %v", engine.ErrModel, p)
		}
	}()
	parsed, err := onnxfile.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrModel, err)
	}
	b := &backend{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, 0)}
	m := onnx.NewModel(b)
	if err := m.UnmarshalBinary(withoutShapes(file)); err != nil {
		return nil, fmt.Errorf("%w: onnx-go: %w", engine.ErrUnsupported, err)
	}
	net = &network{}
	for _, set := range parsed.Opsets {
		if set.Domain == "" || set.Domain == "ai.onnx" {
			net.opset = set.Version
		}
	}
	find := func(name string) *node {
		n, _ := m.GetNodeByName(name)
		found, _ := n.(*node)
		return found
	}
	net.input = find(input)
	for _, o := range info.Outputs {
		net.outputs = append(net.outputs, find(o.Name))
	}
	net.calls, err = needed(b.calls, net.outputs)
	return net, err
}

// needed keeps the calls that the outputs depend on and checks that each value
// is made once.
func needed(calls []*call, outputs []*node) ([]*call, error) {
	makers := map[*node]bool{}
	for _, c := range calls {
		for _, o := range c.outputs {
			if makers[o] && o.name != "" {
				return nil, fmt.Errorf("%w: two operators compute %q", engine.ErrModel, o.name)
			}
			makers[o] = true
		}
	}
	want := map[*node]bool{}
	for _, o := range outputs {
		want[o] = true
	}
	var kept []*call
	for i := len(calls) - 1; i >= 0; i-- {
		c, used := calls[i], false
		for _, o := range c.outputs {
			used = used || want[o]
		}
		if !used {
			continue
		}
		kept = append([]*call{c}, kept...)
		for _, in := range c.inputs {
			want[in] = true
		}
	}
	return kept, nil
}

// The fields of onnx.proto that withoutShapes looks at.
const (
	modelGraph     = 7
	graphInput     = 11
	graphOutput    = 12
	graphValueInfo = 13
	valueName      = 1
)

// withoutShapes is the model without the declared types of inputs, outputs and
// values in between: onnx-go allocates memory for each of them, however large.
// The file is one that onnxfile has parsed.
func withoutShapes(file []byte) []byte {
	return rewrite(file, func(num protowire.Number, value []byte) ([]byte, bool) {
		if num != modelGraph {
			return value, true
		}
		return rewrite(value, func(num protowire.Number, value []byte) ([]byte, bool) {
			if num == graphInput || num == graphOutput {
				value = rewrite(value, func(num protowire.Number, v []byte) ([]byte, bool) { return v, num == valueName })
			}
			return value, num != graphValueInfo
		}), true
	})
}

// rewrite copies a message, with the fields that are bytes as edit returns
// them, or without them where it returns false.
func rewrite(msg []byte, edit func(protowire.Number, []byte) ([]byte, bool)) []byte {
	out := make([]byte, 0, len(msg))
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return out
		}
		size := protowire.ConsumeFieldValue(num, typ, msg[n:])
		if size < 0 {
			return out
		}
		if typ != protowire.BytesType {
			out = append(out, msg[:n+size]...)
		} else {
			value, _ := protowire.ConsumeBytes(msg[n:])
			if value, keep := edit(num, value); keep {
				out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), value)
			}
		}
		msg = msg[n+size:]
	}
	return out
}
