package preprocess

import (
	"image"
	"math"

	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// plan is where the pixels of a picture of one size go.
type plan struct {
	source   image.Rectangle // of the captured frame: what is resized
	resized  image.Point     // the size it is resized to
	cut      image.Rectangle // of the resized: what is kept
	target   image.Rectangle // of the model's picture: where that goes
	geometry tensor.Geometry
}

// makePlan computes the plan for a w×h picture. The rounding is that of each
// method's reference implementation, so that a model sees what it was trained
// on; the geometry has the scale that results from the rounding, not the one
// asked for, so that boxes map back exactly.
func makePlan(in models.Input, w, h int) plan {
	switch in.Resize {
	case models.Stretch:
		return placed(in, w, h, in.Width, in.Height, 0, 0)
	case models.LetterboxTopLeft:
		// YOLOX, yolox/data/data_augment.py, preproc: both sides are cut to
		// whole pixels.
		r := ratio(in, w, h)
		return placed(in, w, h, int(float64(w)*r), int(float64(h)*r), 0, 0)
	case models.Crop:
		return cropped(in, w, h)
	default:
		// Ultralytics, data/augment.py, LetterBox: sides rounded half to even;
		// an odd pixel of padding goes to the right and below.
		r := ratio(in, w, h)
		rw := max(int(math.RoundToEven(float64(w)*r)), 1)
		rh := max(int(math.RoundToEven(float64(h)*r)), 1)
		left := int(math.RoundToEven(float64(in.Width-rw)/2 - 0.1))
		top := int(math.RoundToEven(float64(in.Height-rh)/2 - 0.1))
		return placed(in, w, h, rw, rh, max(left, 0), max(top, 0))
	}
}

// ratio is the largest scale at which a w×h picture fits into the input.
func ratio(in models.Input, w, h int) float64 {
	return min(float64(in.Height)/float64(h), float64(in.Width)/float64(w))
}

// placed is the plan that resizes all of a w×h picture to rw×rh and puts it at
// left, top. Sides that round to nothing (a very long picture) become one pixel.
func placed(in models.Input, w, h, rw, rh, left, top int) plan {
	rw, rh = min(max(rw, 1), in.Width), min(max(rh, 1), in.Height)
	left, top = min(left, in.Width-rw), min(top, in.Height-rh)
	return plan{
		source:  image.Rect(0, 0, w, h),
		resized: image.Pt(rw, rh),
		cut:     image.Rect(0, 0, rw, rh),
		target:  image.Rect(left, top, left+rw, top+rh),
		geometry: tensor.Geometry{
			ScaleX: float64(rw) / float64(w), ScaleY: float64(rh) / float64(h),
			PadX: float64(left), PadY: float64(top), Width: w, Height: h,
		},
	}
}

// cropSlack bounds the picture that is resized for a crop: beyond this many
// times the model's side, the source is cut before it is resized.
const cropSlack = 4

// cropped is the plan of torchvision's Resize(size) followed by
// CenterCrop(crop), transforms/functional.py: the resized picture just covers
// size, its longer side cut to whole pixels; the crop's offset is rounded half
// to even. size is the model's side divided by its crop fraction, cut to whole
// pixels as timm does (data/transforms_factory.py). Torchvision resizes with
// antialiasing, which the interpolation "area" comes closest to.
//
// Of a picture so long that most of the resized one would be thrown away, only
// the middle is resized. The grid of samples then shifts by less than a pixel
// of the source; the geometry says where it is.
func cropped(in models.Input, w, h int) plan {
	coverW, coverH := covering(in.Width, in.CropFraction), covering(in.Height, in.CropFraction)
	src := image.Rect(0, 0, w, h)
	rw, rh := cover(coverW, coverH, w, h)
	if limit := cropSlack * coverW; rw > limit {
		src.Min.X, src.Max.X = middle(w, float64(rw)/float64(w), limit)
		rw = int(float64(rw) * float64(src.Dx()) / float64(w))
	}
	if limit := cropSlack * coverH; rh > limit {
		src.Min.Y, src.Max.Y = middle(h, float64(rh)/float64(h), limit)
		rh = int(float64(rh) * float64(src.Dy()) / float64(h))
	}
	rw, rh = max(rw, in.Width), max(rh, in.Height)
	left := int(math.RoundToEven(float64(rw-in.Width) / 2))
	top := int(math.RoundToEven(float64(rh-in.Height) / 2))
	sx, sy := float64(rw)/float64(src.Dx()), float64(rh)/float64(src.Dy())
	return plan{
		source:  src,
		resized: image.Pt(rw, rh),
		cut:     image.Rect(left, top, left+in.Width, top+in.Height),
		target:  image.Rect(0, 0, in.Width, in.Height),
		geometry: tensor.Geometry{
			ScaleX: sx, ScaleY: sy,
			PadX:  -float64(left) - float64(src.Min.X)*sx,
			PadY:  -float64(top) - float64(src.Min.Y)*sy,
			Width: w, Height: h,
		},
	}
}

// covering is the side that a crop of side is taken from.
func covering(side int, fraction float64) int {
	if fraction == 0 {
		return side
	}
	// The small term undoes what division does to fractions like 0.9.
	return max(side, int(math.Floor(float64(side)/fraction+1e-9)))
}

// cover is the size of a w×h picture that just covers cw×ch.
func cover(cw, ch, w, h int) (rw, rh int) {
	if cw*h >= ch*w {
		return cw, max(ch, int(float64(cw)*float64(h)/float64(w)))
	}
	return max(cw, int(float64(ch)*float64(w)/float64(h))), ch
}

// middle is the part of a side of n pixels that becomes about limit pixels at
// scale s.
func middle(n int, s float64, limit int) (lo, hi int) {
	m := min(max(int(math.Ceil(float64(limit)/s)), 1), n)
	lo = (n - m) / 2
	return lo, lo + m
}
