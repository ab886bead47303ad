package picture

import (
	"fmt"
	"image"
)

// View is a picture in plain memory: Height rows of Width pixels of Channels
// interleaved bytes, row y starting at Data[y*Stride]. The memory may be Go's or
// mapped.
type View struct {
	Data     []byte
	Width    int
	Height   int
	Stride   int
	Channels int // 1 (grey) or 3
}

// Region is the part r of v, over the same memory. A region outside of v is
// returned as it is asked for and refused when it is used.
func (v View) Region(r image.Rectangle) View {
	off := r.Min.Y*v.Stride + r.Min.X*v.Channels
	if !r.In(image.Rect(0, 0, v.Width, v.Height)) || off > len(v.Data) {
		return View{Channels: v.Channels}
	}
	return View{Data: v.Data[off:], Width: r.Dx(), Height: r.Dy(), Stride: v.Stride, Channels: v.Channels}
}

// Check makes sure that the sizes of v can be taken at their word; what says in
// the error which picture it is.
func (v View) Check(what string) error {
	switch {
	case v.Width <= 0 || v.Height <= 0:
		return fmt.Errorf("%s picture is empty (%d×%d)", what, v.Width, v.Height)
	case v.Channels != 1 && v.Channels != 3:
		return fmt.Errorf("%s picture has %d channels, want 1 or 3", what, v.Channels)
	case v.Stride < v.Width*v.Channels:
		return fmt.Errorf("%s picture: stride %d is less than a row of %d×%d bytes", what, v.Stride, v.Width, v.Channels)
	case len(v.Data) < (v.Height-1)*v.Stride+v.Width*v.Channels:
		return fmt.Errorf("%s picture: %d bytes are too few for %d rows of stride %d", what, len(v.Data), v.Height, v.Stride)
	}
	return nil
}

// Interp is how [Resize] samples.
type Interp int

// The interpolations, with OpenCV's meaning. Area averages when it shrinks.
const (
	Nearest Interp = iota
	Linear
	Area
	Cubic
)

// Conversion is a change of colour.
type Conversion int

// The conversions of [Convert].
const (
	SwapRB    Conversion = iota // BGR to RGB or back
	BGRToGray                   // ITU-R BT.601 luma, as OpenCV rounds it
	GrayToBGR                   // three equal channels
)

// channels are those of source and destination.
func (c Conversion) channels() (src, dst int) {
	switch c {
	case BGRToGray:
		return 3, 1
	case GrayToBGR:
		return 1, 3
	default:
		return 3, 3
	}
}

// CheckResize says what is wrong with the arguments of [Resize].
func CheckResize(dst, src View) error {
	if err := src.Check("source"); err != nil {
		return err
	}
	if err := dst.Check("destination"); err != nil {
		return err
	}
	if dst.Channels != src.Channels {
		return fmt.Errorf("source has %d channels, destination %d", src.Channels, dst.Channels)
	}
	return nil
}

// CheckConvert says what is wrong with the arguments of [Convert].
func CheckConvert(dst, src View, c Conversion) error {
	if err := src.Check("source"); err != nil {
		return err
	}
	if err := dst.Check("destination"); err != nil {
		return err
	}
	s, d := c.channels()
	if src.Channels != s || dst.Channels != d || src.Width != dst.Width || src.Height != dst.Height {
		return fmt.Errorf("cannot convert %d×%d with %d channels to %d×%d with %d: want equal sizes and %d to %d channels",
			src.Width, src.Height, src.Channels, dst.Width, dst.Height, dst.Channels, s, d)
	}
	return nil
}
