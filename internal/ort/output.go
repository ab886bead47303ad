//go:build cgo

package ort

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/pixel"
)

// output is one output of a runner. With a shape known beforehand it is a
// tensor that the library writes into at every run; else the library allocates
// one at each run, which is copied and freed.
type output struct {
	info  engine.TensorInfo
	value ort.Value // nil: allocated by the library
	shape []int
	f32   []float32
}

func newOutput(info engine.TensorInfo, pic engine.Picture, batch int, pins *runtime.Pinner) (*output, error) {
	o := &output{info: info}
	shape := knownShape(info.Shape, pic, batch)
	if shape == nil {
		switch info.Type {
		case "bfloat16":
			return nil, fmt.Errorf("%w: element type bfloat16", engine.ErrUnsupported)
		case "float16": // the binding reads half of such a tensor
			return nil, fmt.Errorf("%w: it is float16 of a shape %s that the graph leaves open; export it with a fixed shape or as float32",
				engine.ErrUnsupported, engine.ShapeString(info.Shape))
		}
		return o, nil
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	o.shape = shape
	var err error
	switch info.Type {
	case "float32":
		o.f32 = make([]float32, n)
		pins.Pin(&o.f32[0])
		o.value, err = ort.NewTensor(int64s(shape), o.f32)
	case "float16":
		o.f32 = make([]float32, n)
		raw := make([]byte, 2*n)
		pins.Pin(&raw[0])
		o.value, err = ort.NewCustomDataTensor(int64s(shape), raw, ort.TensorElementDataTypeFloat16)
	case "float64", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool":
		o.shape = nil // rare: left to the library and copied
	default:
		return nil, fmt.Errorf("%w: element type %s", engine.ErrUnsupported, info.Type)
	}
	return o, err
}

// knownShape is the shape an output is going to have, or nil where only a run
// can tell. An open first axis of a graph that takes any batch is the batch.
func knownShape(declared []int, pic engine.Picture, batch int) []int {
	if len(declared) == 0 {
		return nil
	}
	shape := slices.Clone(declared)
	if shape[0] < 0 && pic.Batch < 0 {
		shape[0] = batch
	}
	if slices.ContainsFunc(shape, func(d int) bool { return d < 1 }) {
		return nil
	}
	return shape
}

// read gives the values of v as float32. A v that the library allocated is
// freed.
func (o *output) read(v ort.Value) (engine.Output, error) {
	if o.value == nil {
		defer v.Destroy()
		o.shape = o.shape[:0]
		for _, d := range v.GetShape() {
			o.shape = append(o.shape, int(d))
		}
	}
	switch t := v.(type) {
	case *ort.Tensor[float32]:
		if o.value == nil {
			o.f32 = append(o.f32[:0], t.GetData()...)
		}
	case *ort.CustomDataTensor: // only float16 comes here
		raw := t.GetData()
		for i := range o.f32 {
			o.f32[i] = pixel.FromHalf(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	case *ort.Tensor[float64]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[int64]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[int32]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[int16]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[int8]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[uint64]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[uint32]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[uint16]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[uint8]:
		o.f32 = convert(o.f32, t.GetData())
	case *ort.Tensor[bool]:
		o.f32 = o.f32[:0]
		for _, b := range t.GetData() {
			v := float32(0)
			if b {
				v = 1
			}
			o.f32 = append(o.f32, v)
		}
	default:
		return engine.Output{}, fmt.Errorf("%w: element type %s", engine.ErrUnsupported, o.info.Type)
	}
	return engine.Output{Name: o.info.Name, Shape: o.shape, F32: o.f32}, nil
}

func convert[T float64 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8](dst []float32, src []T) []float32 {
	dst = slices.Grow(dst[:0], len(src))[:len(src)]
	for i, v := range src {
		dst[i] = float32(v)
	}
	return dst
}
