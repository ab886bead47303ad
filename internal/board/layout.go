package board

import (
	"image"
	"math"
	"math/rand/v2"
)

// layout draws one board: planes, then busses, pads and routes that keep their
// distance.
type layout struct {
	*canvas
	r *rand.Rand
	// track is the radius of an ordinary track, gap the distance between nets.
	track, gap float64
	// scale is how close the camera is: lengths and pads grow with it.
	scale float64
	nets  uint16
	plain bool
	// holes are drilled when everything else is there.
	holes []shape
}

// smallest is how many pixels a part of a board has at least, a disc of radius 9.
const smallest = 260

// Design rules of plain boards, in pixels.
const (
	plainGap   = 16  // between nets: wider than a cut
	plainEdge  = 12  // between nets and the board's edge
	plainTrack = 5   // the radius of an ordinary track, at least
	plainPad   = 14  // half a pad's side, at least
	plainPlane = 12  // half the width of a plane's neck, at least
	plainRoute = 120 // a straight part of a track, at least: shorter ones look like spurs and copper
)

// draw makes a defect-free board.
func draw(w, h int, r *rand.Rand, plain bool) *image.Gray {
	l := &layout{canvas: newCanvas(w, h), r: r, nets: 1, plain: plain, scale: between(r, 0.8, 2)}
	l.track = math.Exp(between(r, math.Log(3), math.Log(20)))
	l.gap = max(8, l.track*between(r, 0.8, 2.2))
	density := between(r, 0.4, 1.2) * float64(w*h) / (640 * 640) / l.scale
	if plain {
		l.track, l.gap = max(plainTrack, l.track), max(plainGap, l.gap)
		density = max(3, 4*density) // less of it fits
	}
	if chance(r, 0.55) {
		for range intBetween(r, 1, 4) {
			l.plane()
		}
	}
	for range r.IntN(3) {
		l.bus()
	}
	if chance(r, 0.3) {
		l.arc()
	}
	for range int(density * between(r, 2, 14)) {
		l.component()
	}
	for range int(density * between(r, 10, 700/(l.track+l.gap))) {
		l.route()
	}
	for range int(density * between(r, 0, 14)) {
		l.via()
	}
	if !plain {
		for range r.IntN(7) {
			l.drill()
		}
	}
	if plain {
		l.smooth(plainGap/2-1, plainPlane)
	}
	for _, colour := range []uint8{1, 0, 1} { // what one leaves may be too small of the other
		l.tidy(colour)
	}
	for _, s := range l.holes {
		l.cut(s)
	}
	if plain {
		even(l.canvas, r)
	} else {
		rough(l.canvas, r)
	}
	return l.gray()
}

func (l *layout) next() uint16 { l.nets++; return l.nets }

func (l *layout) anywhere() point {
	return point{between(l.r, 0, float64(l.w)), between(l.r, 0, float64(l.h))}
}

// place puts a shape where it fits.
func (l *layout) place(s shape, net uint16) bool {
	if lo, hi := s.extent(); l.plain && (min(lo.x, lo.y) < plainEdge || hi.x > float64(l.w-plainEdge) || hi.y > float64(l.h-plainEdge)) {
		return false
	}
	if !l.fits(s, l.gap, net) {
		return false
	}
	l.put(s, l.gap, net)
	return true
}

// plane draws a large area that later nets may cut.
func (l *layout) plane() {
	hw, hh := between(l.r, 50, 280), between(l.r, 50, 280)
	s := shape(pad{c: l.anywhere(), hw: hw, hh: hh, chamfer: between(l.r, 0, 0.7) * min(hw, hh)})
	switch k := l.r.Float64(); {
	case k < 0.25:
		s = capsule{a: l.anywhere(), b: l.anywhere(), r: between(l.r, 40, 160)}
	case k < 0.45:
		p := l.anywhere()
		s = capsule{a: p, b: p, r: between(l.r, 60, 280)}
	}
	l.each(s, 0, func(i int, _ float64) bool { l.px[i], l.net[i] = 1, 1; return true })
}

// corners are the bends of a track from p: 45° and 90° turns of a walk.
func (l *layout) corners(p point, segments int, lo, hi float64) []point {
	angle := float64(l.r.IntN(8)) * math.Pi / 4
	if chance(l.r, 0.6) {
		angle = float64(l.r.IntN(4)) * math.Pi / 2
	}
	path := []point{p}
	for range segments {
		p = p.add(direction(angle).mul(l.scale * between(l.r, lo, hi)))
		path = append(path, p)
		turn := math.Pi / 4
		if chance(l.r, 0.2) {
			turn = math.Pi / 2
		}
		if chance(l.r, 0.5) {
			turn = -turn
		}
		angle += turn
	}
	return path
}

