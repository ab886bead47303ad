package onnxfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrBatch is wrapped when a model that takes one picture cannot be opened for
// more.
var ErrBatch = errors.New("the batch of the model cannot be opened")

// openBatch is what the first axis is called in a model that was opened.
const openBatch = "vedette_batch"

// OpenBatch rewrites a model that was exported for one picture so that it takes
// any number: the first axis of its inputs and outputs is left open, and so is
// that of the shapes which its Reshape operators have as constants.
//
// That is what an export for any batch mostly consists of, but no proof that the
// model works off pictures one by one: whoever uses the result has to compare
// its answers with those of the original. Errors wrap [ErrBatch], or are those
// of [Parse].
func OpenBatch(onnx []byte) ([]byte, error) {
	m, err := Parse(onnx)
	if err != nil {
		return nil, err
	}
	for _, v := range append(slices.Clone(m.Inputs), m.Outputs...) {
		if !v.Ranked || len(v.Dims) == 0 || v.Dims[0].Size != 1 {
			return nil, fmt.Errorf("%w: %s does not begin with an axis of 1", ErrBatch, v)
		}
	}
	open := &opener{values: map[string]bool{}, shapes: map[string]bool{}}
	for _, v := range append(slices.Clone(m.Inputs), m.Outputs...) {
		open.values[v.Name] = true
	}
	if err := open.survey(onnx); err != nil {
		return nil, err
	}
	return rewrite(onnx, func(f field) ([]byte, error) {
		if f.key != graphField {
			return nil, nil
		}
		return rewrite(f.b, open.graph)
	})
}

// Fields of the messages that are rewritten.
const (
	graphField       = 7<<3 | bytes // of ModelProto
	nodeField        = 1<<3 | bytes // of GraphProto
	initializerField = 5<<3 | bytes
	inputField       = 11<<3 | bytes
	outputField      = 12<<3 | bytes
	valueInfoField   = 13<<3 | bytes
)

// opener rewrites a graph.
type opener struct {
	values map[string]bool // inputs and outputs
	shapes map[string]bool // constants that are the shape of a Reshape
}

// survey finds the shapes.
func (o *opener) survey(onnx []byte) error {
	others := map[string]bool{} // what other operators read
	err := each(onnx, func(f field) error {
		if f.key != graphField {
			return nil
		}
		return each(f.b, func(f field) error {
			if f.key != nodeField {
				return nil
			}
			n, err := readNode(f.b)
			if err != nil {
				return err
			}
			for i, in := range n.inputs {
				if n.op == "Reshape" && i == 1 {
					o.shapes[in] = true
				} else {
					others[in] = true
				}
			}
			return nil
		})
	})
	for name := range o.shapes {
		if others[name] {
			return fmt.Errorf("%w: the shape %q is read by other operators as well", ErrBatch, name)
		}
	}
	return err
}

// wiredNode is how an operator is connected.
type wiredNode struct {
	op              string
	inputs, outputs []string
}

// readNode reads a NodeProto.
func readNode(msg []byte) (n wiredNode, err error) {
	err = each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			n.inputs = append(n.inputs, string(f.b))
		case 2<<3 | bytes:
			n.outputs = append(n.outputs, string(f.b))
		case 4<<3 | bytes:
			n.op = string(f.b)
		case 5<<3 | bytes:
			return each(f.b, func(f field) error {
				if f.key == 6<<3|bytes || f.key == 11<<3|bytes {
					return fmt.Errorf("%w: operator %q has a graph of its own", ErrBatch, n.op)
				}
				return nil
			})
		}
		return nil
	})
	return n, err
}

// graph rewrites a field of the GraphProto; nil leaves it.
func (o *opener) graph(f field) ([]byte, error) {
	switch f.key {
	case inputField, outputField:
		return o.value(f.b)
	case valueInfoField: // shapes in between, which the engine finds out anew
		return []byte{}, nil
	case initializerField:
		name := ""
		err := each(f.b, func(f field) error {
			if f.key == 8<<3|bytes {
				name = string(f.b)
			}
			return nil
		})
		if err != nil || !o.shapes[name] {
			return nil, err
		}
		return openShape(f.b)
	case nodeField:
		n, err := readNode(f.b)
		if err != nil || n.op != "Constant" || len(n.outputs) != 1 || !o.shapes[n.outputs[0]] {
			return nil, err
		}
		return rewrite(f.b, func(f field) ([]byte, error) {
			if f.key != 5<<3|bytes {
				return nil, nil
			}
			return rewrite(f.b, func(f field) ([]byte, error) { // AttributeProto
				if f.key != 5<<3|bytes {
					return nil, nil
				}
				return openShape(f.b)
			})
		})
	}
	return nil, nil
}

