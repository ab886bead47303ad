package onnxfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The wire types of a key: a field's number and wire type as they stand in the
// bytes. A field of another wire type than expected has another key and is
// skipped as an unknown one, as other readers do.
const (
	number = uint64(protowire.VarintType)
	bytes  = uint64(protowire.BytesType)
)

// parser collects a model; its counters bound what hostile bytes can cost.
type parser struct {
	m       *Model
	weights map[string]bool // initializers of the main graph
	graphs  int
	attrs   int
	tensors int
}

// field is one field of a message. b aliases the message.
type field struct {
	key uint64
	v   uint64
	b   []byte
}

func (f field) text() string { return strings.ToValidUTF8(string(f.b), "�") }

// each calls visit for the fields of msg in order.
func each(msg []byte, visit func(field) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return wireError(n)
		}
		msg = msg[n:]
		f := field{key: protowire.EncodeTag(num, typ)}
		switch typ {
		case protowire.VarintType:
			f.v, n = protowire.ConsumeVarint(msg)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(msg)
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		default: // groups, which ONNX does not have
			return fmt.Errorf("field %d has wire type %d", num, typ)
		}
		if n < 0 {
			return wireError(n)
		}
		msg = msg[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

func wireError(n int) error {
	if err := protowire.ParseError(n); !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return ErrTruncated
}

// spend counts one thing more and fails when there are too many.
func spend(n *int, limit int, what string) error {
	if *n++; *n > limit {
		return fmt.Errorf("%w: more than %d %s", ErrLimit, limit, what)
	}
	return nil
}

// model reads a ModelProto.
func (p *parser) model(msg []byte) error {
	var opsets, properties, functions int
	return each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | number:
			p.m.IRVersion = int64(f.v)
		case 2<<3 | bytes:
			p.m.Producer = f.text()
		case 3<<3 | bytes:
			p.m.ProducerVersion = f.text()
		case 7<<3 | bytes:
			if p.graphs++; p.graphs > 1 {
				return errors.New("it has two graphs")
			}
			return p.mainGraph(f.b)
		case 8<<3 | bytes:
			if err := spend(&opsets, maxMetadata, "operator sets"); err != nil {
				return err
			}
			return p.opset(f.b)
		case 14<<3 | bytes:
			if err := spend(&properties, maxMetadata, "metadata entries"); err != nil {
				return err
			}
			return p.property(f.b)
		case 25<<3 | bytes:
			if err := spend(&functions, maxMetadata, "functions"); err != nil {
				return err
			}
			return p.function(f.b)
		}
		return nil
	})
}

// opset reads an OperatorSetIdProto.
func (p *parser) opset(msg []byte) error {
	var o Opset
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			o.Domain = domain(f.text())
		case 2<<3 | number:
			o.Version = int64(f.v)
		}
		return nil
	})
	p.m.Opsets = append(p.m.Opsets, o)
	return err
}

// domain maps the long name of ONNX's own operators to the short one.
func domain(s string) string {
	if s == "ai.onnx" {
		return ""
	}
	return s
}

// property reads a StringStringEntryProto of the model's metadata.
func (p *parser) property(msg []byte) error {
	var key, value string
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			key = f.text()
		case 2<<3 | bytes:
			value = f.text()
		}
		return nil
	})
	p.m.Metadata[key] = value
	return err
}

// function reads the name of a FunctionProto; its operators are those of the
// model that uses it.
func (p *parser) function(msg []byte) error {
	var op Op
	err := each(msg, func(f field) error {
		switch f.key {
		case 1<<3 | bytes:
			op.Name = f.text()
		case 7<<3 | bytes:
			_, err := p.node(f.b, 1)
			return err
		case 10<<3 | bytes:
			op.Domain = domain(f.text())
		}
		return nil
	})
	p.m.Functions = append(p.m.Functions, op)
	return err
}
