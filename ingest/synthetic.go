package ingest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

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
}

// parsePattern reads synthetic://NAME?width=&height=&fps=&frames=&seed=. The
// errors repeat no value, so that they need no redaction.
func parsePattern(u *url.URL) (pattern, error) {
	p := pattern{name: u.Host, width: 640, height: 360, fps: 25}
	if p.name != "bars" || (u.Path != "" && u.Path != "/") {
		return p, fmt.Errorf("unknown pattern; there is synthetic://bars")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, fmt.Errorf("the part behind ? is malformed")
	}
	for key, values := range query {
		value := values[len(values)-1]
		var err error
		switch key {
		case "width":
			p.width, err = parseInt(value, 16, 16384)
		case "height":
			p.height, err = parseInt(value, 16, 16384)
		case "fps":
			if p.fps, err = strconv.ParseFloat(value, 64); err == nil && !(p.fps > 0 && p.fps <= maxFPS) {
				err = fmt.Errorf("want more than 0 and at most %d", maxFPS)
			}
		case "frames":
			p.frames, err = strconv.ParseUint(value, 10, 63)
		case "seed":
			p.seed, err = strconv.ParseUint(value, 10, 64)
		default:
			return p, fmt.Errorf("unknown parameter; known are width, height, fps, frames and seed")
		}
		if err != nil {
			return p, fmt.Errorf("bad value of %s", key)
		}
	}
	return p, nil
}

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && (n < low || n > high) {
		err = fmt.Errorf("want %d to %d", low, high)
	}
	return n, err
}

// synthetic generates moving colour bars with the frame's number burnt in as a
// bar code. Frame n of a pattern always has the same pixels.
type synthetic struct {
	p     pattern
	n     uint64 // of the next frame
	start time.Time
	line  []byte // two widths of bars, so that a row is a cut out of it
}

// barColours are the eight bars of a test card, BGR.
var barColours = [8][3]byte{{192, 192, 192}, {0, 192, 192}, {192, 192, 0}, {0, 192, 0},
	{192, 0, 192}, {0, 0, 192}, {192, 0, 0}, {32, 32, 32}}

func openSynthetic(location string) (*synthetic, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	p, err := parsePattern(u)
	if err != nil {
		return nil, err
	}
	s := &synthetic{p: p, start: time.Now(), line: make([]byte, 2*p.width*3)}
	order := rand.New(rand.NewPCG(p.seed, 0)).Perm(len(barColours))
	for x := range 2 * p.width {
		bar := x % p.width * len(barColours) / p.width
		if p.seed != 0 {
			bar = order[bar]
		}
		copy(s.line[x*3:], barColours[bar][:])
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
	frame := s.n - 1
	stride := shape.Stride()
	shift := int(frame*4%uint64(s.p.width)) * 3
	for y := range shape.Height {
		copy(dst[y*stride:(y+1)*stride], s.line[shift:])
	}
	barcode.Draw(dst, shape.Width, shape.Height, stride, uint32(frame))
	return shape, nil
}

func (s *synthetic) fps() float64 { return s.p.fps }

func (s *synthetic) total() int64 { return int64(s.p.frames) }

func (s *synthetic) close() error { return nil }