// value opens the first axis of a ValueInfoProto.
func (o *opener) value(msg []byte) ([]byte, error) {
	name := ""
	if err := each(msg, func(f field) error {
		if f.key == 1<<3|bytes {
			name = string(f.b)
		}
		return nil
	}); err != nil || !o.values[name] {
		return nil, err
	}
	inside := func(key uint64, visit func(field) ([]byte, error)) func(field) ([]byte, error) {
		return func(f field) ([]byte, error) {
			if f.key != key {
				return nil, nil
			}
			return rewrite(f.b, visit)
		}
	}
	first := true
	dims := func(f field) ([]byte, error) { // TensorShapeProto
		if f.key != 1<<3|bytes || !first {
			return nil, nil
		}
		first = false
		return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), openBatch), nil
	}
	// TypeProto, its tensor, its shape
	return rewrite(msg, inside(2<<3|bytes, inside(1<<3|bytes, inside(2<<3|bytes, dims))))
}

// openShape rewrites a TensorProto that says where a Reshape goes: an axis of 1
// in front becomes what is left over, or, where another axis is that, what it
// was before.
func openShape(msg []byte) ([]byte, error) {
	var dims, ints []int64
	var name string
	typ := uint64(0)
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | number:
			dims = append(dims, int64(f.v))
		case 1<<3 | bytes:
			return packed(f.b, &dims)
		case 2<<3 | number:
			typ = f.v
		case 7<<3 | number:
			ints = append(ints, int64(f.v))
		case 7<<3 | bytes:
			return packed(f.b, &ints)
		case 8<<3 | bytes:
			name = string(f.b)
		case 9<<3 | bytes:
			for b := f.b; len(b) >= 8; b = b[8:] {
				ints = append(ints, int64(binary.LittleEndian.Uint64(b)))
			}
		}
		return nil
	})
	const int64Type = 7
	if err != nil || typ != int64Type || len(dims) != 1 || dims[0] != int64(len(ints)) || len(ints) == 0 {
		return nil, err // no shape; the comparison of the answers decides
	}
	if ints[0] == 1 {
		if slices.Contains(ints, -1) {
			ints[0] = 0
		} else {
			ints[0] = -1
		}
	}
	out := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(len(ints)))
	out = protowire.AppendVarint(protowire.AppendTag(out, 2, protowire.VarintType), int64Type)
	out = protowire.AppendString(protowire.AppendTag(out, 8, protowire.BytesType), name)
	var raw []byte
	for _, v := range ints {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return protowire.AppendBytes(protowire.AppendTag(out, 9, protowire.BytesType), raw), nil
}

// packed reads the numbers of a packed field.
func packed(b []byte, to *[]int64) error {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return wireError(n)
		}
		*to = append(*to, int64(v))
		b = b[n:]
	}
	return nil
}

// rewrite copies a message with some of its fields replaced: visit returns the
// new content of a field of bytes, nil to leave the field as it is, or an empty
// list, not nil, to drop it.
func rewrite(msg []byte, visit func(field) ([]byte, error)) ([]byte, error) {
	out := make([]byte, 0, len(msg)+16)
	for len(msg) > 0 {
		num, typ, tag := protowire.ConsumeTag(msg)
		if tag < 0 {
			return nil, wireError(tag)
		}
		size := protowire.ConsumeFieldValue(num, typ, msg[tag:])
		if size < 0 {
			return nil, wireError(size)
		}
		whole := msg[:tag+size]
		msg = msg[tag+size:]
		if typ != protowire.BytesType {
			out = append(out, whole...)
			continue
		}
		b, _ := protowire.ConsumeBytes(whole[tag:])
		content, err := visit(field{key: protowire.EncodeTag(num, typ), b: b})
		switch {
		case err != nil:
			return nil, err
		case content == nil:
			out = append(out, whole...)
		case len(content) > 0:
			out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), content)
		}
	}
	return out, nil
}
