package gorgonia

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/vedette-io/vedette/internal/engine"
)

// operator is a kind of ONNX operator.
type operator struct {
	min, max int // inputs
	attrs    []string
	build    func(*site) (*value, error)
}

// operators is the table of what this engine runs. One that is not here, or
// has an attribute that is not, is refused by name.
func operators() map[string]operator {
	window := []string{"auto_pad", "dilations", "kernel_shape", "pads", "strides"}
	t := map[string]operator{
		"AveragePool":        {1, 1, append([]string{"count_include_pad", "ceil_mode"}, window...), buildAveragePool},
		"BatchNormalization": {5, 5, []string{"epsilon", "momentum", "spatial", "training_mode"}, buildBatchNorm},
		"Clip":               {1, 3, []string{"min", "max"}, buildClip},
		"Concat":             {1, 1 << 10, []string{"axis"}, buildConcat},
		"Constant":           {0, 0, []string{"value", "value_float", "value_floats", "value_int", "value_ints"}, buildConstant},
		"Conv":               {2, 3, append([]string{"group"}, window...), buildConv},
		"Dropout":            {1, 3, []string{"ratio", "seed"}, buildDropout},
		"Flatten":            {1, 1, []string{"axis"}, buildFlatten},
		"Gemm":               {2, 3, []string{"alpha", "beta", "transA", "transB"}, buildGemm},
		"GlobalAveragePool":  {1, 1, nil, buildGlobalAveragePool},
		"Identity":           {1, 1, nil, buildIdentity},
		"LeakyRelu":          {1, 1, []string{"alpha"}, buildLeakyRelu},
		"MatMul":             {2, 2, nil, buildMatMul},
		"MaxPool":            {1, 1, append([]string{"ceil_mode", "storage_order"}, window...), buildMaxPool},
		"Reshape":            {2, 2, []string{"allowzero"}, buildReshape},
		"Softmax":            {1, 1, []string{"axis"}, buildSoftmax},
		"Squeeze":            {1, 2, []string{"axes"}, buildSqueeze},
		"Transpose":          {1, 1, []string{"perm"}, buildTranspose},
		"Unsqueeze":          {1, 2, []string{"axes"}, buildUnsqueeze},
	}
	for name, f := range unaries() {
		t[name] = operator{1, 1, nil, func(s *site) (*value, error) { return s.unary(f) }}
	}
	for name, f := range binaries() {
		t[name] = operator{2, 2, nil, func(s *site) (*value, error) { return s.binary(f) }}
	}
	return t
}

// site is one operator of a model being built. The first attribute of a wrong
// type is kept in err.
type site struct {
	builder *builder
	name    string // of its result
	op      string
	attrs   map[string]any
	in      []*value
	err     error
}

// input is an optional input, or nil.
func (s *site) input(i int) *value {
	if i < len(s.in) {
		return s.in[i]
	}
	return nil
}

// view is a value with the same data in another shape.
func (s *site) view(v *value, shape []int) (*value, error) {
	if product(shape) != v.size() {
		return nil, fmt.Errorf("%w: %s cannot take the shape %s", engine.ErrModel, engine.ShapeString(v.shape), engine.ShapeString(shape))
	}
	return &value{name: s.name, shape: shape, f32: v.f32, ints: v.ints, node: v.node}, nil
}

// attr is an attribute of type T, or missing.
func attr[T any](s *site, name string, missing T) T {
	a, ok := s.attrs[name]
	if !ok {
		return missing
	}
	v, ok := a.(T)
	if !ok && s.err == nil {
		s.err = fmt.Errorf("%w: attribute %q is of type %T", engine.ErrModel, name, a)
	}
	return v
}

// must refuses an attribute that asks for something else than want.
func (s *site) must(name string, want int64) {
	if got := attr(s, name, want); got != want && s.err == nil {
		s.err = fmt.Errorf("%w: %s=%d", engine.ErrUnsupported, name, got)
	}
}

// ints is an attribute that is a list of count integers, or missing.
func (s *site) ints(name string, count int, missing []int) []int {
	list := attr[[]int64](s, name, nil)
	if list == nil {
		return missing
	}
	if len(list) != count && s.err == nil {
		s.err = fmt.Errorf("%w: attribute %q has %d values, not %d", engine.ErrModel, name, len(list), count)
		return missing
	}
	return toInts(list)
}

func toInts(list []int64) []int {
	v := make([]int, len(list))
	for i, n := range list {
		v[i] = int(n)
	}
	return v
}

// axis counts a negative axis from the end.
func axis(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("%w: axis %d of %d", engine.ErrModel, a, rank)
	}
	return int(a), nil
}

// axes are the axes of Squeeze and Unsqueeze: an attribute until operator set
// 12, an input since. nil means that none are given.
func (s *site) axes() ([]int64, error) {
	if s.builder.opset < 13 {
		return attr[[]int64](s, "axes", nil), nil
	}
	v := s.input(1)
	if v == nil {
		return nil, nil
	}
	if v.ints == nil {
		return nil, fmt.Errorf("%w: axes that are computed", engine.ErrUnsupported)
	}
	return v.ints, nil
}

func buildConstant(s *site) (*value, error) {
	switch {
	case len(s.attrs) != 1:
		return nil, fmt.Errorf("%w: %d attributes", engine.ErrModel, len(s.attrs))
	case s.attrs["value"] != nil:
		t, ok := s.attrs["value"].(tensor.Tensor)
		if !ok {
			return nil, fmt.Errorf("%w: value is no tensor", engine.ErrModel)
		}
		return constant(s.name, t)
	}
	v := &value{name: s.name, shape: []int{}}
	if list := attr(s, "value_floats", []float32(nil)); list != nil {
		v.f32, v.shape = list, []int{len(list)}
	} else if list := attr(s, "value_ints", []int64(nil)); list != nil {
		v.ints, v.shape = list, []int{len(list)}
	} else if _, ok := s.attrs["value_int"]; ok {
		v.ints = []int64{attr(s, "value_int", int64(0))}
	} else {
		v.f32 = []float32{attr(s, "value_float", float32(0))}
	}
	return v, nil
}

// buildDropout does nothing, as outside training.
func buildDropout(s *site) (*value, error) {
	if s.input(2) != nil {
		return nil, fmt.Errorf("%w: a training_mode", engine.ErrUnsupported)
	}
	return buildIdentity(s)
}

func buildIdentity(s *site) (*value, error) { return s.view(s.in[0], slices.Clone(s.in[0].shape)) }
