//go:build cv

package cv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/cv"
)

func view(w, h, channels, stride int, at func(x, y, c int) byte) cv.View {
	v := cv.View{Data: make([]byte, (h-1)*stride+w*channels), Width: w, Height: h, Stride: stride, Channels: channels}
	for y := range h {
		for x := range w {
			for c := range channels {
				v.Data[y*stride+x*channels+c] = at(x, y, c)
			}
		}
	}
	return v
}

func flat(level byte) func(x, y, c int) byte { return func(_, _, _ int) byte { return level } }

// TestResizeIntoRegion scales between pictures of every kind of stride and
// must leave the pixels around the region alone.
func TestResizeIntoRegion(t *testing.T) {
	for _, channels := range []int{1, 3} {
		for _, extra := range []int{0, 1, 3, 64} {
			src := view(20, 10, channels, 20*channels+extra, flat(200))
			dst := view(16, 16, channels, 16*channels+extra, flat(7))
			inner := image.Rect(3, 4, 13, 9)
			if err := cv.Resize(dst.Region(inner), src, cv.Linear); err != nil {
				t.Fatal(err)
			}
			for y := range 16 {
				for x := range 16 {
					want := byte(7)
					if image.Pt(x, y).In(inner) {
						want = 200
					}
					for c := range channels {
						if got := dst.Data[y*dst.Stride+x*channels+c]; got != want {
							t.Fatalf("%d channels, %d extra: pixel %d,%d is %d, want %d", channels, extra, x, y, got, want)
						}
					}
				}
			}
		}
	}
}

func TestResizeInterpolations(t *testing.T) {
	src := view(8, 1, 1, 8, func(x, _, _ int) byte { return []byte{0, 0, 0, 90, 180, 180, 180, 180}[x] })
	for name, c := range map[string]struct {
		interp cv.Interp
		want   []byte
	}{
		"nearest": {cv.Nearest, []byte{0, 180}},
		"linear":  {cv.Linear, []byte{0, 180}},   // between the two pixels in the middle
		"area":    {cv.Area, []byte{23, 180}},    // the average of all four (22.5)
		"cubic":   {cv.Cubic, []byte{0xff, 180}}, // overshoots; only the right half is checked
	} {
		dst := view(2, 1, 1, 2, flat(1))
		if err := cv.Resize(dst, src, c.interp); err != nil {
			t.Fatal(err)
		}
		if name == "cubic" {
			c.want[0] = dst.Data[0]
		}
		if d := int(dst.Data[0]) - int(c.want[0]); d < -1 || d > 1 || dst.Data[1] != c.want[1] {
			t.Errorf("%s: got %v, want %v", name, dst.Data, c.want)
		}
	}
}

func TestConvert(t *testing.T) {
	bgr := func(_, _, c int) byte { return []byte{10, 100, 200}[c] }
	for name, c := range map[string]struct {
		conv cv.Conversion
		src  cv.View
		want []byte
	}{
		"swap":    {cv.SwapRB, view(70, 3, 3, 211, bgr), []byte{200, 100, 10}},
		"to gray": {cv.BGRToGray, view(70, 3, 3, 211, bgr), []byte{120}},
		"to bgr":  {cv.GrayToBGR, view(70, 3, 1, 71, flat(9)), []byte{9, 9, 9}},
	} {
		ch := len(c.want)
		dst := view(70, 3, ch, 70*ch+2, flat(0))
		if err := cv.Convert(dst, c.src, c.conv); err != nil {
			t.Fatal(err)
		}
		for x := range 70 {
			if got := dst.Data[2*dst.Stride+x*ch:][:ch]; !bytes.Equal(got, c.want) {
				t.Fatalf("%s: pixel %d is %v, want %v", name, x, got, c.want)
			}
		}
	}
}

