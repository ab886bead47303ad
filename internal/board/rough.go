package board

import (
	"math/rand/v2"
	"slices"
)

// rough makes edges as uneven as those of a binarised photograph: the picture
// is blurred, a noise that changes from pixel to pixel and one that changes
// slowly are added, and it is cut at half again.
func rough(c *canvas, r *rand.Rand) {
	if chance(r, 0.6) {
		wave(c, r)
	}
	binarise(c, r, between(r, 0.05, 0.32), between(r, 0, 0.22))
}

// even does so a little only.
func even(c *canvas, r *rand.Rand) { binarise(c, r, between(r, 0.05, 0.2), between(r, 0, 0.1)) }

// binarise blurs, adds a noise that is fine and one that is slow, and cuts at
// half.
func binarise(c *canvas, r *rand.Rand, fine, slow float64) {
	cell := intBetween(r, 3, 9)
	gw := c.w/cell + 2
	grid := make([]float32, gw*(c.h/cell+2))
	for i := range grid {
		grid[i] = float32(between(r, -slow, slow))
	}
	blurred := blur(c)
	state := r.Uint64() | 1
	for y := range c.h {
		for x := range c.w {
			i := y*c.w + x
			v := blurred[i]
			if v == 0 || v == 1 {
				continue
			}
			// A xorshift step; the noise needs speed, not quality.
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			n := (float32(state>>40)/(1<<24) - 0.5) * 2 * float32(fine)
			if v+n+grid[y/cell*gw+x/cell] > 0.5 {
				c.px[i] = 1
			} else {
				c.px[i] = 0
			}
		}
	}
}

// blur is the mean of 3×3 pixels, cut at the edge.
func blur(c *canvas) []float32 {
	out := make([]float32, len(c.px))
	for y := range c.h {
		for x := range c.w {
			sum, n := 0, 0
			for yy := max(0, y-1); yy <= min(c.h-1, y+1); yy++ {
				row := c.px[yy*c.w:]
				for xx := max(0, x-1); xx <= min(c.w-1, x+1); xx++ {
					sum += int(row[xx])
					n++
				}
			}
			out[y*c.w+x] = float32(sum) / float32(n)
		}
	}
	return out
}

// wave moves every pixel a little, neighbours alike, so that straight edges
// run unevenly, as those of an etched board or of a camera that counts lines.
func wave(c *canvas, r *rand.Rand) {
	cell := between(r, 10, 50)
	ax, ay := between(r, 0, 2), between(r, 0, 2)
	gw, gh := int(float64(c.w)/cell)+2, int(float64(c.h)/cell)+2
	grid := make([]point, gw*gh)
	for i := range grid {
		grid[i] = point{between(r, -ax, ax), between(r, -ay, ay)}
	}
	src := slices.Clone(c.px)
	for y := range c.h {
		gy := float64(y) / cell
		row := grid[int(gy)*gw:]
		fy := gy - float64(int(gy))
		for x := range c.w {
			gx := float64(x) / cell
			k, fx := int(gx), gx-float64(int(gx))
			d := lerp(lerp(row[k], row[k+1], fx), lerp(row[k+gw], row[k+gw+1], fx), fy)
			sx := min(c.w-1, max(0, int(float64(x)+d.x+0.5)))
			sy := min(c.h-1, max(0, int(float64(y)+d.y+0.5)))
			c.px[y*c.w+x] = src[sy*c.w+sx]
		}
	}
}
