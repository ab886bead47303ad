package cv

import "github.com/vedette-io/vedette/internal/picture"

// View is a picture in plain memory. It is how pictures go in and out of this
// package, so that no caller needs a type of OpenCV.
type View = picture.View

// Interp is how [Resize] samples.
type Interp = picture.Interp

// The interpolations, with OpenCV's meaning. Area averages when it shrinks.
const (
	Nearest = picture.Nearest
	Linear  = picture.Linear
	Area    = picture.Area
	Cubic   = picture.Cubic
)

// Conversion is a change of colour.
type Conversion = picture.Conversion

// The conversions of [Convert].
const (
	SwapRB    = picture.SwapRB    // BGR to RGB or back
	BGRToGray = picture.BGRToGray // ITU-R BT.601 luma, as OpenCV rounds it
	GrayToBGR = picture.GrayToBGR // three equal channels
)
