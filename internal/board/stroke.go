package board

import (
	"math"
	"math/rand/v2"
)

// stroke is what a brush changes, as indices into the canvas.
type stroke struct {
	c  *canvas
	r  *rand.Rand
	px []int
}

// draw moves a brush of radius r along a wavy line from a to b and collects the
// pixels of colour fg under it. Like the marks in DeepPCB, which people drew, it
// is a solid line, a scribble of thin lines or a speckled patch.
func (s *stroke) draw(a, b point, radius float64, fg uint8) {
	wave := between(s.r, 0.02, 0.25) * b.sub(a).len()
	switch k := s.r.Float64(); {
	case k < 0.72 || radius < 2:
		s.line(s.wavy(a, b, wave), radius, 0, fg)
	case k < 0.88:
		for range intBetween(s.r, 3, 6) {
			j := func(p point) point { return p.add(direction(between(s.r, 0, 2*math.Pi)).mul(radius * 0.8)) }
			s.line(s.wavy(j(a), j(b), wave), between(s.r, 0.8, 1.4), 0, fg)
		}
	default:
		s.line(s.wavy(a, b, wave), radius, between(s.r, 0.1, 0.45), fg)
	}
}

// wavy is a path from a to b through points that leave the straight line.
func (s *stroke) wavy(a, b point, wave float64) []point {
	d := b.sub(a)
	across := point{-d.y, d.x}
	if l := d.len(); l > 0 {
		across = across.mul(1 / l)
	}
	path := []point{a}
	off := 0.0
	const steps = 4
	for i := 1; i < steps; i++ {
		off += between(s.r, -wave, wave)
		path = append(path, lerp(a, b, float64(i)/steps).add(across.mul(off)))
	}
	return append(path, b)
}

// line collects the pixels within about r of a path; each is left out with
// probability holes.
func (s *stroke) line(path []point, r, holes float64, fg uint8) {
	rough := min(0.8, r*0.3)
	for i := 1; i < len(path); i++ {
		k := r * between(s.r, 0.8, 1.2)
		s.c.each(capsule{path[i-1], path[i], k}, rough, func(at int, d float64) bool {
			if s.c.px[at] == fg && d <= between(s.r, -rough, rough) && !(holes > 0 && chance(s.r, holes)) {
				s.px = append(s.px, at)
			}
			return true
		})
	}
}
