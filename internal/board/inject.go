package board

import (
	"image"
	"math"
	"math/rand/v2"
)

// Sizes in pixels, after the boxes of DeepPCB.
const (
	border   = 12 // a defect's centre keeps away from the picture's edge
	margin   = 8  // of a box round the changed pixels, and up to 3 more
	minPixel = 14 // changed pixels that make a defect
	minPart  = 8  // pixels that count as a part when parts are counted
	tries    = 400

	// Of plain boards, so that one picture tells what it is.
	minPlain = 50              // changed pixels that make a defect
	plainBit = smallest        // pixels of the least part that a defect leaves
	plainFar = 6               // between a pin-hole or a blot of copper and any edge: nearer it is a bite
	plainCut = plainGap/2 - 2  // half the width of a cut, at most: wider it is a gap
	plainTie = plainTrack - .5 // half the width of a short, at most: wider it is a track
)

// injector puts defects into a canvas. A candidate is drawn, kept if the number
// of connected parts of copper and substrate round it changes as its class
// demands, else undone; so labels are right by construction.
type injector struct {
	c     *canvas
	r     *rand.Rand
	plain bool // no defects that are small or faint
	taken []image.Rectangle
	mark  []uint8
	// filled is the part that fill found last.
	filled []int
}

func newInjector(c *canvas, r *rand.Rand, plain bool) *injector {
	return &injector{c: c, r: r, plain: plain, mark: make([]uint8, len(c.px))}
}

func (in *injector) inject(n int) []Defect {
	var out []Defect
	for range n {
		first := in.r.IntN(len(Classes()))
		for k := range len(Classes()) {
			if d, ok := in.one(Class((first + k) % len(Classes()))); ok {
				out = append(out, d)
				break
			}
		}
	}
	return out
}

func (in *injector) one(class Class) (Defect, bool) {
	for range tries {
		p := point{between(in.r, border, float64(in.c.w-border)), between(in.r, border, float64(in.c.h-border))}
		s := &stroke{c: in.c, r: in.r, solid: in.plain}
		// Open, mousebite and pin-hole eat copper; the other three are the same
		// with the colours exchanged.
		ok := false
		switch class {
		case Open:
			ok = in.across(s, p, 1)
		case Short:
			ok = in.across(s, p, 0)
		case Mousebite:
			ok = in.bite(s, p, 1)
		case Spur:
			ok = in.bite(s, p, 0)
		case PinHole:
			ok = in.inside(s, p, 1)
		case Copper:
			ok = in.inside(s, p, 0)
		}
		if !ok || len(s.px) == 0 {
			continue
		}
		if d, ok := in.keep(class, s); ok {
			return d, true
		}
	}
	return Defect{}, false
}

func (in *injector) at(p point) (v uint8, ok bool) {
	x, y := int(math.Round(p.x)), int(math.Round(p.y))
	if x < 0 || y < 0 || x >= in.c.w || y >= in.c.h {
		return 0, false
	}
	return in.c.px[y*in.c.w+x], true
}

// reach is how far the colour fg goes from p along d, at most limit.
func (in *injector) reach(p, d point, fg uint8, limit float64) float64 {
	for t := 0.0; t < limit; t++ {
		if v, ok := in.at(p.add(d.mul(t))); !ok || v != fg {
			return t
		}
	}
	return limit
}

// across draws a stroke over the narrowest way through the colour fg at p.
func (in *injector) across(s *stroke, p point, fg uint8) bool {
	if v, _ := in.at(p); v != fg {
		return false
	}
	const limit = 60
	best, dir, back := math.Inf(1), point{}, 0.0
	for k := range 8 {
		d := direction(float64(k) * math.Pi / 8)
		f, b := in.reach(p, d, fg, limit), in.reach(p, d.mul(-1), fg, limit)
		if f+b < best {
			best, dir, back = f+b, d, b
		}
	}
	most := 34.0
	if chance(in.r, 0.25) {
		most = limit
	}
	if best < 4 || best > most {
		return false
	}
	over := between(in.r, 1, 4)
	slant := point{-dir.y, dir.x}.mul(best * between(in.r, -0.45, 0.45))
	for _, end := range []point{p.sub(dir.mul(back)), p.add(dir.mul(best - back))} {
		if v, ok := in.at(end); !ok || v == fg {
			return false // the way leads out of the picture
		}
	}
	a := p.sub(dir.mul(back + over)).sub(slant)
	b := p.add(dir.mul(best - back + over)).add(slant)
	radius := between(in.r, 1.5, 6.5)
	if chance(in.r, 0.1) {
		radius = between(in.r, 6.5, 14)
	}
	if in.plain {
		radius = min(radius, plainCut)
		if fg == 0 {
			radius = min(radius, plainTie)
		}
	}
	s.draw(a, b, radius, fg)
	if chance(in.r, 0.15) { // a bundle of thin lines
		for range intBetween(in.r, 1, 3) {
			s.draw(a.add(in.about(best/3)), b.add(in.about(best/3)), between(in.r, 1.2, 2), fg)
		}
	}
	return true
}

