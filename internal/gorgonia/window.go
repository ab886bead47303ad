package gorgonia

import (
	"fmt"

	"github.com/vedette-io/vedette/internal/engine"
)

// window is what Conv and the pools slide over height and width.
type window struct {
	channels, height, width int // of the input
	outHeight, outWidth     int
	kernel, stride, dilate  [2]int
	pad                     [2]int // above and left
}

// window reads the attributes that Conv and the pools share; kernel is the
// size that the weights have, or nil.
func (s *site) window(x *value, kernel []int, ceil bool) (w window, err error) {
	if len(x.shape) != 4 {
		return w, fmt.Errorf("%w: a tensor with %d axes; only [batch,channels,height,width]", engine.ErrUnsupported, len(x.shape))
	}
	w.channels, w.height, w.width = x.shape[1], x.shape[2], x.shape[3]
	k := s.ints("kernel_shape", 2, kernel)
	strides, dilations := s.ints("strides", 2, []int{1, 1}), s.ints("dilations", 2, []int{1, 1})
	pads := s.ints("pads", 4, []int{0, 0, 0, 0})
	auto := attr(s, "auto_pad", "NOTSET")
	if s.err != nil {
		return w, s.err
	}
	if len(k) != 2 || kernel != nil && (k[0] != kernel[0] || k[1] != kernel[1]) {
		return w, fmt.Errorf("%w: kernel_shape %v", engine.ErrModel, k)
	}
	var out [2]int
	for i, size := range []int{w.height, w.width} {
		w.kernel[i], w.stride[i], w.dilate[i], w.pad[i] = k[i], strides[i], dilations[i], pads[i]
		if k[i] < 1 || strides[i] < 1 || dilations[i] < 1 || pads[i] < 0 || pads[i+2] < 0 {
			return w, fmt.Errorf("%w: kernel %v, strides %v, dilations %v, pads %v", engine.ErrModel, k, strides, dilations, pads)
		}
		reach := (k[i]-1)*dilations[i] + 1
		padded := size + pads[i] + pads[i+2]
		switch auto {
		case "NOTSET", "":
		case "VALID":
			padded, w.pad[i] = size, 0
		case "SAME_UPPER", "SAME_LOWER":
			total := max(((size+strides[i]-1)/strides[i]-1)*strides[i]+reach-size, 0)
			padded, w.pad[i] = size+total, total/2
			if auto == "SAME_LOWER" {
				w.pad[i] = total - total/2
			}
		default:
			return w, fmt.Errorf("%w: auto_pad %q", engine.ErrUnsupported, auto)
		}
		if padded < reach {
			return w, fmt.Errorf("%w: a window of %d over %d pixels", engine.ErrModel, reach, padded)
		}
		out[i] = (padded-reach)/strides[i] + 1
		if rest := (padded - reach) % strides[i]; ceil && rest != 0 && out[i]*strides[i] < size+w.pad[i] {
			out[i]++ // a last window that begins on the picture or the padding before it
		}
	}
	w.outHeight, w.outWidth = out[0], out[1]
	return w, nil
}

// bounds is the part of a window that begins at first and lies inside 0..size:
// the steps lo to hi of n.
func bounds(first, n, step, size int) (lo, hi int) {
	if first < 0 {
		lo = (-first + step - 1) / step
	}
	hi = n
	if last := first + (n-1)*step; last >= size {
		hi = max((size-first+step-1)/step, 0)
	}
	return min(lo, hi), hi
}

// pool calls f with each window's pixels inside the picture: rows y0 to y1 and
// columns x0 to x1 in steps of the dilation.
func (w window) pool(dst, src []float32, planes int, f func(plane []float32, y0, y1, x0, x1 int) float32) {
	i := 0
	for p := range planes {
		plane := src[p*w.height*w.width : (p+1)*w.height*w.width]
		for oy := range w.outHeight {
			top := oy*w.stride[0] - w.pad[0]
			ylo, yhi := bounds(top, w.kernel[0], w.dilate[0], w.height)
			for ox := range w.outWidth {
				left := ox*w.stride[1] - w.pad[1]
				xlo, xhi := bounds(left, w.kernel[1], w.dilate[1], w.width)
				dst[i] = f(plane, top+ylo*w.dilate[0], top+yhi*w.dilate[0], left+xlo*w.dilate[1], left+xhi*w.dilate[1])
				i++
			}
		}
	}
}

// poolWindow is the window of a pool, whose padding must be smaller than it: no
// window may lie on padding alone.
func (s *site) poolWindow(x *value, ceil bool) (window, error) {
	w, err := s.window(x, nil, ceil)
	if err != nil {
		return w, err
	}
	for i, p := range s.ints("pads", 4, []int{0, 0, 0, 0}) {
		if p >= w.kernel[i%2] {
			return w, fmt.Errorf("%w: pads of %d for a kernel of %v", engine.ErrModel, p, w.kernel)
		}
	}
	return w, nil
}

func buildMaxPool(s *site) (*value, error) {
	s.must("storage_order", 0) // only matters to the second output
	x := s.in[0]
	w, err := s.poolWindow(x, attr(s, "ceil_mode", int64(0)) != 0)
	if err != nil {
		return nil, err
	}
	planes := x.shape[0] * x.shape[1]
	return s.emit([]int{x.shape[0], x.shape[1], w.outHeight, w.outWidth}, func(dst []float32, src [][]float32) {
		w.pool(dst, src[0], planes, func(plane []float32, y0, y1, x0, x1 int) float32 {
			best := negInf
			for y := y0; y < y1; y += w.dilate[0] {
				row := plane[y*w.width:]
				for x := x0; x < x1; x += w.dilate[1] {
					if !(row[x] <= best) { // NaN wins, as everywhere else in the pipeline
						best = row[x]
					}
				}
			}
			return best
		})
	}, x)
}

func buildAveragePool(s *site) (*value, error) {
	s.must("ceil_mode", 0) // runtimes disagree on what the last window counts
	includePad := attr(s, "count_include_pad", int64(0)) != 0
	x := s.in[0]
	w, err := s.poolWindow(x, false)
	if err != nil {
		return nil, err
	}
	planes := x.shape[0] * x.shape[1]
	return s.emit([]int{x.shape[0], x.shape[1], w.outHeight, w.outWidth}, func(dst []float32, src [][]float32) {
		w.pool(dst, src[0], planes, func(plane []float32, y0, y1, x0, x1 int) float32 {
			sum, n := float32(0), 0
			for y := y0; y < y1; y += w.dilate[0] {
				row := plane[y*w.width:]
				for x := x0; x < x1; x += w.dilate[1] {
					sum += row[x]
					n++
				}
			}
			if includePad {
				n = w.kernel[0] * w.kernel[1]
			}
			return sum / float32(n)
		})
	}, x)
}

func buildGlobalAveragePool(s *site) (*value, error) {
	x := s.in[0]
	if len(x.shape) < 3 {
		return nil, fmt.Errorf("%w: a tensor with %d axes", engine.ErrModel, len(x.shape))
	}
	shape := []int{x.shape[0], x.shape[1]}
	for range x.shape[2:] {
		shape = append(shape, 1)
	}
	n := product(x.shape[2:])
	return s.emit(shape, func(dst []float32, src [][]float32) {
		for i := range dst {
			sum := float32(0)
			for _, v := range src[0][i*n : (i+1)*n] {
				sum += v
			}
			dst[i] = sum / float32(n)
		}
	}, x)
}