// bus draws parallel tracks that share one path.
func (l *layout) bus() {
	r := max(2.5, l.track*between(l.r, 0.5, 1.2))
	pitch := 2*r + max(8, l.gap*between(l.r, 0.7, 1.5))
	along := point{1, 0}
	start := point{between(l.r, 0, float64(l.w)), -20}
	step := math.Pi / 2
	if chance(l.r, 0.5) {
		along, start, step = point{0, 1}, point{-20, between(l.r, 0, float64(l.h))}, 0
	}
	path, p, angle := []point{start}, start, step
	side := math.Pi / 4
	if chance(l.r, 0.5) {
		side = -side
	}
	for i := range intBetween(l.r, 1, 5) {
		angle = step
		if i%2 == 1 {
			angle += side
		}
		p = p.add(direction(angle).mul(between(l.r, 60, 330)))
		path = append(path, p)
	}
	path = append(path, p.add(direction(step).mul(1000)))
	keep := l.gap
	l.gap = pitch - 2*r - 1
	for k := range intBetween(l.r, 2, 9) {
		// The diagonal part is closer than the straight one.
		l.polyline(path, along.mul(float64(k)*pitch*1.25), r, l.next())
	}
	l.gap = keep
}

// polyline draws a moved path as far as it fits; it reports where it ended.
func (l *layout) polyline(path []point, move point, r float64, net uint16) (end point, any bool) {
	end = path[0].add(move)
	for i := 1; i < len(path); i++ {
		to := path[i].add(move)
		if !l.place(capsule{end, to, r}, net) {
			return end, any
		}
		end, any = to, true
	}
	return end, any
}

// route draws one track with a pad, a via or nothing at its ends.
func (l *layout) route() {
	r, net := max(2.5, l.track*between(l.r, 0.7, 1.3)), l.next()
	from := l.anywhere()
	least := 40.0
	if l.plain {
		least = plainRoute / l.scale
	}
	end, ok := l.polyline(l.corners(from, intBetween(l.r, 1, 5), least, 220), point{}, r, net)
	if !ok {
		return
	}
	for _, p := range []point{from, end} {
		switch k := l.r.Float64(); {
		case k < 0.35:
			l.land(p, r+l.scale*between(l.r, 3, 14), net, chance(l.r, 0.5))
		case k < 0.5:
			l.place(pad{c: p, hw: r + between(l.r, 2, 16), hh: r + between(l.r, 2, 16)}, net)
		case k < 0.6 && !l.plain: // the track widens, which beside a bend is a stub
			l.place(capsule{p, lerp(p, end, 0.3), r * 1.5}, net)
		}
	}
}

// land is a round pad, drilled or not.
func (l *layout) land(p point, r float64, net uint16, drilled bool) {
	r = max(r, 9)
	if l.plain {
		r = max(r, plainPad)
	}
	if l.place(capsule{p, p, r}, net) && drilled && r > 13 {
		l.holes = append(l.holes, capsule{p, p, max(6, r*between(l.r, 0.3, 0.6))})
	}
}

// component draws a row of equal pads, as a chip or a connector has.
func (l *layout) component() {
	hw, hh := l.scale*between(l.r, 7, 42), l.scale*between(l.r, 7, 42)
	if l.plain { // smaller ones look like spurious copper
		hw, hh = max(hw, plainPad), max(hh, plainPad)
	}
	s := pad{hw: hw, hh: hh}
	switch l.r.IntN(4) {
	case 0:
		s.chamfer = min(hw, hh) * between(l.r, 0.3, 0.9)
	case 1:
		s.round = min(hw, hh) * between(l.r, 0.3, 1)
	}
	at, step := l.anywhere(), point{2*hw + l.gap + between(l.r, 2, 20), 0}
	if chance(l.r, 0.5) {
		step = point{0, 2*hh + l.gap + between(l.r, 2, 20)}
	}
	drilled := min(hw, hh) > 17 && chance(l.r, 0.35)
	hole, least := max(6, l.scale*between(l.r, 4, 9)), 30.0
	if l.plain { // no hole like a pin-hole, no stub of a track like a spur
		hole, least = max(hole, 0.45*min(hw, hh)), plainRoute
	}
	for range intBetween(l.r, 1, 6) {
		s.c = at
		net := l.next()
		if l.place(s, net) {
			if drilled {
				l.holes = append(l.holes, capsule{at, at, hole})
			}
			if chance(l.r, 0.5) {
				l.polyline(l.corners(at, intBetween(l.r, 1, 4), least, 200), point{}, min(l.track, hw, hh), net)
			}
		}
		at = at.add(step)
	}
}

func (l *layout) via() { l.land(l.anywhere(), l.scale*between(l.r, 9, 24), l.next(), chance(l.r, 0.5)) }

// arc draws round conductors: a whole ring or half of one.
func (l *layout) arc() {
	c, radius := l.anywhere(), between(l.r, 40, 260)
	n := point{}
	if chance(l.r, 0.6) {
		n = direction(float64(l.r.IntN(4)) * math.Pi / 2)
	}
	for range intBetween(l.r, 1, 4) {
		l.place(ring{c: c, radius: radius, r: max(3, l.track*between(l.r, 0.6, 1.5)), n: n}, l.next())
		radius += 2*l.track*1.5 + l.gap + 4
	}
}

// drill cuts a clean hole or slot into a plane or a pad.
func (l *layout) drill() {
	p, r := l.anywhere(), between(l.r, 6, 24)
	if chance(l.r, 0.25) {
		r = between(l.r, 24, 110)
	}
	s := capsule{p, p, r}
	if chance(l.r, 0.3) {
		s.b = p.add(direction(float64(l.r.IntN(4)) * math.Pi / 2).mul(between(l.r, 5, 20)))
	}
	copper := l.each(s, 6, func(i int, _ float64) bool { return l.px[i] == 1 })
	if copper {
		l.cut(s)
	}
}
