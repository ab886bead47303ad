package onnxfile

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// mainGraph reads the model's GraphProto: what goes in and out first, then its
// nodes, since exporters write them in another order.
func (p *parser) mainGraph(msg []byte) error {
	var inputs []Value
	err := each(msg, func(f field) error {
		switch f.key {
		case 5<<3 | bytes:
			return p.weight(f.b)
		case 15<<3 | bytes: // SparseTensorProto, named by its values
			return each(f.b, func(f field) error {
				if f.key == 1<<3|bytes {
					return p.weight(f.b)
				}
				return nil
			})
		case 11<<3 | bytes:
			return value(f.b, &inputs)
		case 12<<3 | bytes:
			return value(f.b, &p.m.Outputs)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, in := range inputs {
		if !p.weights[in.Name] { // before IR version 4 weights are inputs too
			p.m.Inputs = append(p.m.Inputs, in)
		}
	}
	makers := map[string]maker{}
	err = each(msg, func(f field) error {
		if f.key != 1<<3|bytes {
			return nil
		}
		op, err := p.node(f.b, 1)
		if err != nil {
			return err
		}
		return madeBy(f.b, op, makers)
	})
	for i := range p.m.Outputs {
		p.m.Outputs[i].Op = makerOf(p.m.Outputs[i].Name, makers)
	}
	return err
}

// maker is the operator that computes a value.
type maker struct {
	op    Op
	input string // its first
}

// madeBy adds what a NodeProto computes to makers.
func madeBy(msg []byte, op Op, makers map[string]maker) error {
	m := maker{op: op}
	inputs := 0
	return each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			if inputs++; inputs == 1 {
				m.input = string(f.b)
			}
		case 2<<3 | bytes:
			if len(makers) < maxNodes {
				makers[string(f.b)] = m
			}
		}
		return nil
	})
}

// makerOf names the operator behind a value; one that follows its own answer
// ends the search.
func makerOf(value string, makers map[string]maker) string {
	for range maxDepth {
		m := makers[value]
		switch m.op.String() {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Cast":
			value = m.input
		default:
			return m.op.Name
		}
	}
	return ""
}

// subgraph reads the nodes of a graph that is an attribute.
func (p *parser) subgraph(msg []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: graphs nested more than %d deep", ErrLimit, maxDepth)
	}
	return each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			_, err := p.node(f.b, depth)
			return err
		case 5<<3 | bytes:
			return p.weight(f.b)
		}
		return nil
	})
}

// weight reads the name of a TensorProto and where its data is, not the data.
func (p *parser) weight(msg []byte) error {
	if err := spend(&p.tensors, maxTensors, "weights"); err != nil {
		return err
	}
	var name string
	external := false
	err := each(msg, func(f field) error {
		switch f.key {
		case 8<<3 | bytes:
			name = f.text()
		case 14<<3 | number:
			external = f.v == 1
		}
		return nil
	})
	p.weights[name] = true
	if external {
		p.m.External = name
		if name == "" {
			p.m.External = "(unnamed)"
		}
	}
	return err
}

// node reads a NodeProto.
func (p *parser) node(msg []byte, depth int) (Op, error) {
	if len(p.m.Nodes) >= maxNodes {
		return Op{}, fmt.Errorf("%w: more than %d operators", ErrLimit, maxNodes)
	}
	at := len(p.m.Nodes)
	p.m.Nodes = append(p.m.Nodes, Node{}) // before those of its subgraphs
	var n Node
	err := each(msg, func(f field) error {
		switch f.key {
		case 3<<3 | bytes:
			n.Name = f.text()
		case 4<<3 | bytes:
			n.Op.Name = f.text()
		case 5<<3 | bytes:
			a, err := p.attr(f.b, depth)
			n.Attrs = append(n.Attrs, a)
			return err
		case 7<<3 | bytes:
			n.Op.Domain = domain(f.text())
		}
		return nil
	})
	p.m.Nodes[at] = n
	return n.Op, err
}

// attr reads an AttributeProto.
func (p *parser) attr(msg []byte, depth int) (Attr, error) {
	if err := spend(&p.attrs, maxAttrs, "attributes"); err != nil {
		return Attr{}, err
	}
	var a Attr
	keep := func(v uint64) {
		if len(a.Ints) <= maxInts {
			a.Ints = append(a.Ints, int64(v))
		}
	}
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			a.Name = f.text()
		case 3<<3 | number, 8<<3 | number:
			keep(f.v)
		case 8<<3 | bytes: // packed
			for len(f.b) > 0 {
				v, n := protowire.ConsumeVarint(f.b)
				if n < 0 {
					return wireError(n)
				}
				keep(v)
				f.b = f.b[n:]
			}
		case 4<<3 | bytes:
			if len(f.b) <= maxText {
				a.Text = f.text()
			}
		case 5<<3 | bytes:
			return p.weight(f.b)
		case 6<<3 | bytes, 11<<3 | bytes:
			return p.subgraph(f.b, depth+1)
		}
		return nil
	})
	if len(a.Ints) > maxInts {
		a.Ints = nil
	}
	return a, err
}

// value reads a ValueInfoProto.
func value(msg []byte, to *[]Value) error {
	if len(*to) >= maxValues {
		return fmt.Errorf("%w: more than %d inputs or outputs", ErrLimit, maxValues)
	}
	v := Value{Type: "undefined"}
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			v.Name = f.text()
		case 2<<3 | bytes:
			return each(f.b, func(f field) error { return v.typ(f) })
		}
		return nil
	})
	*to = append(*to, v)
	return err
}

// typ reads a field of a TypeProto.
func (v *Value) typ(f field) error {
	switch f.key {
	case 1<<3 | bytes:
		return each(f.b, v.tensorType)
	case 4<<3 | bytes:
		v.Type = "sequence"
	case 5<<3 | bytes:
		v.Type = "map"
	case 8<<3 | bytes:
		v.Type = "sparse"
	case 9<<3 | bytes:
		v.Type = "optional"
	}
	return nil
}

// tensorType reads a field of a TypeProto.Tensor.
func (v *Value) tensorType(f field) error {
	switch f.key {
	case 1<<3 | number:
		v.Type = elemType(f.v)
	case 2<<3 | bytes:
		v.Ranked = true
		return each(f.b, func(f field) error {
			if f.key != 1<<3|bytes {
				return nil
			}
			if len(v.Dims) >= maxDims {
				return fmt.Errorf("%w: a tensor with more than %d axes", ErrLimit, maxDims)
			}
			d, err := dim(f.b)
			v.Dims = append(v.Dims, d)
			return err
		})
	}
	return nil
}

// dim reads a TensorShapeProto.Dimension.
func dim(msg []byte) (Dim, error) {
	d := Dim{Size: -1}
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | number:
			if f.v > math.MaxInt32 { // negative ones, which some exporters write, too
				d.Size = -1
				if int64(f.v) > 0 {
					return errors.New("an axis longer than 2³¹")
				}
				return nil
			}
			d.Size = int64(f.v)
		case 2<<3 | bytes:
			d.Name = f.text()
		}
		return nil
	})
	return d, err
}

// elemType names a TensorProto.DataType as NumPy does.
func elemType(v uint64) string {
	names := [...]string{
		"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
		"float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
	}
	if v < uint64(len(names)) {
		return names[v]
	}
	return fmt.Sprintf("type %d", v)
}