// TestBadViews hands over pictures that would make OpenCV read or write
// outside of their memory.
func TestBadViews(t *testing.T) {
	good := view(4, 4, 3, 12, flat(0))
	gray := view(4, 4, 1, 4, flat(0))
	for name, c := range map[string]struct {
		v    cv.View
		want string
	}{
		"zero":     {cv.View{}, "empty"},
		"short":    {cv.View{Data: make([]byte, 47), Width: 4, Height: 4, Stride: 12, Channels: 3}, "47 bytes are too few"},
		"stride":   {cv.View{Data: make([]byte, 48), Width: 4, Height: 4, Stride: 11, Channels: 3}, "stride 11"},
		"channels": {cv.View{Data: make([]byte, 48), Width: 4, Height: 4, Stride: 12, Channels: 2}, "2 channels"},
		"outside":  {good.Region(image.Rect(0, 0, 5, 4)), "empty"},
		"before":   {good.Region(image.Rect(-1, 0, 3, 4)), "empty"},
	} {
		for call, err := range map[string]error{
			"resize from":  cv.Resize(good, c.v, cv.Linear),
			"resize to":    cv.Resize(c.v, good, cv.Linear),
			"convert":      cv.Convert(good, c.v, cv.SwapRB),
			"draw":         cv.DrawBoxes(c.v, nil),
			"encode":       encodeErr(c.v),
			"convert back": cv.Convert(c.v, good, cv.SwapRB),
		} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: error %v, want one with %q", name, call, err, c.want)
			}
		}
	}
	if err := cv.Resize(good, gray, cv.Linear); err == nil {
		t.Error("resize of grey into colour: no error")
	}
	if err := cv.Convert(good, good, cv.BGRToGray); err == nil {
		t.Error("conversion to grey into colour: no error")
	}
}

func encodeErr(v cv.View) error {
	_, err := cv.EncodeJPEG(nil, v, 80)
	return err
}

func TestJPEGRoundTrip(t *testing.T) {
	src := view(64, 48, 3, 200, func(x, y, c int) byte { return byte(3*x + y + 20*c) })
	prefix := []byte("kept")
	got, err := cv.EncodeJPEG(prefix, src, 95)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, prefix) {
		t.Fatal("the bytes before were not kept")
	}
	if _, err := jpeg.Decode(bytes.NewReader(got[4:])); err != nil {
		t.Fatalf("another decoder: %v", err)
	}
	back, err := cv.DecodeImage(got[4:])
	if err != nil {
		t.Fatal(err)
	}
	if back.Width != 64 || back.Height != 48 || back.Channels != 3 || back.Stride != 192 {
		t.Fatalf("decoded %d×%d, %d channels, stride %d", back.Width, back.Height, back.Channels, back.Stride)
	}
	sum := 0.0
	for y := range 48 {
		for i := range 192 {
			sum += math.Abs(float64(back.Data[y*192+i]) - float64(src.Data[y*200+i]))
		}
	}
	if mean := sum / (48 * 192); mean > 4 {
		t.Errorf("mean error %.2f levels", mean)
	}
}

