package gorgonia

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	gg "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/vedette-io/vedette/internal/engine"
)

// building serialises the making of graphs: Gorgonia counts and pools in
// globals meanwhile, without locks.
var building sync.Mutex

// value is a tensor while a graph is built. Several may share data: views of
// one another with other shapes.
type value struct {
	name  string
	shape []int
	// f32 are the elements: those of a constant, or the memory that a run
	// fills.
	f32 []float32
	// ints are the elements of a constant of integers, which has no f32.
	ints []int64
	// node is where a run gets the data; nil for constants.
	node *gg.Node
}

func (v *value) size() int { return product(v.shape) }

// program is a graph for one batch size with all its memory.
type program struct {
	vm      gg.VM
	current *current
	outputs []engine.Output
}

// current is what operations know of the run under way. They must not know the
// program: the machine in it has a finalizer, and a cycle through it would
// never be collected.
type current struct{ ctx context.Context }

// stopped reports whether the run under way was cancelled.
func (c *current) stopped() bool { return c.ctx != nil && c.ctx.Err() != nil }

// builder makes a program.
type builder struct {
	current *current
	graph   *gg.ExprGraph
	opset   int64
	threads int
	values  map[*node]*value
	// elements counts those of all tensors made so far.
	elements int
}

// build makes the program that reads in.
func build(net *network, in *engine.Input, threads int) (p *program, err error) {
	building.Lock()
	defer building.Unlock()
	defer func() { // Gorgonia reports what it did not expect by panics
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: gorgonia: %v", engine.ErrUnsupported, v)
		}
	}()
	p = &program{current: &current{}}
	b := &builder{current: p.current, graph: gg.NewGraph(), opset: net.opset, threads: threads, values: map[*node]*value{}}
	input := &value{name: in.Name, shape: in.Shape, f32: in.F32}
	input.node = gg.NewTensor(b.graph, tensor.Float32, 1, gg.WithShape(len(in.F32)), gg.WithName(in.Name), gg.WithValue(vector(in.F32)))
	b.values[net.input] = input
	for _, c := range net.calls {
		if err := b.apply(c); err != nil {
			return nil, fmt.Errorf("operator %s making %q: %w", c.op, c.outputs[0].name, err)
		}
	}
	for _, o := range net.outputs {
		v, err := b.value(o)
		if err != nil {
			return nil, err
		}
		if v.ints != nil {
			return nil, fmt.Errorf("%w: output %q is a constant of integers", engine.ErrUnsupported, o.name)
		}
		p.outputs = append(p.outputs, engine.Output{Name: o.name, Shape: v.shape, F32: v.f32})
	}
	p.vm = gg.NewTapeMachine(b.graph, gg.EvalMode())
	return p, nil
}

// apply adds an operator to the graph.
func (b *builder) apply(c *call) error {
	o, ok := operators()[c.op]
	if !ok {
		return engine.ErrUnsupported
	}
	for name := range c.attrs {
		if !slices.Contains(o.attrs, name) {
			return fmt.Errorf("%w: attribute %q", engine.ErrUnsupported, name)
		}
	}
	for _, extra := range c.outputs[1:] {
		if extra.name != "" {
			return fmt.Errorf("%w: its second output %q", engine.ErrUnsupported, extra.name)
		}
	}
	if c.op == "Constant" { // onnx-go invents an input for it
		c = &call{op: c.op, attrs: c.attrs, outputs: c.outputs}
	}
	inputs := make([]*value, len(c.inputs))
	for i, in := range c.inputs {
		if in == nil {
			continue
		}
		var err error
		if inputs[i], err = b.value(in); err != nil {
			return err
		}
	}
	if len(inputs) < o.min || len(inputs) > o.max || slices.Contains(inputs[:o.min], nil) {
		return fmt.Errorf("%w: %d inputs", engine.ErrModel, len(inputs))
	}
	s := &site{builder: b, name: c.outputs[0].name, op: c.op, attrs: c.attrs, in: inputs}
	v, err := o.build(s)
	if err = errors.Join(s.err, err); err != nil {
		return err
	}
	b.values[c.outputs[0]] = v
	return nil
}

// value is what a node holds: the result of an operator that came before, or a
// weight.
func (b *builder) value(n *node) (*value, error) {
	if v, ok := b.values[n]; ok {
		return v, nil
	}
	if n.tensor == nil {
		return nil, fmt.Errorf("%w: %q is read before anything computes it", engine.ErrModel, n.name)
	}
	v, err := constant(n.name, n.tensor)
	if err == nil {
		b.values[n] = v
	}
	return v, err
}

// constant wraps a weight without copying it.
func constant(name string, t tensor.Tensor) (*value, error) {
	v := &value{name: name, shape: slices.Clone(t.Shape())}
	switch data := t.Data().(type) {
	case []float32:
		v.f32 = data
	case float32:
		v.f32 = []float32{data}
	case []int64:
		v.ints = data
	case int64:
		v.ints = []int64{data}
	case []int32:
		for _, d := range data {
			v.ints = append(v.ints, int64(d))
		}
	default:
		return nil, fmt.Errorf("%w: weight %q is of type %s", engine.ErrUnsupported, name, t.Dtype())
	}
	if n := max(len(v.f32), len(v.ints)); n != v.size() {
		return nil, fmt.Errorf("%w: weight %q of shape %s has %d values", engine.ErrModel, name, engine.ShapeString(v.shape), n)
	}
	return v, nil
}

// run runs the graph once.
func (p *program) run(ctx context.Context) error {
	p.current.ctx = ctx
	defer func() { p.current.ctx = nil }()
	p.vm.Reset()
	return p.vm.RunAll()
}

func vector(data []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
