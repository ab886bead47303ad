package clip

import (
	"time"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
)

// Picture is a BGR picture without padding: its rows are 3*Width bytes.
type Picture struct {
	Pix           []byte
	Width, Height int
}

func newPicture(s Spec) Picture {
	return Picture{Pix: make([]byte, 3*s.Width*s.Height), Width: s.Width, Height: s.Height}
}

// Painter paints frame i of a video over whatever p held before.
type Painter func(p Picture, i int)

// Numbered is a moving scene with the bar code of first+i in frame i.
func Numbered(first uint32) Painter {
	scene := Scene()
	return func(p Picture, i int) {
		scene(p, i)
		barcode.Draw(p.Pix, p.Width, p.Height, 3*p.Width, first+uint32(i))
	}
}

// Clocked is [Numbered] with a clock that shows the moment of painting. Only a
// live video should have one.
func Clocked(first uint32) Painter {
	numbered := Numbered(first)
	return func(p Picture, i int) {
		numbered(p, i)
		barcode.DrawClock(p.Pix, p.Width, p.Height, 3*p.Width, barcode.Millis(time.Now()))
	}
}

// Scene is a moving picture without a code: slanting coloured stripes that
// drift, and a white square that crosses them. Every frame differs from the
// one before.
func Scene() Painter {
	const period = 64
	var strip []byte
	return func(p Picture, i int) {
		row := 3 * p.Width
		if len(strip) != row+3*period {
			strip = stripes(p.Width+period, period)
		}
		for y := range p.Height {
			shift := 3 * ((y + 2*i) % period)
			copy(p.Pix[y*row:(y+1)*row], strip[shift:])
		}
		side := p.Height / 6
		x := 3 * i % (p.Width - side)
		for y := (p.Height - side) / 2; y < (p.Height+side)/2; y++ {
			line := p.Pix[y*row+3*x : y*row+3*(x+side)]
			for j := range line {
				line[j] = 255
			}
		}
	}
}

// stripes is one row of width pixels whose colours repeat.
func stripes(width, period int) []byte {
	row := make([]byte, 0, 3*width)
	for x := range width {
		level := x % period * 256 / period
		row = append(row, byte(level), byte(255-level), byte(64+level/2))
	}
	return row
}
