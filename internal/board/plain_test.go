package board

import (
	"image"
	"testing"
)

// What is left of planes and clearances on a plain board is not so small that it
// looks like a defect.
func TestPlainParts(t *testing.T) {
	const w, h = 520, 520
	const specks, ragged = 4, 0.8 // pixels that uneven edges cut off, and what they leave of a part
	for seed := range uint64(40) {
		g := draw(w, h, stream(seed, 1), true)
		c := newCanvas(w, h)
		for i, v := range g.Pix {
			if v == Conductor {
				c.px[i] = 1
			}
		}
		in := newInjector(c, stream(seed, 2), true)
		for i, v := range c.px {
			if v == 1 && in.mark[i] == 0 {
				if n := in.fill(g.Rect, i, 1, 2); n > specks && float64(n) < ragged*smallest {
					t.Errorf("seed %d: %d pixels of copper at %d,%d", seed, n, i%w, i/w)
				}
			}
		}
	}
}

// A bite is a notch where what it bit into goes on at both sides of it. A pad
// that lacks a corner, a side or an end is a pad.
func TestNotch(t *testing.T) {
	pad := image.Rect(20, 20, 60, 50)
	tests := []struct {
		name string
		bite image.Rectangle
		want bool
	}{
		{"of a side", image.Rect(36, 20, 44, 30), true},
		{"of an end", image.Rect(52, 30, 60, 40), true},
		{"of a side, near a corner", image.Rect(23, 20, 31, 28), true},
		{"a corner", image.Rect(52, 42, 60, 50), false},
		{"a whole side", image.Rect(20, 20, 60, 28), false},
		{"a whole end, but a pixel", image.Rect(52, 21, 60, 50), false},
	}
	for _, tt := range tests {
		for _, left := range []uint8{1, 0} { // a mousebite; a spur is the same with the colours exchanged
			c := newCanvas(80, 70)
			for i := range c.px {
				c.px[i] = 1 - left
				if (image.Point{X: i % c.w, Y: i / c.w}).In(pad) {
					c.px[i] = left
				}
			}
			in := newInjector(c, stream(1, 1), true)
			for i := range c.px {
				if (image.Point{X: i % c.w, Y: i / c.w}).In(tt.bite) {
					c.px[i], in.mark[i] = 1-left, 1
				}
			}
			if got := in.notch(tt.bite, left); got != tt.want {
				t.Errorf("%s, bitten into %d: %v", tt.name, left, got)
			}
		}
	}
}
