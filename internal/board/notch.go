package board

import (
	"image"
	"iter"
	"math"
)

// notch reports whether a bite has what it bit into on both sides: a mousebite
// copper, a spur substrate. One that cuts a corner off, or fills one, only makes
// another pad with cut or round corners, as designs have them. Most of the
// changed pixels, which have a mark, must lie on a chord of the bite. left is
// the colour bitten into.
func (in *injector) notch(changed image.Rectangle, left uint8) bool {
	const most = 0.6
	n, between := 0, 0
	for i := range in.marked(changed) {
		n++
		for k := range 8 {
			d := direction(float64(k) * math.Pi / 8)
			if in.ends(i, d, left) && in.ends(i, d.mul(-1), left) {
				between++
				break
			}
		}
	}
	return float64(between) >= most*float64(n)
}

// marked are the changed pixels, each once.
func (in *injector) marked(changed image.Rectangle) iter.Seq[int] {
	return func(yield func(int) bool) {
		for y := changed.Min.Y; y < changed.Max.Y; y++ {
			for x := changed.Min.X; x < changed.Max.X; x++ {
				if i := y*in.c.w + x; in.mark[i] == 1 && !yield(i) {
					return
				}
			}
		}
	}
}

// ends reports whether the way from pixel i along d leads through changed pixels,
// and perhaps one or two that an uneven edge has, to the colour left.
func (in *injector) ends(i int, d point, left uint8) bool {
	const uneven = 2
	p := point{float64(i % in.c.w), float64(i / in.c.w)}
	for other := 0; other <= uneven; {
		p = p.add(d)
		at := image.Pt(int(math.Round(p.x)), int(math.Round(p.y)))
		if !at.In(image.Rect(0, 0, in.c.w, in.c.h)) {
			return false
		}
		switch j := at.Y*in.c.w + at.X; {
		case in.c.px[j] == left:
			return true
		case in.mark[j] == 0:
			other++
		}
	}
	return false
}
