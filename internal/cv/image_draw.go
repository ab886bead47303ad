//go:build cv

package cv

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"
)

// palette is colours that stay apart on most pictures, after Sasha Trubetskoy's
// list of 20 distinct colours, without its greys.
func palette(i int) color.RGBA {
	colors := [...]color.RGBA{
		{60, 180, 75, 0}, {255, 225, 25, 0}, {230, 25, 75, 0}, {0, 130, 200, 0}, {245, 130, 48, 0}, {145, 30, 180, 0},
		{70, 240, 240, 0}, {240, 50, 230, 0}, {210, 245, 60, 0}, {250, 190, 212, 0}, {0, 128, 128, 0}, {220, 190, 255, 0},
	}
	n := len(colors)
	return colors[(i%n+n)%n]
}

// onTop is black or white, whichever is easier to read on c.
func onTop(c color.RGBA) color.RGBA {
	if 299*int(c.R)+587*int(c.G)+114*int(c.B) > 128_000 {
		return color.RGBA{}
	}
	return color.RGBA{R: 255, G: 255, B: 255}
}

// pen is what is drawn with on a picture of one size: captions keep their share
// of large pictures and stay readable on small ones.
type pen struct {
	scale float64 // of OpenCV's fonts
	line  int
}

func penFor(w, h int) pen {
	scale := max(0.4, float64(min(w, h))/1000)
	return pen{scale: scale, line: max(1, int(math.Round(1.6*scale)))}
}

// corners is the box in pixels, inside a w×h picture.
func (m Mark) corners(w, h int) (image.Rectangle, error) {
	for _, v := range m.Box {
		if math.IsNaN(v) {
			return image.Rectangle{}, fmt.Errorf("draw box %v: not numbers", m.Box)
		}
	}
	at := func(v float64, n int) int { return int(math.Round(min(max(v, 0), float64(n-1)))) }
	return image.Rectangle{
		Min: image.Pt(at(m.Box[0], w), at(m.Box[1], h)),
		Max: image.Pt(at(m.Box[2], w), at(m.Box[3], h)),
	}, nil
}

// caption places a plate of size above the box, or inside at its top where
// there is no room, and keeps it on the picture.
func caption(box image.Rectangle, size image.Point, w, h int) image.Rectangle {
	p := image.Pt(box.Min.X, box.Min.Y-size.Y)
	if p.Y < 0 {
		p.Y = min(box.Min.Y, max(h-size.Y, 0))
	}
	p.X = max(min(p.X, w-size.X), 0)
	return image.Rectangle{Min: p, Max: p.Add(size)}
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
