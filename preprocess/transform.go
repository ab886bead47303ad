package preprocess

import (
	"fmt"
	"image"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// Picture is a captured frame in plain memory: row y starts at Data[y*Stride].
// Whoever hands it out says how long the memory is valid.
type Picture struct {
	Data   []byte
	Stride int
	Width  int
	Height int
	Format vedette.PixelFormat
}

// channels is the number of bytes of a pixel, or 0 for an unknown format.
func (p Picture) channels() int {
	switch p.Format {
	case vedette.BGR24:
		return 3
	case vedette.Gray8:
		return 1
	}
	return 0
}

// check makes sure that every pixel is inside Data.
func (p Picture) check() error {
	c := p.channels()
	switch {
	case c == 0:
		return fmt.Errorf("picture has pixel format %q, want %s or %s", p.Format, vedette.BGR24, vedette.Gray8)
	case p.Width <= 0 || p.Height <= 0:
		return fmt.Errorf("picture is empty (%d×%d)", p.Width, p.Height)
	case p.Stride < p.Width*c || len(p.Data) < (p.Height-1)*p.Stride+p.Width*c:
		return fmt.Errorf("picture of %d×%d %s: %d bytes with stride %d are too few", p.Width, p.Height, p.Format, len(p.Data), p.Stride)
	}
	return nil
}

func (p Picture) view() cv.View {
	return cv.View{Data: p.Data, Width: p.Width, Height: p.Height, Stride: p.Stride, Channels: p.channels()}
}

// Transform makes the picture a model takes out of a captured frame: resized,
// padded or cut, in the model's colour order, still 8-bit. It keeps scratch
// memory and the last plan, so it is not safe for concurrent use: make one per
// camera and model.
type Transform struct {
	in      models.Input
	interp  cv.Interp
	scratch []byte

	// The plan depends on the source's size only, which rarely changes.
	planned image.Point
	plan    plan
}

// NewTransform checks the parts of in that concern the picture. What is left
// out means: colour rgb, resize letterbox, interpolation linear.
func NewTransform(in models.Input) (*Transform, error) {
	if in.Width <= 0 || in.Height <= 0 || in.Width > maxSide || in.Height > maxSide {
		return nil, fmt.Errorf("model input: size %d×%d: want 1 to %d pixels each way", in.Width, in.Height, maxSide)
	}
	if in.Pad < 0 || in.Pad > 255 {
		return nil, fmt.Errorf("model input: pad %d: want 0 to 255", in.Pad)
	}
	if in.CropFraction < 0 || in.CropFraction > 1 {
		return nil, fmt.Errorf("model input: crop_fraction %g: want more than 0, up to 1", in.CropFraction)
	}
	t := &Transform{in: in}
	switch in.Color {
	case "":
		t.in.Color = models.RGB
	case models.RGB, models.BGR, models.Gray:
	default:
		return nil, fmt.Errorf("model input: color %q: want rgb, bgr or gray", in.Color)
	}
	switch in.Resize {
	case "":
		t.in.Resize = models.Letterbox
	case models.Letterbox, models.LetterboxTopLeft, models.Stretch, models.Crop:
	default:
		return nil, fmt.Errorf("model input: resize %q: want letterbox, letterbox-topleft, stretch or crop", in.Resize)
	}
	switch in.Interpolation {
	case "", models.Linear:
		t.interp = cv.Linear
	case models.Nearest:
		t.interp = cv.Nearest
	case models.Area:
		t.interp = cv.Area
	case models.Cubic:
		t.interp = cv.Cubic
	default:
		return nil, fmt.Errorf("model input: interpolation %q: want nearest, linear, area or cubic", in.Interpolation)
	}
	return t, nil
}

// maxSide bounds a model's input; it keeps sizes far from overflow.
const maxSide = 1 << 14

// Size is the number of bytes of the pictures that Apply makes: height × width
// × channels.
func (t *Transform) Size() int { return t.in.Width * t.in.Height * t.in.Channels() }

// Apply fills all of dst, which must have [Transform.Size] bytes, with the
// model's picture of src, rows of pixels of channels in the model's colour
// order, and says how its coordinates map back to src. The memory of dst may be
// anything, also a slot of a message or a ring; src is only read. An error
// names what is wrong with the picture; the Transform stays usable.
func (t *Transform) Apply(dst []byte, src Picture) (tensor.Geometry, error) {
	if err := src.check(); err != nil {
		return tensor.Geometry{}, fmt.Errorf("preprocess: %w", err)
	}
	if len(dst) != t.Size() {
		return tensor.Geometry{}, fmt.Errorf("preprocess: destination has %d bytes, want %d", len(dst), t.Size())
	}
	if size := image.Pt(src.Width, src.Height); size != t.planned {
		t.plan, t.planned = makePlan(t.in, src.Width, src.Height), size
	}
	p := &t.plan
	ch := t.in.Channels()
	out := cv.View{Data: dst, Width: t.in.Width, Height: t.in.Height, Stride: t.in.Width * ch, Channels: ch}
	// The border is painted every time: it costs some microseconds, and
	// remembering what a caller's memory last held would not survive pooling.
	paintBorder(out, p.target, byte(t.in.Pad))
	if err := t.render(out.Region(p.target), src.view().Region(p.source)); err != nil {
		return tensor.Geometry{}, fmt.Errorf("preprocess picture of %d×%d: %w", src.Width, src.Height, err)
	}
	return p.geometry, nil
}

// render resizes src to the plan's size, takes the cut of it, and leaves it in
// dst in the model's colours. Without a cut or a change of colour OpenCV
// writes into dst itself.
func (t *Transform) render(dst, src cv.View) error {
	p := &t.plan
	conv, needed := t.conversion(src.Channels)
	direct := p.resized == p.cut.Size()
	if direct && !needed && src.Width == dst.Width && src.Height == dst.Height {
		copyRows(dst, src) // nothing to resize, whatever the interpolation
		return nil
	}
	if direct && !needed {
		return cv.Resize(dst, src, t.interp)
	}
	small := t.scratchView(p.resized, src.Channels)
	if err := cv.Resize(small, src, t.interp); err != nil {
		return err
	}
	small = small.Region(p.cut)
	if needed {
		return cv.Convert(dst, small, conv)
	}
	copyRows(dst, small)
	return nil
}

// copyRows copies a picture into one of the same size.
func copyRows(dst, src cv.View) {
	n := dst.Width * dst.Channels
	for y := range dst.Height {
		copy(dst.Data[y*dst.Stride:][:n], src.Data[y*src.Stride:])
	}
}

// conversion is how to get from a source of that many channels to the model's
// colours, if anything is needed at all.
func (t *Transform) conversion(channels int) (c cv.Conversion, needed bool) {
	switch {
	case t.in.Color == models.Gray:
		return cv.BGRToGray, channels == 3
	case channels == 1:
		return cv.GrayToBGR, true
	default:
		return cv.SwapRB, t.in.Color == models.RGB
	}
}

func (t *Transform) scratchView(size image.Point, channels int) cv.View {
	n := size.X * size.Y * channels
	if cap(t.scratch) < n {
		t.scratch = make([]byte, n)
	}
	return cv.View{Data: t.scratch[:n], Width: size.X, Height: size.Y, Stride: size.X * channels, Channels: channels}
}

// paintBorder sets what of v lies outside of inner to level.
func paintBorder(v cv.View, inner image.Rectangle, level byte) {
	fill(v.Data[:inner.Min.Y*v.Stride], level)
	fill(v.Data[inner.Max.Y*v.Stride:], level)
	if inner.Min.X == 0 && inner.Max.X == v.Width {
		return
	}
	left, right := inner.Min.X*v.Channels, inner.Max.X*v.Channels
	for y := inner.Min.Y; y < inner.Max.Y; y++ {
		row := v.Data[y*v.Stride:][:v.Stride]
		fill(row[:left], level)
		fill(row[right:], level)
	}
}

// fill sets every byte of b to level, by copies that double.
func fill(b []byte, level byte) {
	if len(b) == 0 {
		return
	}
	b[0] = level
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
