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
	// solid strokes are lines of some width.
	solid bool
}

// draw moves a brush of radius r along a line from a to b, wavy or bent, and
// collects the pixels of colour fg under it.
func (s *stroke) draw(a, b point, radius float64, fg uint8) {
	if chance(s.r, 0.15) {
		s.along(s.bent(a, b), radius, fg)
		return
	}
	s.along(s.wavy(a, b, between(s.r, 0.02, 0.25)*b.sub(a).len()), radius, fg)
}

// along moves a brush along a path. Like the marks in DeepPCB, which people
// drew, it leaves a solid line, a scribble of thin lines, a speckled patch or a
// string of beads.
func (s *stroke) along(path []point, radius float64, fg uint8) {
	switch k := s.r.Float64(); {
	case s.solid:
		s.line(path, max(2.5, radius), 0, fg)
	case k < 0.6:
		s.line(path, radius, 0, fg)
	case k < 0.74 && radius >= 2:
		for range intBetween(s.r, 3, 6) {
			s.line(s.jitter(path, radius*0.8), between(s.r, 0.8, 1.4), 0, fg)
		}
	case k < 0.86 && radius >= 2:
		s.line(path, radius, between(s.r, 0.1, 0.45), fg)
	default:
		s.beads(path, min(radius, between(s.r, 1.1, 2)), fg)
	}
}

// jitter moves every point of a path by up to most.
func (s *stroke) jitter(path []point, most float64) []point {
	out := make([]point, len(path))
	for i, p := range path {
		out[i] = p.add(direction(between(s.r, 0, 2*math.Pi)).mul(most * s.r.Float64()))
	}
	return out
}

// beads sets dots along a path, close enough to be one mark.
func (s *stroke) beads(path []point, r float64, fg uint8) {
	step := r * between(s.r, 1.4, 2.4)
	for i := 1; i < len(path); i++ {
		n := math.Ceil(path[i].sub(path[i-1]).len() / step)
		for k := range int(n) {
			p := lerp(path[i-1], path[i], float64(k)/n)
			s.line([]point{p, p}, r, 0, fg)
		}
	}
}

// wavy is a path from a to b through points that leave the straight line.
func (s *stroke) wavy(a, b point, wave float64) []point {
	across := normal(a, b)
	path := []point{a}
	off := 0.0
	const steps = 4
	for i := 1; i < steps; i++ {
		off += between(s.r, -wave, wave)
		path = append(path, lerp(a, b, float64(i)/steps).add(across.mul(off)))
	}
	return append(path, b)
}

// bent is an arc from a to b.
func (s *stroke) bent(a, b point) []point {
	l := b.sub(a).len()
	top := lerp(a, b, 0.5).add(normal(a, b).mul(l * between(s.r, -0.7, 0.7)))
	var path []point
	const steps = 8
	for i := range steps + 1 {
		t := float64(i) / steps
		path = append(path, lerp(lerp(a, top, t), lerp(top, b, t), t))
	}
	return path
}

// normal is the unit vector across the line from a to b.
func normal(a, b point) point {
	d := b.sub(a)
	if l := d.len(); l > 0 {
		return point{-d.y, d.x}.mul(1 / l)
	}
	return point{}
}

// scribble is a walk of n steps from p, each turning by less than a right angle
// most of the time.
func (s *stroke) scribble(p point, n int, lo, hi float64) []point {
	path, angle := []point{p}, between(s.r, 0, 2*math.Pi)
	for range n {
		p = p.add(direction(angle).mul(between(s.r, lo, hi)))
		path = append(path, p)
		angle += between(s.r, -1.8, 1.8)
	}
	return path
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
