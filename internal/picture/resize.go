package picture

import (
	"fmt"
	"math"
)

// coefBits is the precision of OpenCV's fixed-point weights.
const coefBits = 11

// Resize scales src into all of dst, in place: with a dst that is a
// [View.Region] of a larger picture the pixels around it stay. The memory of
// src and dst must not overlap. Safe for concurrent use on different dst.
func Resize(dst, src View, interp Interp) error {
	if err := CheckResize(dst, src); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	if dst.Width == src.Width && dst.Height == src.Height {
		for y := range dst.Height {
			copy(dst.row(y), src.row(y))
		}
		return nil
	}
	sx, sy := scaleOf(src.Width, dst.Width), scaleOf(src.Height, dst.Height)
	ix, iy := int(math.RoundToEven(sx)), int(math.RoundToEven(sy))
	const epsilon = 0x1p-52
	whole := math.Abs(sx-float64(ix)) < epsilon && math.Abs(sy-float64(iy)) < epsilon
	switch {
	case interp == Nearest:
		nearest(dst, src)
	case interp == Cubic:
		cubic(dst, src)
	case whole && ix == 2 && iy == 2: // linear is the same then
		halve(dst, src)
	case interp == Area && sx >= 1 && sy >= 1 && whole:
		average(dst, src, ix, iy)
	case interp == Area && sx >= 1 && sy >= 1:
		area(dst, src, sx, sy)
	default:
		linear(dst, src, interp == Area)
	}
	return nil
}

// row is row y of v without its padding.
func (v View) row(y int) []byte {
	return v.Data[y*v.Stride : y*v.Stride+v.Width*v.Channels]
}

// scaleOf is how many pixels of the source one of the destination stands for,
// with the rounding of OpenCV's two divisions.
func scaleOf(src, dst int) float64 { return 1 / (float64(dst) / float64(src)) }

func nearest(dst, src View) {
	sx, sy := scaleOf(src.Width, dst.Width), scaleOf(src.Height, dst.Height)
	n := dst.Channels
	offsets := make([]int, dst.Width)
	for x := range offsets {
		offsets[x] = n * min(int(math.Floor(float64(x)*sx)), src.Width-1)
	}
	for y := range dst.Height {
		from := src.row(min(int(math.Floor(float64(y)*sy)), src.Height-1))
		to := dst.row(y)
		for x, o := range offsets {
			copy(to[x*n:x*n+n], from[o:o+n])
		}
	}
}

// taps are the sources of one line of destination pixels: the first of each,
// and the weights of it and of those that follow.
type taps struct {
	first   []int
	weights [][4]float32
}

// linearTaps has two taps for each of n pixels. area asks for the weights that
// OpenCV's area interpolation uses when it enlarges.
func linearTaps(n, from int, area, clamp bool) taps {
	t := taps{make([]int, n), make([][4]float32, n)}
	inverse := float64(n) / float64(from)
	scale := 1 / inverse
	for d := range n {
		var s int
		var f float32
		if area {
			s = int(math.Floor(float64(d) * scale))
			f = float32(float64(d+1) - float64(s+1)*inverse)
			if f <= 0 {
				f = 0
			} else {
				f -= float32(math.Floor(float64(f)))
			}
		} else {
			f = float32((float64(d)+0.5)*scale - 0.5)
			s = int(math.Floor(float64(f)))
			f -= float32(s)
		}
		if clamp && s < 0 {
			s, f = 0, 0
		}
		if clamp && s >= from-1 {
			s, f = from-1, 0
		}
		t.first[d], t.weights[d] = s, [4]float32{1 - f, f}
	}
	return t
}

