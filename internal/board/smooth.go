package board

import (
	"bytes"
	"image"
	"math"
	"slices"
)

// smooth fills what is narrower than 2·gap, and then removes what of the planes
// is narrower than 2·plane: a closing and an opening by discs. Where that leaves
// planes whose rounded ends nearly touch, they are cut apart.
func (l *layout) smooth(gap, plane float64) {
	l.grow(gap, 1)
	l.grow(gap, 0)
	for range 4 {
		l.thin(plane)
		if !l.part(gap) {
			return
		}
	}
	l.thin(plane)
}

// thin removes what of the planes is narrower than 2·plane, also between
// something and the board's edge.
func (l *layout) thin(plane float64) {
	wide := &layout{canvas: newCanvas(l.w, l.h)}
	for i, v := range l.px {
		if l.net[i] <= 1 {
			wide.px[i] = v
		}
	}
	wide.grow(plane, 0)
	for i := range wide.px { // beyond the edge there is no copper
		x, y := float64(i%l.w), float64(i/l.w)
		if min(x, y) < plane || x >= float64(l.w)-plane || y >= float64(l.h)-plane {
			wide.px[i] = 0
		}
	}
	wide.grow(plane, 1)
	for i, v := range wide.px {
		if l.net[i] <= 1 {
			l.px[i] = v
		}
	}
}

// part widens slits between planes that are narrower than 2·gap; it reports
// whether there was one.
func (l *layout) part(gap float64) (any bool) {
	const slit = 100 // pixels; what no disc of radius 7 reaches in a corner is less
	open := &layout{canvas: newCanvas(l.w, l.h)}
	copy(open.px, l.px)
	open.grow(gap, 1)
	open.grow(gap, 0)
	rest := newCanvas(l.w, l.h)
	for i, v := range open.px {
		rest.px[i] = v &^ l.px[i] // bare, but too narrow for a disc
	}
	in := newInjector(rest, l.r, false)
	cut := &layout{canvas: newCanvas(l.w, l.h)}
	for i, v := range rest.px {
		if v == 1 && in.mark[i] == 0 && in.fill(image.Rect(0, 0, l.w, l.h), i, 1, 2) >= slit {
			for _, j := range in.filled {
				cut.px[j], any = 1, true
			}
		}
	}
	if !any {
		return false
	}
	cut.grow(gap+2, 1)
	for i, v := range cut.px {
		if v == 1 && l.net[i] <= 1 {
			l.px[i] = 0
		}
	}
	return true
}

// grow gives the colour v what lies within r of it.
func (l *layout) grow(r float64, v uint8) {
	n := int(r)
	half := make([]int, 2*n+1) // of the disc's rows
	for y := -n; y <= n; y++ {
		half[y+n] = int(math.Sqrt(r*r - float64(y*y)))
	}
	full := bytes.Repeat([]byte{v}, 2*n+1)
	src := slices.Clone(l.px)
	for y := range l.h {
		for x := range l.w {
			if src[y*l.w+x] != v || !l.borders(src, x, y) {
				continue
			}
			for yy := max(0, y-n); yy <= min(l.h-1, y+n); yy++ {
				k := half[yy-y+n]
				copy(l.px[yy*l.w+max(0, x-k):yy*l.w+min(l.w, x+k+1)], full)
			}
		}
	}
}

// borders reports whether a pixel has a neighbour of the other colour.
func (l *layout) borders(px []uint8, x, y int) bool {
	i := y*l.w + x
	return x > 0 && px[i-1] != px[i] || x < l.w-1 && px[i+1] != px[i] || y > 0 && px[i-l.w] != px[i] || y < l.h-1 && px[i+l.w] != px[i]
}

// tidy removes what a board house would: islands of copper left between
// clearances, and specks of substrate, that would look like defects. It looks at
// the parts of one colour.
func (l *layout) tidy(colour uint8) {
	const plane = 4000 // what is left of a plane, on a plain board
	in := newInjector(l.canvas, l.r, false)
	whole := image.Rect(0, 0, l.w, l.h)
	for i := range l.px {
		if in.mark[i] != 0 || l.px[i] != colour {
			continue
		}
		n := in.fill(whole, i, colour, 2)
		if n >= smallest && !(l.plain && n < plane && colour == 1 && !slices.ContainsFunc(in.filled, func(j int) bool { return l.net[j] > 1 })) {
			continue
		}
		for _, j := range in.filled {
			l.px[j] = 1 - colour
		}
	}
}
