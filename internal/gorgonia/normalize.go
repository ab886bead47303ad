package gorgonia

import (
	"fmt"
	"math"
	"slices"

	"github.com/vedette-io/vedette/internal/engine"
)

// buildBatchNorm scales and shifts each channel by constants.
func buildBatchNorm(s *site) (*value, error) {
	s.must("training_mode", 0)
	s.must("spatial", 1)
	attr(s, "momentum", float32(0)) // only matters in training
	epsilon := attr(s, "epsilon", float32(1e-5))
	x := s.in[0]
	if len(x.shape) < 2 {
		return nil, fmt.Errorf("%w: a tensor with %d axes", engine.ErrModel, len(x.shape))
	}
	channels, n := x.shape[1], product(x.shape[2:])
	for _, p := range s.in[1:] {
		if p.node != nil || len(p.f32) != channels {
			return nil, fmt.Errorf("%w: parameters that are no constants, one a channel", engine.ErrUnsupported)
		}
	}
	scale, shift := make([]float32, channels), make([]float32, channels)
	for c := range channels {
		scale[c] = float32(float64(s.in[1].f32[c]) / math.Sqrt(float64(s.in[4].f32[c])+float64(epsilon)))
		shift[c] = s.in[2].f32[c] - s.in[3].f32[c]*scale[c]
	}
	return s.emit(slices.Clone(x.shape), func(dst []float32, src [][]float32) {
		for i := range len(dst) / n {
			a, b := scale[i%channels], shift[i%channels]
			from := src[0][i*n : (i+1)*n]
			for j, v := range from {
				dst[i*n+j] = v*a + b
			}
		}
	}, x)
}

// buildSoftmax normalises over one axis since operator set 13, and over all
// axes from the given one on before.
func buildSoftmax(s *site) (*value, error) {
	x := s.in[0]
	missing := int64(-1)
	if s.builder.opset < 13 {
		missing = 1
	}
	a, err := axis(attr(s, "axis", missing), len(x.shape))
	if err != nil {
		return nil, err
	}
	n, inner := x.shape[a], product(x.shape[a+1:])
	if s.builder.opset < 13 {
		n, inner = n*inner, 1
	}
	return s.emit(slices.Clone(x.shape), func(dst []float32, src [][]float32) {
		for row := 0; row < len(dst); row += n * inner {
			for i := row; i < row+inner; i++ {
				softmax(dst[i:], src[0][i:], n, inner)
			}
		}
	}, x)
}

// softmax normalises n values that lie step apart.
func softmax(dst, src []float32, n, step int) {
	top := negInf
	for i := range n {
		top = max(top, src[i*step])
	}
	sum := float32(0)
	for i := range n {
		v := float32(math.Exp(float64(src[i*step] - top)))
		dst[i*step] = v
		sum += v
	}
	for i := range n {
		dst[i*step] /= sum
	}
}