// about is a random vector of up to r.
func (in *injector) about(r float64) point {
	return direction(between(in.r, 0, 2*math.Pi)).mul(r * in.r.Float64())
}

// inward is the direction into the colour fg at an edge, from the centre of
// mass of the pixels around.
func (in *injector) inward(p point, fg uint8) (point, bool) {
	var n point
	for dy := -5.0; dy <= 5; dy++ {
		for dx := -5.0; dx <= 5; dx++ {
			if v, ok := in.at(p.add(point{dx, dy})); ok && v == fg {
				n = n.add(point{dx, dy})
			}
		}
	}
	l := n.len()
	if l < 40 {
		return n, false
	}
	return n.mul(1 / l), true
}

// bite draws a stroke from an edge into the colour fg that does not reach the
// other side.
func (in *injector) bite(s *stroke, p point, fg uint8) bool {
	if v, _ := in.at(p); v != fg {
		return false
	}
	d := direction(between(in.r, 0, 2*math.Pi))
	t := in.reach(p, d, fg, 40)
	edge := p.add(d.mul(t))
	if v, ok := in.at(edge); t == 40 || !ok || v == fg {
		return false
	}
	n, ok := in.inward(edge, fg)
	if !ok {
		return false
	}
	room := in.reach(edge.add(n.mul(2)), n, fg, 60)
	rest, shallow := 1.0, 4.5 // what is left of the other side, and the least depth
	if in.plain {
		rest, shallow = 7, 7
	}
	most := min(room-rest, 20)
	if chance(in.r, 0.1) {
		most = min(room-rest, 34)
	}
	if most < shallow+0.5 {
		return false
	}
	switch k := in.r.Float64(); {
	case k < 0.3:
		return in.ridge(s, edge, n, shallow, most, fg)
	case k < 0.4 && !in.plain: // a scribble that begins at the edge
		s.along(s.scribble(edge, intBetween(in.r, 2, 5), 3, 10), between(in.r, 1, 2.2), fg)
		return true
	}
	depth := between(in.r, shallow, most)
	r := between(in.r, 1.5, min(5.5, max(1.8, depth*0.7)))
	way := n.turn(between(in.r, -0.9, 0.9)).mul(max(0, depth-r))
	s.draw(edge.sub(n.mul(0.5)), edge.add(way), r, fg)
	if chance(in.r, 0.12) { // a hook
		tip := edge.add(way)
		s.draw(tip, tip.add(n.turn(between(in.r, 1, 2)).mul(between(in.r, 3, 12))), min(r, 3), fg)
	}
	return true
}

// ridge draws a bite that is long and shallow: along the edge near e, whose
// inward direction is n, a row of bumps, a zigzag or a smooth step, between
// shallow and most deep.
func (in *injector) ridge(s *stroke, e, n point, shallow, most float64, fg uint8) bool {
	t := point{-n.y, n.x}
	length := between(in.r, 12, 46)
	step := between(in.r, 2, 5)
	zigzag, smooth := chance(in.r, 0.35), chance(in.r, 0.3)
	depth := between(in.r, shallow, min(most, 14))
	var path []point
	for u := -length / 2; u <= length/2; u += step {
		p, ok := in.edge(e.add(t.mul(u)), n, fg)
		if !ok {
			break
		}
		d := depth * between(in.r, 0.5, 1)
		if smooth {
			d = depth
		}
		switch {
		case !zigzag:
			r := d / 2
			s.line([]point{p.add(n.mul(r - 1)), p.add(n.mul(r))}, r, 0, fg)
		case len(path)%2 == 1:
			p = p.add(n.mul(d))
		}
		path = append(path, p)
	}
	if zigzag && len(path) > 1 {
		s.along(path, between(in.r, 1, 2.2), fg)
	}
	return len(path) > 2
}

