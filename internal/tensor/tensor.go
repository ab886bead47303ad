// Package tensor holds what preprocess and infer agree on: the model-sized
// picture that travels between them and how its coordinates map back to the
// captured frame.
package tensor

import "github.com/vedette-io/vedette"

// Geometry maps a model-sized picture back to the frame it was made from:
// frame = (model - Pad) / Scale, in pixel-edge coordinates.
type Geometry struct {
	ScaleX float64 `json:"scale_x"`
	ScaleY float64 `json:"scale_y"`
	PadX   float64 `json:"pad_x"` // negative for a crop
	PadY   float64 `json:"pad_y"`
	Width  int     `json:"width"` // of the captured frame
	Height int     `json:"height"`
}

// ToFrame maps a box [x1 y1 x2 y2] of the model-sized picture to the captured
// frame and clips it there.
func (g Geometry) ToFrame(b vedette.Box) vedette.Box {
	w, h := float64(g.Width), float64(g.Height)
	return vedette.Box{
		min(max((b[0]-g.PadX)/g.ScaleX, 0), w),
		min(max((b[1]-g.PadY)/g.ScaleY, 0), h),
		min(max((b[2]-g.PadX)/g.ScaleX, 0), w),
		min(max((b[3]-g.PadY)/g.ScaleY, 0), h),
	}
}

// Normalize divides a box in frame pixels by the frame's size.
func (g Geometry) Normalize(b vedette.Box) vedette.Box {
	w, h := float64(g.Width), float64(g.Height)
	return vedette.Box{b[0] / w, b[1] / h, b[2] / w, b[3] / h}
}
