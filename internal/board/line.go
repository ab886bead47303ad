package board

import (
	"fmt"
	"image"
	"math"
)

// LineConfig describes boards on a belt under a camera.
type LineConfig struct {
	// Width and Height of a frame, and of a board without its rim.
	Width, Height           int
	BoardWidth, BoardHeight int
	// FPS is how often the camera looks, Speed how many boards pass a second.
	FPS, Speed float64
	// Seed makes the boards and the noise.
	Seed uint64
	// Light scales the brightness, 1 is normal; Noise is the deviation of the
	// sensor's noise in grey levels.
	Light, Noise float64
	// DefectRate is the share of boards with defects, MaxDefects how many such
	// a board has at most.
	DefectRate float64
	MaxDefects int
	// Plain boards, see [Config].
	Plain bool
	// Empty is the share of places on the belt that carry no board.
	Empty float64
}

// DefaultLine is a line whose boards are plain and in full view for a while.
func DefaultLine() LineConfig {
	return LineConfig{Width: 640, Height: 640, BoardWidth: 520, BoardHeight: 520, FPS: 25, Speed: 0.5,
		Light: 1, Noise: 3, DefectRate: 0.5, MaxDefects: 3, Plain: true}
}

// MinSide and MaxSide bound the width and the height of a frame.
const (
	MinSide = 128
	MaxSide = 4096
)

// Sized is the line under a camera with frames of another size, [MinSide] to
// [MaxSide] a side: a board that is too large for them shrinks until it fits.
func (c LineConfig) Sized(width, height int) LineConfig {
	c.Width, c.Height = width, height
	c.BoardWidth = min(c.BoardWidth, width*13/16)
	c.BoardHeight = min(c.BoardHeight, height*13/16, height-2*Rim)
	return c
}

func (c LineConfig) validate() error {
	for _, f := range []struct {
		name       string
		v, lo, hi  float64
		exclusive0 bool
	}{
		{"width", float64(c.Width), MinSide, MaxSide, false}, {"height", float64(c.Height), MinSide, MaxSide, false},
		{"board width", float64(c.BoardWidth), 64, 4096, false}, {"board height", float64(c.BoardHeight), 64, 4096, false},
		{"fps", c.FPS, 0, 1000, true}, {"speed", c.Speed, 0, 100, false},
		{"light", c.Light, 0, 10, false}, {"noise", c.Noise, 0, 100, false},
		{"defect rate", c.DefectRate, 0, 1, false}, {"share of empty places", c.Empty, 0, 1, false}, {"defects per board", float64(c.MaxDefects), 1, 50, false},
	} {
		if !(f.v >= f.lo && f.v <= f.hi) || f.exclusive0 && f.v == 0 {
			return fmt.Errorf("line: %s is %g, it must be %g to %g", f.name, f.v, f.lo, f.hi)
		}
	}
	if c.BoardHeight+2*Rim > c.Height {
		return fmt.Errorf("line: a board %d high with a rim of %d on either side does not fit a frame of %d", c.BoardHeight, Rim, c.Height)
	}
	return nil
}

// Grey levels and sizes of the scene.
const (
	// Rim is the width in pixels of the bare substrate round a board.
	Rim = 14

	beltLevel      = 92
	conductorLevel = 46
	substrateLevel = 206
	cached         = 8 // boards kept, more than are ever in view of a sane line
)

// Seen is one board in one frame.
type Seen struct {
	// Board counts the places of the line from 0; an empty one is left out.
	Board uint64
	// Area is where its picture, without the rim, lies in the frame, cut at the
	// frame's edge; Whole says that nothing was cut.
	Area  image.Rectangle
	Whole bool
	// Origin is where the picture's upper left corner lies, perhaps outside.
	Origin image.Point
	// Total is how many defects the board has; Defects are those in view.
	Total   int
	Defects []SeenDefect
}

