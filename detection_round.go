package vedette

import "math"

// Decimals of the numbers in a message. Pixels have two: a hundredth of a pixel
// is far below what a detector can tell; normalised coordinates have what that
// is in the widest picture; times have microseconds.
const (
	pixelDecimals = 2
	normDecimals  = 6
	scoreDecimals = 6
	timeDecimals  = 3
)

// Round cuts the numbers of d to the decimals that a message carries, so that
// nobody is shown 16.830999999999996. It changes objects and classes in place.
func (d *Detection) Round() {
	d.PTSMillis = round(d.PTSMillis, timeDecimals)
	t := &d.Timing
	for _, v := range []*float64{&t.Capture, &t.Preprocess, &t.Queue, &t.Infer, &t.Postprocess, &t.Total} {
		*v = round(*v, timeDecimals)
	}
	if d.Objects != nil {
		for i := range *d.Objects {
			o := &(*d.Objects)[i]
			o.Score = round(o.Score, scoreDecimals)
			for k := range o.Box {
				o.Box[k] = round(o.Box[k], pixelDecimals)
				o.BoxNorm[k] = round(o.BoxNorm[k], normDecimals)
			}
		}
	}
	if d.Classes != nil {
		for i := range *d.Classes {
			c := &(*d.Classes)[i]
			c.Score = round(c.Score, scoreDecimals)
		}
	}
}

func round(v float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(v*scale) / scale
}
