package gorgonia

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/vedette-io/vedette/internal/engine"
)

// matrix is a row-major matrix whose rows begin stride elements apart.
type matrix struct {
	data       []float32
	stride     int
	transposed bool
}

// from is the matrix without its first rows and columns, as the product sees
// them.
func (m matrix) from(row, column int) matrix {
	if m.transposed {
		row, column = column, row
	}
	m.data = m.data[row*m.stride+column:]
	return m
}

func (m matrix) flag() blas.Transpose {
	if m.transposed {
		return blas.Trans
	}
	return blas.NoTrans
}

// gemm adds alpha·a·b to c, where a is m×k and b is k×n. It works in blocks
// that gonum computes on the calling goroutine: how many threads a run takes is
// not gonum's to decide.
func gemm(m, n, k int, alpha float32, a, b matrix, c []float32, ldc int) {
	const rows, columns = 64, 192
	var impl gonum.Implementation
	for i := 0; i < m; i += rows {
		for j := 0; j < n; j += columns {
			ai, bj := a.from(i, 0), b.from(0, j)
			impl.Sgemm(ai.flag(), bj.flag(), min(rows, m-i), min(columns, n-j), k, alpha, ai.data, ai.stride, bj.data, bj.stride, 1, c[i*ldc+j:], ldc)
		}
	}
}

func buildGemm(s *site) (*value, error) {
	a, b, c := s.in[0], s.in[1], s.input(2)
	alpha, beta := attr(s, "alpha", float32(1)), attr(s, "beta", float32(1))
	transA, transB := attr(s, "transA", int64(0)) != 0, attr(s, "transB", int64(0)) != 0
	if len(a.shape) != 2 || len(b.shape) != 2 {
		return nil, fmt.Errorf("%w: matrices %s and %s", engine.ErrModel, engine.ShapeString(a.shape), engine.ShapeString(b.shape))
	}
	m, k, kb, n := a.shape[0], a.shape[1], b.shape[0], b.shape[1]
	if transA {
		m, k = k, m
	}
	if transB {
		kb, n = n, kb
	}
	if k != kb {
		return nil, fmt.Errorf("%w: matrices %s and %s do not fit", engine.ErrModel, engine.ShapeString(a.shape), engine.ShapeString(b.shape))
	}
	var strides []int
	if c != nil {
		shape, err := broadcast(c.shape, []int{m, n})
		if err != nil || !slices.Equal(shape, []int{m, n}) {
			return nil, fmt.Errorf("%w: C of shape %s for a result of [%d,%d]", engine.ErrModel, engine.ShapeString(c.shape), m, n)
		}
		strides = broadcastStrides(c.shape, shape)
	}
	ma, mb := matrix{nil, a.shape[1], transA}, matrix{nil, b.shape[1], transB}
	return s.emit([]int{m, n}, func(dst []float32, src [][]float32) {
		clear(dst)
		if strides != nil {
			for i := range dst {
				dst[i] = beta * src[2][i/n*strides[0]+i%n*strides[1]]
			}
		}
		ma.data, mb.data = src[0], src[1]
		gemm(m, n, k, alpha, ma, mb, dst, n)
	}, a, b, c)
}

// buildMatMul multiplies the last two axes. The axes before must be the same
// in both, or the second has none.
func buildMatMul(s *site) (*value, error) {
	a, b := s.in[0], s.in[1]
	ra, rb := len(a.shape), len(b.shape)
	if ra < 2 || rb < 2 || rb > 2 && !slices.Equal(a.shape[:ra-2], b.shape[:rb-2]) {
		return nil, fmt.Errorf("%w: the product of %s and %s", engine.ErrUnsupported, engine.ShapeString(a.shape), engine.ShapeString(b.shape))
	}
	m, k, n := a.shape[ra-2], a.shape[ra-1], b.shape[rb-1]
	if b.shape[rb-2] != k {
		return nil, fmt.Errorf("%w: matrices %s and %s do not fit", engine.ErrModel, engine.ShapeString(a.shape), engine.ShapeString(b.shape))
	}
	count, stepB := product(a.shape[:ra-2]), k*n
	if rb == 2 { // one matrix for all rows
		m, count = m*count, 1
	}
	shape := append(slices.Clone(a.shape[:ra-1]), n)
	return s.emit(shape, func(dst []float32, src [][]float32) {
		clear(dst)
		for i := range count {
			gemm(m, n, k, 1, matrix{src[0][i*m*k:], k, false}, matrix{src[1][i*stepB:], n, false}, dst[i*m*n:], n)
		}
	}, a, b)
}
