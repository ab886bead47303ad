package gorgonia

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	gg "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/vedette-io/vedette/internal/engine"
)

// maxElements bounds the tensors of a graph together, so that a file with
// absurd shapes is an error and not the end of the process: 2^28 floats are
// 1 GiB.
const maxElements = 1 << 28

// kernel computes dst from the operator's inputs. It changes nothing but dst,
// all of which it sets. Inputs that the model leaves out are nil.
type kernel func(dst []float32, src [][]float32)

// operation is a kernel as an operation of Gorgonia. Its output is its own
// memory, the same at each run. In Gorgonia's eyes every tensor is a vector:
// shapes are settled when the graph is built, and its rules for scalars,
// broadcasts and in-place results have no say.
type operation struct {
	name    string
	current *current
	run     kernel
	dst     []float32
	result  *tensor.Dense
	// src are the inputs in the model's order: constants stay, the others are
	// filled from the run's values by from, the index of each or -1.
	src  [][]float32
	from []int
	// arity counts the different values read.
	arity int
}

var _ gg.Op = (*operation)(nil)

// emit adds an operation with this kernel that reads the given values (nil:
// left out) and makes a tensor of this shape. With constants alone it is
// computed at once.
func (s *site) emit(shape []int, run kernel, reads ...*value) (*value, error) {
	size := 1
	for _, d := range shape {
		if d < 1 || size > maxElements/d {
			return nil, fmt.Errorf("%w: a tensor of shape %s", engine.ErrUnsupported, engine.ShapeString(shape))
		}
		size *= d
	}
	if s.builder.elements += size; s.builder.elements > maxElements {
		return nil, fmt.Errorf("%w: the model needs more than %d MiB for its tensors", engine.ErrUnsupported, maxElements>>18)
	}
	out := &value{name: s.name, shape: shape, f32: make([]float32, size)}
	o := &operation{name: s.op + " " + s.name, current: s.builder.current, run: run, dst: out.f32}
	var children []*gg.Node
	index := map[*gg.Node]int{}
	for _, r := range reads {
		from, data := -1, []float32(nil)
		switch {
		case r == nil:
		case r.ints != nil:
			return nil, fmt.Errorf("%w: integers (%q)", engine.ErrUnsupported, r.name)
		case r.node == nil:
			data = r.f32
		default:
			known, ok := index[r.node]
			if !ok {
				known = len(children)
				index[r.node] = known
				children = append(children, r.node)
			}
			from = known
		}
		o.src, o.from = append(o.src, data), append(o.from, from)
	}
	if len(children) == 0 {
		run(out.f32, o.src)
		return out, nil
	}
	o.arity, o.result = len(children), vector(out.f32)
	var err error
	if out.node, err = gg.ApplyOp(o, children...); err != nil {
		return nil, fmt.Errorf("gorgonia: %w", err)
	}
	return out, nil
}

// Do runs the kernel. A kernel that panics must not take the process with it:
// Gorgonia calls it on a goroutine of its own.
func (o *operation) Do(inputs ...gg.Value) (v gg.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("operator %s: %v", o.name, p)
		}
	}()
	if o.current.stopped() {
		return nil, o.current.ctx.Err()
	}
	for i, from := range o.from {
		if from < 0 {
			continue
		}
		data, ok := inputs[from].Data().([]float32)
		if !ok {
			return nil, errors.New("operator " + o.name + ": an input is not float32")
		}
		o.src[i] = data
	}
	o.run(o.dst, o.src)
	if o.current.stopped() { // a long kernel may have ended early
		return nil, o.current.ctx.Err()
	}
	return o.result, nil
}

// Arity is the number of values read.
func (o *operation) Arity() int { return o.arity }

// Type says that vectors become a vector.
func (o *operation) Type() hm.Type {
	types := make([]hm.Type, o.arity+1)
	for i := range types {
		types[i] = gg.TensorType{Dims: 1, Of: tensor.Float32}
	}
	return hm.NewFnType(types...)
}

// InferShape is the length of the result.
func (o *operation) InferShape(...gg.DimSizer) (tensor.Shape, error) {
	return tensor.Shape{len(o.dst)}, nil
}

// ReturnsPtr, CallsExtern and OverwritesInput say that results are memory of
// the operation, made in Go, and no input's.
func (*operation) ReturnsPtr() bool     { return true }
func (*operation) CallsExtern() bool    { return false }
func (*operation) OverwritesInput() int { return -1 }

// WriteHash is different for each operation of a graph: Gorgonia merges those
// with equal hashes.
func (o *operation) WriteHash(h hash.Hash) { _, _ = h.Write([]byte(o.name)) }

// Hashcode is the hash.
func (o *operation) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *operation) String() string { return o.name }
