//go:build cv

package cv

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"github.com/vedette-io/vedette/internal/picture"
)

// SetThreads bounds the threads of one OpenCV call, for the whole process.
// Workers that run in parallel set 1.
func SetThreads(n int) { gocv.SetNumThreads(n) }

// Resize scales src into all of dst, in place: with a dst that is a
// [View.Region] of a larger picture the pixels around it stay. The memory of
// src and dst must not overlap. Safe for concurrent use on different dst.
func Resize(dst, src View, interp Interp) error {
	if err := picture.CheckResize(dst, src); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return withMats(dst, src, func(d *gocv.Mat, s gocv.Mat) error {
		if err := gocv.Resize(s, d, image.Pt(dst.Width, dst.Height), 0, 0, flagOf(interp)); err != nil {
			return fmt.Errorf("resize %d×%d to %d×%d: %w", src.Width, src.Height, dst.Width, dst.Height, err)
		}
		return nil
	})
}

// Convert changes the colours of src into dst, a picture of the same size in
// other memory.
func Convert(dst, src View, c Conversion) error {
	if err := picture.CheckConvert(dst, src, c); err != nil {
		return fmt.Errorf("convert colour: %w", err)
	}
	return withMats(dst, src, func(d *gocv.Mat, s gocv.Mat) error {
		if err := gocv.CvtColor(s, d, codeOf(c)); err != nil {
			return fmt.Errorf("convert colour: %w", err)
		}
		return nil
	})
}

// EncodeJPEG appends the JPEG of a BGR or grey picture to dst; quality is
// 1..100.
func EncodeJPEG(dst []byte, v View, quality int) ([]byte, error) {
	if err := v.Check("encode JPEG: source"); err != nil {
		return dst, err
	}
	m, err := newMat(v)
	if err != nil {
		return dst, fmt.Errorf("encode JPEG: %w", err)
	}
	defer m.Close()
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, m, []int{gocv.IMWriteJpegQuality, quality})
	if err != nil {
		return dst, fmt.Errorf("encode JPEG of %d×%d: %w", v.Width, v.Height, err)
	}
	defer buf.Close()
	if buf.Len() == 0 {
		return dst, fmt.Errorf("encode JPEG of %d×%d: the encoder gave nothing", v.Width, v.Height)
	}
	return append(dst, buf.GetBytes()...), nil
}

// DecodeImage decodes a JPEG, PNG, WebP, BMP or TIFF file to BGR, upright as
// its EXIF orientation says, without padding between rows. What is no picture
// fails with [ErrNotAPicture]; of a damaged JPEG there may be a part, the rest
// grey.
func DecodeImage(file []byte) (View, error) {
	if len(file) == 0 {
		return View{}, fmt.Errorf("decode image: %w: it is empty", ErrNotAPicture)
	}
	m := gocv.NewMat()
	defer m.Close()
	if err := gocv.IMDecodeIntoMat(file, gocv.IMReadColor, &m); err != nil {
		return View{}, fmt.Errorf("decode image: %w: %w", ErrNotAPicture, err)
	}
	if m.Empty() {
		return View{}, fmt.Errorf("decode image: %w", ErrNotAPicture)
	}
	return View{Data: m.ToBytes(), Width: m.Cols(), Height: m.Rows(), Stride: 3 * m.Cols(), Channels: 3}, nil
}

// withMats lends f the two pictures as Mats over their own memory.
func withMats(dst, src View, f func(d *gocv.Mat, s gocv.Mat) error) error {
	s, err := newMat(src)
	if err != nil {
		return err
	}
	defer s.Close()
	d, err := newMat(dst)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(&d, s)
}

// newMat is a Mat over v's memory; v must have passed check. GoCV cannot give
// a Mat a stride, so that rows with padding are taken as one channel of stride
// columns, cut to the pixels' bytes, and those bundled into channels.
func newMat(v View) (gocv.Mat, error) {
	typ := gocv.MatTypeCV8UC1
	if v.Channels == 3 {
		typ = gocv.MatTypeCV8UC3
	}
	if v.Stride == v.Width*v.Channels || v.Height == 1 {
		return gocv.NewMatFromBytes(v.Height, v.Width, typ, v.Data)
	}
	rows, err := gocv.NewMatFromBytes(v.Height, v.Stride, gocv.MatTypeCV8UC1, v.Data)
	if err != nil {
		return gocv.Mat{}, err
	}
	defer rows.Close()
	cut := rows.Region(image.Rect(0, 0, v.Width*v.Channels, v.Height))
	if v.Channels == 1 {
		return cut, nil
	}
	defer cut.Close()
	m := cut.Reshape(v.Channels, 0)
	if m.Cols() != v.Width || m.Rows() != v.Height {
		m.Close()
		return gocv.Mat{}, fmt.Errorf("view of %d×%d with stride %d: refused by OpenCV", v.Width, v.Height, v.Stride)
	}
	return m, nil
}

func flagOf(i Interp) gocv.InterpolationFlags {
	switch i {
	case Nearest:
		return gocv.InterpolationNearestNeighbor
	case Area:
		return gocv.InterpolationArea
	case Cubic:
		return gocv.InterpolationCubic
	default:
		return gocv.InterpolationLinear
	}
}

func codeOf(c Conversion) gocv.ColorConversionCode {
	switch c {
	case BGRToGray:
		return gocv.ColorBGRToGray
	case GrayToBGR:
		return gocv.ColorGrayToBGR
	default:
		return gocv.ColorBGRToRGB
	}
}