// TestDecodeImageOrientation turns a picture as its EXIF data asks: 6 means
// that the camera was held upright.
func TestDecodeImageOrientation(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 32, 16))
	for y := range 16 {
		for x := range 32 {
			c := color.RGBA{B: 255, A: 255}
			if x < 16 {
				c = color.RGBA{R: 255, A: 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	v, err := cv.DecodeImage(withOrientation(plain.Bytes(), 6))
	if err != nil {
		t.Fatal(err)
	}
	if v.Width != 16 || v.Height != 32 {
		t.Fatalf("decoded %d×%d, want 16×32", v.Width, v.Height)
	}
	if top := v.Data[2*v.Stride+3*8:]; top[2] < 200 || top[0] > 60 {
		t.Errorf("top is BGR %v, want red", top[:3])
	}
}

// withOrientation puts an EXIF segment behind the start of a JPEG.
func withOrientation(file []byte, o uint16) []byte {
	tiff := []byte("II*\x00\x08\x00\x00\x00")
	tiff = binary.LittleEndian.AppendUint16(tiff, 1) // one entry
	for _, v := range []uint16{0x0112, 3, 1, 0, o, 0} {
		tiff = binary.LittleEndian.AppendUint16(tiff, v)
	}
	tiff = append(tiff, 0, 0, 0, 0)
	seg := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, byte((len(seg)+2)>>8), byte(len(seg)+2))
	return append(append(out, seg...), file[2:]...)
}

func TestDecodeImageKinds(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 3, 2))
	gray.Pix[0] = 250
	var file bytes.Buffer
	if err := png.Encode(&file, gray); err != nil {
		t.Fatal(err)
	}
	v, err := cv.DecodeImage(file.Bytes())
	if err != nil || v.Channels != 3 || !bytes.Equal(v.Data[:6], []byte{250, 250, 250, 0, 0, 0}) {
		t.Errorf("grey PNG: %+v, %v", v, err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("not a picture\n"), "cut header": file.Bytes()[:20],
		"JPEG start only": {0xff, 0xd8, 0xff, 0xe0},
	} {
		if v, err := cv.DecodeImage(data); !errors.Is(err, cv.ErrNotAPicture) {
			t.Errorf("%s: error %v, %d×%d, want ErrNotAPicture", name, err, v.Width, v.Height)
		}
	}
}

func FuzzDecodeImage(f *testing.F) {
	jpg, err := cv.EncodeJPEG(nil, view(8, 8, 3, 24, flat(99)), 80)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jpg)
	f.Add([]byte("BM"))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			t.Skip()
		}
		if v, err := cv.DecodeImage(data); err == nil && len(v.Data) != v.Width*v.Height*3 {
			t.Errorf("%d bytes for %d×%d", len(v.Data), v.Width, v.Height)
		}
	})
}

// TestDrawBoxes draws on pictures of many sizes, with boxes beyond all edges.
func TestDrawBoxes(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {3, 200}, {64, 48}, {640, 360}, {1920, 1080}, {3840, 2160}} {
		v := view(size.X, size.Y, 3, 3*size.X+7, flat(0))
		w, h := float64(size.X), float64(size.Y)
		err := cv.DrawBoxes(v, []cv.Mark{
			{Box: [4]float64{w / 4, h / 2, w / 2, h * 3 / 4}, Text: "person 0.91", Color: 0},
			{Box: [4]float64{-50, -50, w + 1e9, h + 1e9}, Text: "hélice\n", Color: -3},
			{Box: [4]float64{w, h, w, h}, Text: strings.Repeat("long ", 100), Color: 1e9},
			{Box: [4]float64{math.Inf(-1), 0, math.Inf(1), 1}},
		})
		if err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		lit := 0
		for _, p := range v.Data {
			if p != 0 {
				lit++
			}
		}
		if lit == 0 {
			t.Errorf("%v: nothing was drawn", size)
		}
		for y := range size.Y - 1 { // bytes between rows belong to nobody
			if gap := v.Data[y*v.Stride+3*size.X:][:7]; !bytes.Equal(gap, make([]byte, 7)) {
				t.Fatalf("%v: drawn outside of row %d", size, y)
			}
		}
	}
	if err := cv.DrawBoxes(view(9, 9, 3, 27, flat(0)), []cv.Mark{{Box: [4]float64{math.NaN(), 0, 1, 1}}}); err == nil {
		t.Error("a box of NaN: no error")
	}
	if err := cv.DrawBoxes(view(9, 9, 1, 9, flat(0)), nil); err == nil {
		t.Error("a grey picture: no error")
	}
}

func TestDrawCaptionAboveBox(t *testing.T) {
	v := view(640, 360, 3, 1920, flat(40))
	if err := cv.DrawBoxes(v, []cv.Mark{{Box: [4]float64{100, 100, 300, 300}, Text: "car 0.87", Color: 3}}); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for y := 80; y < 99; y++ {
		for x := 100; x < 200; x++ {
			if v.Data[y*v.Stride+3*x] != 40 {
				changed++
			}
		}
	}
	if changed < 300 {
		t.Errorf("%d pixels drawn above the box, want a caption", changed)
	}
}
