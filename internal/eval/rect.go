package eval

import (
	"math"

	"github.com/vedette-io/vedette"
)

// Rect is a box as COCO stores it: its left upper corner and its size, in
// pixel-edge coordinates. Boxes are kept in this form because converting to
// corners and back changes the last bits of an overlap, and an overlap of
// exactly 0.5 decides a match.
type Rect struct{ X, Y, W, H float64 }

// RectOf converts the box of a message.
func RectOf(b vedette.Box) Rect { return Rect{X: b[0], Y: b[1], W: b[2] - b[0], H: b[3] - b[1]} }

// Box converts r to the form messages use.
func (r Rect) Box() vedette.Box { return vedette.Box{r.X, r.Y, r.X + r.W, r.Y + r.H} }

// Area is the area of r in square pixels.
func (r Rect) Area() float64 { return r.W * r.H }

// valid reports whether r is finite and has no negative side.
func (r Rect) valid() bool {
	for _, v := range [4]float64{r.X, r.Y, r.W, r.H} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return r.W >= 0 && r.H >= 0
}

// overlap is the intersection over union of a detection and a truth as
// maskApi.c of the COCO API computes it: over a crowd region it is the part of
// the detection that lies inside. The explicit conversions forbid fused
// multiply-add, which would make the result depend on the processor.
func overlap(d, g Rect, crowd bool) float64 {
	w := min(d.W+d.X, g.W+g.X) - max(d.X, g.X)
	h := min(d.H+d.Y, g.H+g.Y) - max(d.Y, g.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := float64(w * h)
	union := float64(d.W * d.H)
	if !crowd {
		union = union + float64(g.W*g.H) - inter
	}
	return inter / union
}

// overlapInclusive is the overlap of the VOC development kit, in which a box
// contains its last row and column.
func overlapInclusive(d, g Rect) float64 {
	d.W, d.H, g.W, g.H = d.W+1, d.H+1, g.W+1, g.H+1
	return overlap(d, g, false)
}

// Above is the smallest overlap that is greater than iou: every comparison in
// this package is "at least", and some authors ask for "more than" (DeepPCB:
// more than 0.33).
func Above(iou float64) float64 { return math.Nextafter(iou, 1) }
