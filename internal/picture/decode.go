package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// ErrNotAPicture is wrapped when a file cannot be decoded.
var ErrNotAPicture = errors.New("not a picture that can be decoded")

// maxPixels bounds what a small file can make the reader reserve.
const maxPixels = 1 << 28

// Decode decodes a JPEG, PNG, WebP, BMP or TIFF file to BGR, upright as its EXIF
// orientation says, without padding between rows. Transparency is left out. The
// error wraps [ErrNotAPicture]; a damaged JPEG fails as a whole.
func Decode(file []byte) (View, error) {
	if len(file) == 0 {
		return View{}, fmt.Errorf("decode image: %w: it is empty", ErrNotAPicture)
	}
	f, ok := formatOf(file)
	if !ok {
		return View{}, fmt.Errorf("decode image: %w: neither JPEG, PNG, WebP, BMP nor TIFF", ErrNotAPicture)
	}
	config, err := f.config(bytes.NewReader(file))
	if err != nil {
		return View{}, fmt.Errorf("decode image: %w: %w", ErrNotAPicture, err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxPixels/config.Height {
		return View{}, fmt.Errorf("decode image: %w: it is %d×%d, and %d million pixels are the most",
			ErrNotAPicture, config.Width, config.Height, maxPixels/1_000_000)
	}
	img, err := f.decode(bytes.NewReader(file))
	if err != nil {
		return View{}, fmt.Errorf("decode image: %w: %w", ErrNotAPicture, err)
	}
	v := fromImage(img, f.name == "webp")
	if f.orientation != nil {
		v = upright(v, f.orientation(file))
	}
	return v, nil
}

// format is a kind of file. The decoders are called directly and not through
// package image, whose buffered reader makes that of TIFF reserve as much
// memory as an offset in the file says.
type format struct {
	name, magic string // ? in magic is any byte
	config      func(io.Reader) (image.Config, error)
	decode      func(io.Reader) (image.Image, error)
	orientation func(file []byte) int
}

func formats() []format {
	return []format{
		{"jpeg", "\xff\xd8", jpeg.DecodeConfig, jpeg.Decode, jpegOrientation},
		{"png", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, pngOrientation},
		{"bmp", "BM????\x00\x00\x00\x00", bmp.DecodeConfig, bmp.Decode, nil},
		{"tiff", "II*\x00", tiff.DecodeConfig, tiff.Decode, nil},
		{"tiff", "MM\x00*", tiff.DecodeConfig, tiff.Decode, nil},
		{"webp", "RIFF????WEBPVP8", webp.DecodeConfig, webp.Decode, nil},
	}
}

func formatOf(file []byte) (format, bool) {
next:
	for _, f := range formats() {
		if len(file) < len(f.magic) {
			continue
		}
		for i, c := range []byte(f.magic) {
			if c != '?' && c != file[i] {
				continue next
			}
		}
		return f, true
	}
	return format{}, false
}

func newBGR(w, h int) View {
	return View{Data: make([]byte, 3*w*h), Width: w, Height: h, Stride: 3 * w, Channels: 3}
}

// fromImage takes the numbers that are stored, as OpenCV does: transparency is
// dropped, not applied, and of 16 bits the upper 8 stay.
func fromImage(img image.Image, webp bool) View {
	b := img.Bounds()
	out := newBGR(b.Dx(), b.Dy())
	switch p := img.(type) {
	case *image.YCbCr:
		fromYCbCr(out, p, webp)
	case *image.NYCbCrA:
		fromYCbCr(out, &p.YCbCr, webp)
	case *image.Gray:
		each(out, func(x, y int) (r, g, b byte) {
			v := p.Pix[y*p.Stride+x]
			return v, v, v
		})
	case *image.Gray16:
		each(out, func(x, y int) (r, g, b byte) {
			v := p.Pix[y*p.Stride+2*x]
			return v, v, v
		})
	case *image.NRGBA:
		fromRGBA(out, p.Pix, p.Stride, 1)
	case *image.RGBA:
		fromRGBA(out, p.Pix, p.Stride, 1)
	case *image.NRGBA64:
		fromRGBA(out, p.Pix, p.Stride, 2)
	case *image.RGBA64:
		fromRGBA(out, p.Pix, p.Stride, 2)
	default:
		each(out, func(x, y int) (r, g, b byte) {
			c := color.NRGBAModel.Convert(img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y)).(color.NRGBA)
			return c.R, c.G, c.B
		})
	}
	return out
}

// fromRGBA takes pixels of four values of size bytes, the upper one first.
// Decoded pictures begin at their first pixel.
func fromRGBA(out View, pix []byte, stride, size int) {
	each(out, func(x, y int) (r, g, b byte) {
		i := y*stride + x*4*size
		return pix[i], pix[i+size], pix[i+2*size]
	})
}

func each(out View, at func(x, y int) (r, g, b byte)) {
	for y := range out.Height {
		row := out.row(y)
		for x := range out.Width {
			r, g, b := at(x, y)
			row[3*x], row[3*x+1], row[3*x+2] = b, g, r
		}
	}
}