// SeenDefect is one defect in one frame.
type SeenDefect struct {
	Class Class
	// Box is in pixels of the frame, cut at its edge; Visible is the share of
	// the defect's box that is in view.
	Box     image.Rectangle
	Visible float64
}

// Line renders the frames of a belt. Frame n has the same pixels however often
// and in whatever order frames are asked for. Not safe for concurrent use.
type Line struct {
	cfg   LineConfig
	pitch int
	gain  []uint32 // per column, 1<<16 is one
	noise []int8
	cache map[uint64]*panel
}

// panel is a board as the camera sees it: grey, soft, with its rim.
type panel struct {
	w, h, top int
	px        []uint8
	defects   []Defect
}

// NewLine prepares a line.
func NewLine(cfg LineConfig) (*Line, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Line{cfg: cfg, pitch: max(cfg.BoardWidth+2*Rim, cfg.Width) + cfg.Width/8, cache: map[uint64]*panel{}}
	l.gain = make([]uint32, cfg.Width)
	for x := range l.gain { // the lamp hangs over the middle
		u := 2*float64(x)/float64(cfg.Width) - 1
		l.gain[x] = uint32(cfg.Light * (1 - 0.12*u*u) * (1 << 16))
	}
	r := stream(cfg.Seed, 3)
	l.noise = make([]int8, 1<<16+cfg.Width)
	for i := range l.noise[:1<<16] {
		l.noise[i] = int8(max(-127, min(127, math.Round(r.NormFloat64()*cfg.Noise))))
	}
	copy(l.noise[1<<16:], l.noise)
	return l, nil
}

// Config is what the line was made from.
func (l *Line) Config() LineConfig { return l.cfg }

// left is where board b's picture starts in frame i. Board 0 starts in the
// middle of frame 0 and all move to the left.
func (l *Line) left(i, b uint64) int {
	moved := math.Round(float64(i) * l.cfg.Speed / l.cfg.FPS * float64(l.pitch))
	return (l.cfg.Width-l.cfg.BoardWidth)/2 + int(float64(b)*float64(l.pitch)-moved)
}

// inView are the places that frame i shows, rims included: first to last-1.
func (l *Line) inView(i uint64) (first, last uint64) {
	start := l.left(i, 0)
	if end := start + l.cfg.BoardWidth + Rim; end <= 0 {
		first = uint64((-end)/l.pitch) + 1
	}
	last = first
	for l.left(i, last)-Rim < l.cfg.Width {
		last++
	}
	return first, last
}

// Passed is how many places have left the view before frame i.
func (l *Line) Passed(i uint64) uint64 {
	first, _ := l.inView(i)
	return first
}

