package board

import "image"

// parts counts the connected parts of colour v in a window, those of least to
// most pixels.
func (in *injector) parts(window image.Rectangle, v uint8, least, most int) int {
	const seen = 2
	w, n := in.c.w, 0
	for y := window.Min.Y; y < window.Max.Y; y++ {
		for x := window.Min.X; x < window.Max.X; x++ {
			if i := y*w + x; in.c.px[i] == v && in.mark[i]&seen == 0 {
				if size := in.fill(window, i, v, seen); size >= least && size <= most {
					n++
				}
			}
		}
	}
	for y := window.Min.Y; y < window.Max.Y; y++ {
		for x := window.Min.X; x < window.Max.X; x++ {
			in.mark[y*w+x] &^= seen
		}
	}
	return n
}

// crumbs counts the parts of both colours that are too small for a plain board,
// where a defect leaves none.
func (in *injector) crumbs(window image.Rectangle) int {
	if !in.plain {
		return 0
	}
	return in.parts(window, 0, 1, plainBit-1) + in.parts(window, 1, 1, plainBit-1)
}

// fill marks the part that holds pixel i and returns its size.
func (in *injector) fill(window image.Rectangle, i int, v, seen uint8) int {
	w := in.c.w
	in.filled = append(in.filled[:0], i)
	in.mark[i] |= seen
	for k := 0; k < len(in.filled); k++ {
		x, y := in.filled[k]%w, in.filled[k]/w
		for _, d := range [4][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			nx, ny := x+d[0], y+d[1]
			j := ny*w + nx
			if (image.Point{X: nx, Y: ny}).In(window) && in.c.px[j] == v && in.mark[j]&seen == 0 {
				in.mark[j] |= seen
				in.filled = append(in.filled, j)
			}
		}
	}
	return len(in.filled)
}
