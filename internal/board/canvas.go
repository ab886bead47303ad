package board

import (
	"image"
	"math"
)

// canvas is a picture of conductor (1) and substrate (0). net says which
// conductor a pixel belongs to, so that others keep their distance: 0 none, 1
// a plane, that others may cut, above that a track or pad.
type canvas struct {
	w, h int
	px   []uint8
	net  []uint16
}

func newCanvas(w, h int) *canvas {
	return &canvas{w: w, h: h, px: make([]uint8, w*h), net: make([]uint16, w*h)}
}

func fromGray(g *image.Gray) *canvas {
	b := g.Bounds()
	c := newCanvas(b.Dx(), b.Dy())
	for y := range c.h {
		row := g.Pix[g.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range c.w {
			if row[x] < 128 {
				c.px[y*c.w+x] = 1
			}
		}
	}
	return c
}

func (c *canvas) gray() *image.Gray {
	g := image.NewGray(image.Rect(0, 0, c.w, c.h))
	for i, v := range c.px {
		if v == 0 {
			g.Pix[i] = Substrate
		}
	}
	return g
}

// point is a place in pixels; the pixel (x, y) has its centre at (x, y).
type point struct{ x, y float64 }

func (p point) add(q point) point   { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point   { return point{p.x - q.x, p.y - q.y} }
func (p point) mul(k float64) point { return point{p.x * k, p.y * k} }
func (p point) len() float64        { return math.Hypot(p.x, p.y) }
func (p point) turn(a float64) point {
	s, c := math.Sincos(a)
	return point{p.x*c - p.y*s, p.x*s + p.y*c}
}
func direction(angle float64) point    { s, c := math.Sincos(angle); return point{c, s} }
func lerp(a, b point, t float64) point { return a.add(b.sub(a).mul(t)) }

// shape is a region: its signed distance function (negative inside) and the
// rectangle that holds it.
type shape interface {
	dist(p point) float64
	extent() (lo, hi point)
}

// capsule is a track segment: all points within r of the line a-b.
type capsule struct {
	a, b point
	r    float64
}

func (s capsule) dist(p point) float64 {
	ab, ap := s.b.sub(s.a), p.sub(s.a)
	t := 0.0
	if l := ab.x*ab.x + ab.y*ab.y; l > 0 {
		t = min(1, max(0, (ap.x*ab.x+ap.y*ab.y)/l))
	}
	return ap.sub(ab.mul(t)).len() - s.r
}

func (s capsule) extent() (lo, hi point) {
	return point{min(s.a.x, s.b.x) - s.r, min(s.a.y, s.b.y) - s.r}, point{max(s.a.x, s.b.x) + s.r, max(s.a.y, s.b.y) + s.r}
}

// pad is a rectangle with half sides hw, hh, whose corners are cut at 45° by
// chamfer or rounded by round.
type pad struct {
	c              point
	hw, hh         float64
	chamfer, round float64
}

func (s pad) dist(p point) float64 {
	dx, dy := math.Abs(p.x-s.c.x)-s.hw+s.round, math.Abs(p.y-s.c.y)-s.hh+s.round
	d := math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - s.round
	return max(d, (dx+dy+s.chamfer)/math.Sqrt2-s.round)
}

func (s pad) extent() (lo, hi point) {
	h := point{s.hw, s.hh}
	return s.c.sub(h), s.c.add(h)
}

// ring is an arc-shaped track: within r of the circle of radius radius round
// c, in the half plane on n's side of c (all of it when n is zero).
type ring struct {
	c         point
	radius, r float64
	n         point
}

func (s ring) dist(p point) float64 {
	q := p.sub(s.c)
	return max(math.Abs(q.len()-s.radius)-s.r, -(q.x*s.n.x + q.y*s.n.y))
}

func (s ring) extent() (lo, hi point) {
	k := s.radius + s.r
	return s.c.sub(point{k, k}), s.c.add(point{k, k})
}

// each calls f for every pixel within grow of the shape.
func (c *canvas) each(s shape, grow float64, f func(i int, d float64) bool) bool {
	lo, hi := s.extent()
	x0, y0 := max(0, int(lo.x-grow)-1), max(0, int(lo.y-grow)-1)
	x1, y1 := min(c.w-1, int(hi.x+grow)+1), min(c.h-1, int(hi.y+grow)+1)
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			if d := s.dist(point{float64(x), float64(y)}); d <= grow && !f(y*c.w+x, d) {
				return false
			}
		}
	}
	return true
}

// fits reports whether a shape of a net keeps gap to all other tracks and pads.
func (c *canvas) fits(s shape, gap float64, net uint16) bool {
	return c.each(s, gap, func(i int, _ float64) bool { return c.net[i] <= 1 || c.net[i] == net })
}

// put draws a shape of a net and clears gap round it, which cuts planes.
func (c *canvas) put(s shape, gap float64, net uint16) {
	c.each(s, gap, func(i int, d float64) bool {
		switch {
		case d <= 0:
			c.px[i], c.net[i] = 1, net
		case c.net[i] <= 1:
			c.px[i], c.net[i] = 0, 0
		}
		return true
	})
}

// cut makes a shape substrate, a drilled hole; net stays, so that nothing else
// is put there.
func (c *canvas) cut(s shape) {
	c.each(s, 0, func(i int, _ float64) bool { c.px[i] = 0; return true })
}