// Truth is what frame i shows.
func (l *Line) Truth(i uint64) ([]Seen, error) {
	var out []Seen
	frame := image.Rect(0, 0, l.cfg.Width, l.cfg.Height)
	first, last := l.inView(i)
	for b := first; b < last; b++ {
		p, err := l.panel(b)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		at := image.Pt(l.left(i, b), p.top+Rim)
		whole := image.Rect(0, 0, l.cfg.BoardWidth, l.cfg.BoardHeight).Add(at)
		s := Seen{Board: b, Area: whole.Intersect(frame), Whole: whole.In(frame), Origin: at, Total: len(p.defects)}
		for _, d := range p.defects {
			full := d.Box.Add(at)
			if cut := full.Intersect(frame); !cut.Empty() {
				share := float64(cut.Dx()*cut.Dy()) / float64(full.Dx()*full.Dy())
				s.Defects = append(s.Defects, SeenDefect{Class: d.Class, Box: cut, Visible: share})
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Gray renders frame i into dst, Width×Height bytes.
func (l *Line) Gray(i uint64, dst []byte) error {
	w, h := l.cfg.Width, l.cfg.Height
	if len(dst) < w*h {
		return fmt.Errorf("line: %d bytes for a frame of %d×%d", len(dst), w, h)
	}
	l.belt(i, dst)
	first, last := l.inView(i)
	for b := first; b < last; b++ {
		p, err := l.panel(b)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		x := l.left(i, b) - Rim
		from, to := max(0, x), min(w, x+p.w)
		for y := range p.h {
			copy(dst[(p.top+y)*w+from:(p.top+y)*w+to], p.px[y*p.w+from-x:])
		}
	}
	state := l.cfg.Seed*0x9e3779b97f4a7c15 + i*0xd1342543de82ef95 + 1
	for y := range h {
		state = state*6364136223846793005 + 1442695040888963407
		noise := l.noise[state>>48:]
		row := dst[y*w : y*w+w]
		for x, v := range row {
			row[x] = uint8(max(0, min(255, int(uint32(v)*l.gain[x]>>16)+int(noise[x]))))
		}
	}
	return nil
}

// BGR renders frame i into dst, Width×Height×3 bytes.
func (l *Line) BGR(i uint64, dst []byte) error {
	n := l.cfg.Width * l.cfg.Height
	if len(dst) < 3*n {
		return fmt.Errorf("line: %d bytes for a colour frame of %d×%d", len(dst), l.cfg.Width, l.cfg.Height)
	}
	// The grey frame goes to the end, so that it can be spread from the front.
	grey := dst[2*n : 3*n]
	if err := l.Gray(i, grey); err != nil {
		return err
	}
	for k, v := range grey {
		dst[3*k], dst[3*k+1], dst[3*k+2] = v, v, v
	}
	return nil
}

// belt draws the empty belt: cross ribs that move with the boards.
func (l *Line) belt(i uint64, dst []byte) {
	w := l.cfg.Width
	at := l.left(i, 0) % 32
	for x := range w {
		dst[x] = beltLevel
		if (x-at+64)%32 < 3 {
			dst[x] = beltLevel - 22
		}
	}
	for y := 1; y < l.cfg.Height; y++ {
		copy(dst[y*w:y*w+w], dst[:w])
	}
}

// panel draws board b, or finds it among those drawn; nil: its place is empty.
func (l *Line) panel(b uint64) (*panel, error) {
	if p, ok := l.cache[b]; ok {
		return p, nil
	}
	if chance(stream(l.cfg.Seed^0x656d7074, b), l.cfg.Empty) {
		return nil, nil
	}
	r := stream(l.cfg.Seed^0x6c696e65, b)
	defective, n := chance(r, l.cfg.DefectRate), intBetween(r, 1, l.cfg.MaxDefects)
	if !defective {
		n = 0
	}
	brd, err := New(Config{Width: l.cfg.BoardWidth, Height: l.cfg.BoardHeight, Seed: r.Uint64(), Defects: n, Plain: l.cfg.Plain})
	if err != nil {
		return nil, err
	}
	p := &panel{w: l.cfg.BoardWidth + 2*Rim, h: l.cfg.BoardHeight + 2*Rim, defects: brd.Defects}
	slack := l.cfg.Height - p.h
	p.top = slack/2 + intBetween(r, -slack/8, slack/8)
	c := newCanvas(p.w, p.h)
	for y := range l.cfg.BoardHeight {
		for x := range l.cfg.BoardWidth {
			if brd.Picture.Pix[y*brd.Picture.Stride+x] == Conductor {
				c.px[(y+Rim)*p.w+x+Rim] = 1
			}
		}
	}
	p.px = make([]uint8, len(c.px))
	for i, v := range blur(c) {
		p.px[i] = uint8(substrateLevel - v*(substrateLevel-conductorLevel))
	}
	for k := range l.cache { // boards pass once; those behind are not needed
		if len(l.cache) >= cached && k < b {
			delete(l.cache, k)
		}
	}
	if len(l.cache) >= cached {
		clear(l.cache)
	}
	l.cache[b] = p
	return p, nil
}