// edge finds where the colour fg begins along n near p.
func (in *injector) edge(p, n point, fg uint8) (point, bool) {
	const near = 8
	p = p.sub(n.mul(near))
	if v, ok := in.at(p); !ok || v == fg {
		return p, false
	}
	for range 2 * near {
		p = p.add(n)
		if v, ok := in.at(p); !ok || v == fg {
			return p, ok
		}
	}
	return p, false
}

// inside draws a blot surrounded by the colour fg.
func (in *injector) inside(s *stroke, p point, fg uint8) bool {
	if v, _ := in.at(p); v != fg {
		return false
	}
	r := between(in.r, 1.8, 4.5)
	length := between(in.r, 0, 9)
	if chance(in.r, 0.4) {
		length = between(in.r, 8, 34)
	} else if chance(in.r, 0.5) {
		r = between(in.r, 3, 5) // a larger disc could be drilled
	}
	if in.plain { // a round hole in copper is drilled
		length = max(length, between(in.r, 7, 14))
	} else if chance(in.r, 0.3) {
		s.along(s.scribble(p, intBetween(in.r, 2, 6), 3, 9), between(in.r, 1, 2.5), fg)
		return true
	}
	d := direction(between(in.r, 0, 2*math.Pi))
	far := r + 3
	if in.plain {
		far = r + plainFar
	}
	tip := p.add(d.mul(length))
	for k := range 8 { // room on all sides
		e := direction(float64(k) * math.Pi / 4)
		if in.reach(p, e, fg, far) < far || in.plain && in.reach(tip, e, fg, far) < far {
			return false
		}
	}
	if in.reach(p, d, fg, length+far) < length+far {
		return false
	}
	s.draw(p, tip, r, fg)
	return true
}

// keep applies a stroke, if it is a defect of its class and free of others.
func (in *injector) keep(class Class, s *stroke) (Defect, bool) {
	w := in.c.w
	changed := image.Rectangle{}
	for _, i := range s.px {
		changed = changed.Union(image.Rect(i%w, i/w, i%w+1, i/w+1))
	}
	whole := image.Rect(0, 0, w, in.c.h)
	grow := func() int { return margin + in.r.IntN(4) }
	box := image.Rect(changed.Min.X-grow(), changed.Min.Y-grow(), changed.Max.X+grow(), changed.Max.Y+grow()).Intersect(whole)
	for _, t := range in.taken {
		if t.Overlaps(box) {
			return Defect{}, false
		}
	}
	window := changed.Inset(-margin).Intersect(whole)
	copper0, bare0 := in.parts(window, 1, minPart, math.MaxInt), in.parts(window, 0, minPart, math.MaxInt)
	around := changed.Inset(-30).Intersect(whole) // as wide as a part that may be left is long
	crumbs := in.crumbs(around)
	n := 0
	for _, i := range s.px { // a pixel may be there twice
		if in.mark[i] == 0 {
			in.mark[i] = 1
			in.c.px[i] ^= 1
			n++
		}
	}
	copper, bare := in.parts(window, 1, minPart, math.MaxInt)-copper0, in.parts(window, 0, minPart, math.MaxInt)-bare0
	least := minPixel
	if in.plain {
		least = minPlain
	}
	ok := n >= least && fits(class, copper, bare) && in.crumbs(around) <= crumbs+class.crumbs()
	switch {
	case !ok || !in.plain:
	case class == Mousebite:
		ok = in.notch(changed, 1)
	case class == Spur:
		ok = in.notch(changed, 0)
	}
	for _, i := range s.px {
		if in.mark[i] == 1 && !ok {
			in.c.px[i] ^= 1
		}
		in.mark[i] = 0
	}
	if !ok {
		return Defect{}, false
	}
	in.taken = append(in.taken, box)
	return Defect{Class: class, Box: box}, true
}
