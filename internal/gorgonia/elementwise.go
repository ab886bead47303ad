package gorgonia

import (
	"fmt"
	"math"
	"slices"

	"github.com/vedette-io/vedette/internal/engine"
)

var negInf = float32(math.Inf(-1))

// unaries are the operators that map each element and have no attributes.
func unaries() map[string]func(dst, src []float32) {
	each := func(f func(float64) float64) func(dst, src []float32) {
		return func(dst, src []float32) {
			for i, v := range src {
				dst[i] = float32(f(float64(v)))
			}
		}
	}
	return map[string]func(dst, src []float32){
		"Abs":     each(math.Abs),
		"Ceil":    each(math.Ceil),
		"Exp":     each(math.Exp),
		"Floor":   each(math.Floor),
		"Log":     each(math.Log),
		"Neg":     each(func(v float64) float64 { return -v }),
		"Relu":    relu,
		"Sigmoid": each(func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }),
		"Sqrt":    each(math.Sqrt),
		"Tanh":    each(math.Tanh),
	}
}

func relu(dst, src []float32) {
	for i, v := range src {
		dst[i] = max(v, 0)
	}
}

// binaries are the operators on two tensors of which either may be broadcast.
func binaries() map[string]func(a, b float32) float32 {
	return map[string]func(a, b float32) float32{
		"Add": func(a, b float32) float32 { return a + b },
		"Div": func(a, b float32) float32 { return a / b },
		"Mul": func(a, b float32) float32 { return a * b },
		"Sub": func(a, b float32) float32 { return a - b },
	}
}

func (s *site) unary(f func(dst, src []float32)) (*value, error) {
	return s.emit(slices.Clone(s.in[0].shape), func(dst []float32, src [][]float32) { f(dst, src[0]) }, s.in[0])
}

func buildLeakyRelu(s *site) (*value, error) {
	alpha := attr(s, "alpha", float32(0.01))
	return s.unary(func(dst, src []float32) {
		for i, v := range src {
			if v < 0 {
				v *= alpha
			}
			dst[i] = v
		}
	})
}

// buildClip takes its limits from attributes until operator set 10 and from
// inputs since.
func buildClip(s *site) (*value, error) {
	lo, hi := attr(s, "min", negInf), attr(s, "max", -negInf)
	for i, limit := range []*float32{&lo, &hi} {
		if v := s.input(i + 1); v != nil {
			if v.node != nil || len(v.f32) != 1 {
				return nil, fmt.Errorf("%w: limits that are computed", engine.ErrUnsupported)
			}
			*limit = v.f32[0]
		}
	}
	return s.unary(func(dst, src []float32) {
		for i, v := range src {
			dst[i] = min(max(v, lo), hi)
		}
	})
}

// binary computes f element by element with NumPy's broadcasting.
func (s *site) binary(f func(a, b float32) float32) (*value, error) {
	a, b := s.in[0], s.in[1]
	shape, err := broadcast(a.shape, b.shape)
	if err != nil {
		return nil, err
	}
	sa, sb := broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)
	// The last axes on which both advance alike, or one stands still, are one
	// inner loop.
	inner, stepA, stepB := 1, 1, 1
	rank := len(shape)
	if rank > 0 {
		stepA, stepB = min(sa[rank-1], 1), min(sb[rank-1], 1)
	}
	for rank > 0 && sa[rank-1] == stepA*inner && sb[rank-1] == stepB*inner {
		inner *= shape[rank-1]
		rank--
	}
	outer, oa, ob := shape[:rank], sa[:rank], sb[:rank]
	return s.emit(shape, func(dst []float32, src [][]float32) {
		each(outer, oa, ob, func(i, pa, pb int) {
			row := dst[i*inner : (i+1)*inner]
			for j := range row {
				row[j] = f(src[0][pa+j*stepA], src[1][pb+j*stepB])
			}
		})
	}, a, b)
}

// each visits every index of shape in order, with its number and its positions
// by two sets of strides.
func each(shape, sa, sb []int, visit func(i, pa, pb int)) {
	index := make([]int, len(shape))
	pa, pb := 0, 0
	for i := range product(shape) {
		visit(i, pa, pb)
		for d := len(shape) - 1; d >= 0; d-- {
			index[d]++
			pa, pb = pa+sa[d], pb+sb[d]
			if index[d] < shape[d] {
				break
			}
			pa, pb = pa-shape[d]*sa[d], pb-shape[d]*sb[d]
			index[d] = 0
		}
	}
}

// broadcast is the shape that two shapes have together.
func broadcast(a, b []int) ([]int, error) {
	rank := max(len(a), len(b))
	shape := make([]int, rank)
	at := func(s []int, i int) int {
		if i += len(s) - rank; i >= 0 {
			return s[i]
		}
		return 1
	}
	for i := range shape {
		da, db := at(a, i), at(b, i)
		if da != db && da != 1 && db != 1 {
			return nil, fmt.Errorf("%w: shapes %s and %s do not fit", engine.ErrModel, engine.ShapeString(a), engine.ShapeString(b))
		}
		shape[i] = da
		if da == 1 {
			shape[i] = db
		}
	}
	return shape, nil
}

// broadcastStrides are the strides that walk a tensor of this shape as if it
// were of shape full: 0 along the axes on which it is repeated.
func broadcastStrides(shape, full []int) []int {
	strides := make([]int, len(full))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 {
			strides[i+len(full)-len(shape)] = step
		}
		step *= shape[i]
	}
	return strides
}
