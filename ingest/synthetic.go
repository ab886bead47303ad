package ingest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	"github.com/vedette-io/vedette/internal/board"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
)

// pattern is a parsed synthetic:// source.
type pattern struct {
	name          string
	width, height int
	fps           float64
	frames        uint64 // 0: for ever
	seed          uint64
	line          board.LineConfig // of the pattern "line"
}

// parsePattern reads synthetic://NAME?key=value&…: bars is a test card with
// bar-coded frame numbers, line is a belt of printed circuit boards. The errors
// repeat no value, so that they need no redaction.
func parsePattern(u *url.URL) (pattern, error) {
	p := pattern{name: u.Host, width: 640, height: 360, fps: 25, line: board.DefaultLine()}
	isLine := p.name == "line"
	if isLine {
		p.width, p.height, p.fps = p.line.Width, p.line.Height, p.line.FPS
	}
	if (p.name != "bars" && !isLine) || (u.Path != "" && u.Path != "/") {
		return p, fmt.Errorf("unknown pattern; there are synthetic://bars and synthetic://line")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, fmt.Errorf("the part behind ? is malformed")
	}
	for key, values := range query {
		known, err := p.set(key, values[len(values)-1])
		if !known && isLine {
			known, err = p.setLine(key, values[len(values)-1])
		}
		if !known {
			return p, fmt.Errorf("unknown parameter; known are width, height, fps, frames and seed, and for line speed, light, noise, defects, max_defects, empty and plain")
		}
		if err != nil {
			return p, fmt.Errorf("bad value of %s: %w", key, err)
		}
	}
	if isLine {
		p.line = p.line.Sized(p.width, p.height)
		p.line.FPS, p.line.Seed = p.fps, p.seed
		if _, err := board.NewLine(p.line); err != nil {
			return p, err
		}
	}
	return p, nil
}

// set takes a parameter that every pattern has.
func (p *pattern) set(key, value string) (known bool, err error) {
	low, high := 16, 16384
	if p.name == "line" {
		low, high = board.MinSide, board.MaxSide
	}
	switch key {
	case "width":
		p.width, err = parseInt(value, low, high)
	case "height":
		p.height, err = parseInt(value, low, high)
	case "fps":
		p.fps, err = parseFloat(value, maxFPS)
		if err == nil && p.fps == 0 {
			err = fmt.Errorf("want more than 0")
		}
	case "frames":
		p.frames, err = parseUint(value, 63)
	case "seed":
		p.seed, err = parseUint(value, 64)
	default:
		return false, nil
	}
	return true, err
}

// setLine takes a parameter of the pattern "line".
func (p *pattern) setLine(key, value string) (known bool, err error) {
	switch key {
	case "speed": // boards a second
		p.line.Speed, err = parseFloat(value, 100)
	case "light":
		p.line.Light, err = parseFloat(value, 10)
	case "noise":
		p.line.Noise, err = parseFloat(value, 100)
	case "defects": // share of boards that have some
		p.line.DefectRate, err = parseFloat(value, 1)
	case "max_defects":
		p.line.MaxDefects, err = parseInt(value, 1, 50)
	case "empty": // share of places without a board
		p.line.Empty, err = parseFloat(value, 1)
	case "plain": // false: boards with all that looks like a defect
		if p.line.Plain, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("want true or false")
		}
	default:
		return false, nil
	}
	return true, err
}

// The errors of the three below replace those of strconv, which repeat the value.

func parseFloat(s string, most float64) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= most) {
		err = fmt.Errorf("want 0 to %g", most)
	}
	return v, err
}

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		err = fmt.Errorf("want %d to %d", low, high)
	}
	return n, err
}

func parseUint(s string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		err = fmt.Errorf("want a whole number, 0 or more")
	}
	return n, err
}

// painter draws the frames of a pattern. Frame n always has the same pixels.
type painter interface {
	// paint draws frame n into dst, BGR, rows without padding.
	paint(n uint64, dst []byte) error
}

// synthetic is a source that is drawn.
type synthetic struct {
	p       pattern
	n       uint64 // of the next frame
	start   time.Time
	painter painter
}

func openSynthetic(location string) (*synthetic, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	p, err := parsePattern(u)
	if err != nil {
		return nil, err
	}
	s := &synthetic{p: p, start: time.Now()}
	switch p.name {
	case "line":
		line, err := board.NewLine(p.line)
		if err != nil {
			return nil, err
		}
		s.painter = belt{line}
	default:
		s.painter = newBars(p)
	}
	return s, nil
}

// next moves to the next frame; a pattern without end waits for its time.
func (s *synthetic) next() error {
	if s.p.frames > 0 && s.n >= s.p.frames {
		return io.EOF
	}
	s.n++
	if s.p.frames == 0 {
		time.Sleep(time.Until(s.start.Add(time.Duration(s.ptsMillis() * float64(time.Millisecond)))))
	}
	return nil
}

func (s *synthetic) ptsMillis() float64 { return float64(s.n-1) * 1000 / s.p.fps }

func (s *synthetic) item() string { return "" }

func (s *synthetic) picture(dst []byte) (cv.Shape, error) {
	shape := cv.Shape{Width: s.p.width, Height: s.p.height, Channels: 3}
	if len(dst) < shape.Bytes() {
		return shape, cv.ErrTooSmall
	}
	return shape, s.painter.paint(s.n-1, dst[:shape.Bytes()])
}

func (s *synthetic) fps() float64 { return s.p.fps }

func (s *synthetic) total() int64 { return int64(s.p.frames) }

func (s *synthetic) close() error { return nil }

// bars are moving colour bars with the frame's number burnt in as a bar code.
type bars struct {
	width, height int
	line          []byte // two widths of bars, so that a row is a cut out of it
}

// barColours are the eight bars of a test card, BGR.
var barColours = [8][3]byte{{192, 192, 192}, {0, 192, 192}, {192, 192, 0}, {0, 192, 0},
	{192, 0, 192}, {0, 0, 192}, {192, 0, 0}, {32, 32, 32}}

func newBars(p pattern) *bars {
	b := &bars{width: p.width, height: p.height, line: make([]byte, 2*p.width*3)}
	order := rand.New(rand.NewPCG(p.seed, 0)).Perm(len(barColours))
	for x := range 2 * p.width {
		bar := x % p.width * len(barColours) / p.width
		if p.seed != 0 {
			bar = order[bar]
		}
		copy(b.line[x*3:], barColours[bar][:])
	}
	return b
}

func (b *bars) paint(n uint64, dst []byte) error {
	stride := b.width * 3
	shift := int(n*4%uint64(b.width)) * 3
	for y := range b.height {
		copy(dst[y*stride:(y+1)*stride], b.line[shift:])
	}
	barcode.Draw(dst, b.width, b.height, stride, uint32(n))
	return nil
}

// belt is a line of printed circuit boards.
type belt struct{ line *board.Line }

func (b belt) paint(n uint64, dst []byte) error { return b.line.BGR(n, dst) }
