package gorgonia

import (
	"fmt"
	"slices"

	"github.com/vedette-io/vedette/internal/engine"
)

// buildReshape gives the data a constant shape, in which 0 keeps an axis and -1
// takes what is left.
func buildReshape(s *site) (*value, error) {
	s.must("allowzero", 0)
	x, to := s.in[0], s.in[1]
	if to.ints == nil {
		return nil, fmt.Errorf("%w: a shape that is computed", engine.ErrUnsupported)
	}
	shape, open := toInts(to.ints), -1
	for i, d := range shape {
		switch {
		case d == 0 && i < len(x.shape):
			shape[i] = x.shape[i]
		case d == -1 && open < 0:
			open = i
			shape[i] = 1
		case d < 1:
			return nil, fmt.Errorf("%w: shape %v for %s", engine.ErrModel, to.ints, engine.ShapeString(x.shape))
		}
	}
	if rest := product(shape); open >= 0 && rest > 0 {
		shape[open] = x.size() / rest
	}
	return s.view(x, shape)
}

func buildFlatten(s *site) (*value, error) {
	x := s.in[0]
	at := attr(s, "axis", int64(1))
	if at < 0 {
		at += int64(len(x.shape))
	}
	if at < 0 || at > int64(len(x.shape)) {
		return nil, fmt.Errorf("%w: axis %d of %d", engine.ErrModel, at, len(x.shape))
	}
	return s.view(x, []int{product(x.shape[:at]), product(x.shape[at:])})
}

func buildSqueeze(s *site) (*value, error) {
	x := s.in[0]
	axes, err := s.axes()
	if err != nil {
		return nil, err
	}
	drop := make([]bool, len(x.shape))
	for i, d := range x.shape {
		drop[i] = axes == nil && d == 1
	}
	for _, a := range axes {
		at, err := axis(a, len(x.shape))
		if err != nil {
			return nil, err
		}
		drop[at] = true
	}
	shape := []int{}
	for i, d := range x.shape {
		if !drop[i] {
			shape = append(shape, d)
		}
	}
	return s.view(x, shape) // which fails where a dropped axis is longer than 1
}

func buildUnsqueeze(s *site) (*value, error) {
	x := s.in[0]
	axes, err := s.axes()
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(x.shape)+len(axes))
	for _, a := range axes {
		at, err := axis(a, len(shape))
		if err != nil {
			return nil, err
		}
		if shape[at] != 0 {
			return nil, fmt.Errorf("%w: axis %d twice", engine.ErrModel, a)
		}
		shape[at] = 1
	}
	rest := x.shape
	for i := range shape {
		if shape[i] == 0 {
			shape[i], rest = rest[0], rest[1:]
		}
	}
	return s.view(x, shape)
}

func buildConcat(s *site) (*value, error) {
	if _, ok := s.attrs["axis"]; !ok {
		return nil, fmt.Errorf("%w: no axis", engine.ErrModel)
	}
	first := s.in[0]
	a, err := axis(attr(s, "axis", int64(0)), len(first.shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(first.shape)
	shape[a] = 0
	widths := make([]int, len(s.in)) // of one input's part of a row
	for i, v := range s.in {
		if v == nil || len(v.shape) != len(shape) {
			return nil, fmt.Errorf("%w: inputs of different ranks", engine.ErrModel)
		}
		for d := range shape {
			if d != a && v.shape[d] != shape[d] {
				return nil, fmt.Errorf("%w: inputs %s and %s do not fit", engine.ErrModel, engine.ShapeString(first.shape), engine.ShapeString(v.shape))
			}
		}
		shape[a] += v.shape[a]
		widths[i] = product(v.shape[a:])
	}
	rows := product(shape[:a])
	return s.emit(shape, func(dst []float32, src [][]float32) {
		for row := range rows {
			for i, n := range widths {
				copy(dst, src[i][row*n:(row+1)*n])
				dst = dst[n:]
			}
		}
	}, s.in...)
}

func buildTranspose(s *site) (*value, error) {
	x := s.in[0]
	rank := len(x.shape)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	perm = s.ints("perm", rank, perm)
	strides := broadcastStrides(x.shape, x.shape)
	shape, from, seen := make([]int, rank), make([]int, rank), make([]bool, rank)
	for i, p := range perm {
		if p < 0 || p >= rank || seen[p] {
			return nil, fmt.Errorf("%w: perm %v", engine.ErrModel, perm)
		}
		seen[p] = true
		shape[i], from[i] = x.shape[p], strides[p]
	}
	if rank == 0 {
		return s.view(x, shape)
	}
	last, step := shape[rank-1], from[rank-1]
	outer, outerFrom := shape[:rank-1], from[:rank-1]
	return s.emit(shape, func(dst []float32, src [][]float32) {
		each(outer, outerFrom, outerFrom, func(i, p, _ int) {
			row := dst[i*last : (i+1)*last]
			for j := range row {
				row[j] = src[0][p+j*step]
			}
		})
	}, x)
}