// cubicTaps has four taps for each of n pixels, the first of which is one
// before the pixel's own.
func cubicTaps(n, from int) taps {
	t := taps{make([]int, n), make([][4]float32, n)}
	scale := scaleOf(from, n)
	for d := range n {
		x := float32((float64(d)+0.5)*scale - 0.5)
		s := int(math.Floor(float64(x)))
		x -= float32(s)
		const a = float32(-0.75)
		c0 := ((a*(x+1)-5*a)*(x+1)+8*a)*(x+1) - 4*a
		c1 := ((a+2)*x-(a+3))*x*x + 1
		c2 := ((a+2)*(1-x)-(a+3))*(1-x)*(1-x) + 1
		t.first[d], t.weights[d] = s-1, [4]float32{c0, c1, c2, 1 - c0 - c1 - c2}
	}
	return t
}

// fixed are the weights in OpenCV's fixed point.
func (t taps) fixed() [][4]int32 {
	out := make([][4]int32, len(t.weights))
	for i, w := range t.weights {
		for k, v := range w {
			out[i][k] = int32(math.RoundToEven(float64(v * (1 << coefBits))))
		}
	}
	return out
}

func linear(dst, src View, area bool) {
	n := dst.Channels
	cols, rows := linearTaps(dst.Width, src.Width, area, true), linearTaps(dst.Height, src.Height, area, false)
	colWeights, rowWeights := cols.fixed(), rows.fixed()
	lines := newLines(src, dst.Width*n, func(to []int32, from []byte) {
		for x, s := range cols.first {
			w0, w1 := colWeights[x][0], colWeights[x][1]
			a := s * n
			b := a + n
			if s == src.Width-1 {
				b = a
			}
			for c := range n {
				to[x*n+c] = int32(from[a+c])*w0 + int32(from[b+c])*w1
			}
		}
	})
	for y := range dst.Height {
		s0, s1 := lines.at(rows.first[y]), lines.at(rows.first[y]+1)
		w0, w1 := rowWeights[y][0], rowWeights[y][1]
		to := dst.row(y)
		for i := range to {
			to[i] = byte(((w0*(s0[i]>>4))>>16 + (w1*(s1[i]>>4))>>16 + 2) >> 2)
		}
	}
}

func cubic(dst, src View) {
	n := dst.Channels
	cols, rows := cubicTaps(dst.Width, src.Width), cubicTaps(dst.Height, src.Height)
	colWeights, rowWeights := cols.fixed(), rows.fixed()
	lines := newLines(src, dst.Width*n, func(to []int32, from []byte) {
		for x, s := range cols.first {
			for c := range n {
				sum := int32(0)
				for k, w := range colWeights[x] {
					sum += int32(from[min(max(s+k, 0), src.Width-1)*n+c]) * w
				}
				to[x*n+c] = sum
			}
		}
	})
	for y := range dst.Height {
		var s [4][]int32
		var w [4]float32
		for k := range s {
			s[k] = lines.at(rows.first[y] + k)
			w[k] = float32(rowWeights[y][k]) * (1.0 / (1 << (2 * coefBits)))
		}
		to := dst.row(y)
		for i := range to {
			v := float32(float32(s[3][i]) * w[3])
			for k := 2; k >= 0; k-- {
				v += float32(float32(s[k][i]) * w[k])
			}
			to[i] = round8(v)
		}
	}
}

// lines are the rows of a source, resized across and kept while they are used.
type lines struct {
	src    View
	across func(to []int32, from []byte)
	have   [4]int
	rows   [4][]int32
}

func newLines(src View, width int, across func(to []int32, from []byte)) *lines {
	l := &lines{src: src, across: across, have: [4]int{-1, -1, -1, -1}}
	for i := range l.rows {
		l.rows[i] = make([]int32, width)
	}
	return l
}

// at is row y, or the nearest there is. Four rows are kept, so that four that
// follow each other may be used at a time.
func (l *lines) at(y int) []int32 {
	y = min(max(y, 0), l.src.Height-1)
	i := y % len(l.rows)
	if l.have[i] != y {
		l.have[i] = y
		l.across(l.rows[i], l.src.row(y))
	}
	return l.rows[i]
}

// round8 rounds half to even and saturates.
func round8(v float32) byte {
	return byte(min(max(math.RoundToEven(float64(v)), 0), 255))
}
