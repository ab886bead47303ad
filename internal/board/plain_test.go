package board

import "testing"

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
