//go:build cv

package preprocess_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// scene is the synthetic picture of testdata/gen/transforms.py.
func scene(w, h int) preprocess.Picture {
	p := preprocess.Picture{Data: make([]byte, 3*w*h), Stride: 3 * w, Width: w, Height: h, Format: vedette.BGR24}
	for y := range h {
		for x := range w {
			d := p.Data[y*p.Stride+3*x:]
			d[0] = byte(x * 255 / max(w-1, 1))
			d[1] = byte(y * 255 / max(h-1, 1))
			d[2] = byte((x/9+y/7)&1*160 + (x*y/64)%64)
		}
	}
	return p
}

// strided is p with unused bytes after each row, as a ring may have them.
func strided(p preprocess.Picture, extra int) preprocess.Picture {
	row := len(p.Data) / p.Height
	q := p
	q.Stride = row + extra
	q.Data = bytes.Repeat([]byte{0xaa}, (p.Height-1)*q.Stride+row) // none after the last
	for y := range p.Height {
		copy(q.Data[y*q.Stride:], p.Data[y*p.Stride:][:row])
	}
	return q
}

// references are the inputs whose reference implementations made
// testdata/transforms.json.
var references = map[string]models.Input{
	"yolox":       {Color: models.BGR, Resize: models.LetterboxTopLeft, Pad: 114},
	"ultralytics": {Color: models.RGB, Resize: models.Letterbox, Pad: 114},
	"imagenet":    {Color: models.RGB, Resize: models.Crop, CropFraction: 0.875, Interpolation: models.Area},
	"ultraface":   {Color: models.RGB, Resize: models.Stretch},
	"grey":        {Color: models.Gray, Resize: models.Stretch},
	"cubic":       {Color: models.BGR, Resize: models.Stretch, Interpolation: models.Cubic},
	"nearest":     {Color: models.BGR, Resize: models.Stretch, Interpolation: models.Nearest},
}

func TestTransformReferences(t *testing.T) {
	file, err := os.ReadFile("testdata/transforms.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name        string
		Width       int
		Height      int
		ModelWidth  int `json:"model_width"`
		ModelHeight int `json:"model_height"`
		Sum         int
		Sample      string
	}
	if err := json.Unmarshal(file, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%dx%d", c.Name, c.Width, c.Height), func(t *testing.T) {
			in, ok := references[c.Name]
			if !ok {
				t.Fatal("no such reference")
			}
			in.Width, in.Height = c.ModelWidth, c.ModelHeight
			tr, err := preprocess.NewTransform(in)
			if err != nil {
				t.Fatal(err)
			}
			got := bytes.Repeat([]byte{0x55}, tr.Size())
			if _, err := tr.Apply(got, scene(c.Width, c.Height)); err != nil {
				t.Fatal(err)
			}
			compareSample(t, got, in, c.Sample, c.Sum)
			again := make([]byte, tr.Size())
			if _, err := tr.Apply(again, strided(scene(c.Width, c.Height), 5)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, again) {
				t.Error("a picture with padded rows gives another result")
			}
		})
	}
}

// compareSample allows two grey levels at a pixel (OpenCV's versions differ by
// one, and grey is converted after the resize) and half a level on average.
func compareSample(t *testing.T, got []byte, in models.Input, sample string, sum int) {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(sample)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	ch, worst, i := in.Channels(), 0, 0
	for y := 0; y < in.Height; y += 13 {
		for x := 0; x < in.Width; x += 11 {
			for c := range ch {
				d := int(got[(y*in.Width+x)*ch+c]) - int(want[i])
				worst = max(worst, d, -d)
				i++
			}
		}
	}
	total := 0
	for _, p := range got {
		total += int(p)
	}
	mean := math.Abs(float64(total-sum)) / float64(len(got))
	t.Logf("worst difference %d levels, mean level off by %.4f", worst, mean)
	if i != len(want) || worst > 2 || mean > 0.5 {
		t.Errorf("sample of %d values (want %d) is up to %d levels off, the mean level by %.3f", i, len(want), worst, mean)
	}
}

// TestTransformColours checks every way from a captured format to the model's
// colours on a picture of one colour, and the border's level.
func TestTransformColours(t *testing.T) {
	bgr := preprocess.Picture{Data: bytes.Repeat([]byte{10, 100, 200}, 8*4), Stride: 24, Width: 8, Height: 4, Format: vedette.BGR24}
	gray := preprocess.Picture{Data: bytes.Repeat([]byte{77}, 8*4), Stride: 8, Width: 8, Height: 4, Format: vedette.Gray8}
	const luma = 120 // 0.114*10 + 0.587*100 + 0.299*200, rounded
	for _, c := range []struct {
		name  string
		src   preprocess.Picture
		color models.Color
		want  []byte
	}{
		{"bgr to rgb", bgr, models.RGB, []byte{200, 100, 10}},
		{"bgr to bgr", bgr, models.BGR, []byte{10, 100, 200}},
		{"bgr to gray", bgr, models.Gray, []byte{luma}},
		{"gray to rgb", gray, models.RGB, []byte{77, 77, 77}},
		{"gray to bgr", gray, models.BGR, []byte{77, 77, 77}},
		{"gray to gray", gray, models.Gray, []byte{77}},
	} {
		for _, resize := range []models.Resize{models.Letterbox, models.LetterboxTopLeft, models.Stretch, models.Crop} {
			t.Run(c.name+"/"+string(resize), func(t *testing.T) {
				tr, err := preprocess.NewTransform(models.Input{Width: 16, Height: 16, Color: c.color, Resize: resize, Pad: 3})
				if err != nil {
					t.Fatal(err)
				}
				dst := bytes.Repeat([]byte{0xee}, tr.Size())
				if _, err := tr.Apply(dst, c.src); err != nil {
					t.Fatal(err)
				}
				top, bottom := 0, 16 // rows of the picture
				switch resize {
				case models.Letterbox:
					top, bottom = 4, 12
				case models.LetterboxTopLeft:
					bottom = 8
				}
				ch := len(c.want)
				for i, got := range dst {
					want := c.want[i%ch]
					if y := i / ch / 16; y < top || y >= bottom {
						want = 3
					}
					if got != want {
						t.Fatalf("byte %d is %d, want %d", i, got, want)
					}
				}
			})
		}
	}
}

// TestTransformSideBorders pads left and right, and repaints when the shape of
// the source changes on the same memory.
func TestTransformSideBorders(t *testing.T) {
	tr, err := preprocess.NewTransform(models.Input{Width: 8, Height: 8, Color: models.Gray, Pad: 9})
	if err != nil {
		t.Fatal(err)
	}
	white := func(w, h int) preprocess.Picture {
		return preprocess.Picture{Data: bytes.Repeat([]byte{255}, w*h), Stride: w, Width: w, Height: h, Format: vedette.Gray8}
	}
	dst := make([]byte, 64)
	for _, c := range []struct{ w, h, left, top, right, bottom int }{
		{16, 8, 0, 2, 8, 6}, {8, 16, 2, 0, 6, 8}, {8, 8, 0, 0, 8, 8}, {5, 8, 1, 0, 6, 8}, {8, 1, 0, 3, 8, 4},
	} {
		if _, err := tr.Apply(dst, white(c.w, c.h)); err != nil {
			t.Fatal(err)
		}
		for i, got := range dst {
			x, y, want := i%8, i/8, byte(9)
			if x >= c.left && x < c.right && y >= c.top && y < c.bottom {
				want = 255
			}
			if got != want {
				t.Fatalf("source %d×%d: pixel %d,%d is %d, want %d", c.w, c.h, x, y, got, want)
			}
		}
	}
}

// TestTransformExtremes runs shapes no camera has: they give a picture whose
// geometry maps its own target back onto the frame.
func TestTransformExtremes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {20000, 20}, {20, 20000}, {1, 4000}, {4000, 1}, {2, 3}, {7681, 4321}} {
		for _, resize := range []models.Resize{models.Letterbox, models.LetterboxTopLeft, models.Stretch, models.Crop} {
			for _, ip := range []models.Interpolation{models.Nearest, models.Linear, models.Area, models.Cubic} {
				in := models.Input{Width: 64, Height: 48, Color: models.RGB, Resize: resize, Interpolation: ip}
				tr, err := preprocess.NewTransform(in)
				if err != nil {
					t.Fatal(err)
				}
				src := preprocess.Picture{Data: make([]byte, size[0]*size[1]*3), Stride: size[0] * 3, Width: size[0], Height: size[1], Format: vedette.BGR24}
				if g, err := tr.Apply(make([]byte, tr.Size()), src); err != nil || !(g.ScaleX > 0) || !(g.ScaleY > 0) {
					t.Errorf("%dx%d %s %s: geometry %+v, error %v", size[0], size[1], resize, ip, g, err)
				}
			}
		}
	}
}

// TestTransformPlacesPixels draws a bright rectangle into the frame, finds it
// in the model's picture, and maps it back: that ties the geometry to the
// pixels, not only to itself.
func TestTransformPlacesPixels(t *testing.T) {
	frames := []struct{ w, h, x1, y1, x2, y2 int }{
		{1920, 1080, 800, 300, 1100, 700}, {640, 480, 250, 190, 400, 300}, {333, 517, 120, 200, 220, 330},
		{2000, 90, 985, 20, 1015, 70}, {450, 2000, 120, 985, 270, 1015},
	}
	for _, resize := range []models.Resize{models.Letterbox, models.LetterboxTopLeft, models.Stretch, models.Crop} {
		for _, f := range frames {
			t.Run(fmt.Sprintf("%s/%dx%d", resize, f.w, f.h), func(t *testing.T) {
				p := preprocess.Picture{Data: make([]byte, f.w*f.h), Stride: f.w, Width: f.w, Height: f.h, Format: vedette.Gray8}
				for y := f.y1; y < f.y2; y++ {
					for x := f.x1; x < f.x2; x++ {
						p.Data[y*f.w+x] = 255
					}
				}
				in := models.Input{Width: 416, Height: 320, Color: models.Gray, Resize: resize, Interpolation: models.Area}
				tr, err := preprocess.NewTransform(in)
				if err != nil {
					t.Fatal(err)
				}
				dst := make([]byte, tr.Size())
				g, err := tr.Apply(dst, p)
				if err != nil {
					t.Fatal(err)
				}
				box := g.ToFrame(brightBox(dst, in.Width))
				want := vedette.Box{float64(f.x1), float64(f.y1), float64(f.x2), float64(f.y2)}
				for i := range box {
					scale := g.ScaleX
					if i%2 == 1 {
						scale = g.ScaleY
					}
					if tol := 0.5/scale + 0.6; math.Abs(box[i]-want[i]) > tol {
						t.Errorf("box %v, want %v within %.2f", box, want, tol)
					}
				}
			})
		}
	}
}

// brightBox is the box around what is brighter than half.
func brightBox(gray []byte, w int) vedette.Box {
	b := vedette.Box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for i, p := range gray {
		if p > 127 {
			x, y := float64(i%w), float64(i/w)
			b = vedette.Box{min(b[0], x), min(b[1], y), max(b[2], x+1), max(b[3], y+1)}
		}
	}
	return b
}

func TestTransformErrors(t *testing.T) {
	for name, c := range map[string]struct {
		in   models.Input
		want string
	}{
		"no size":       {models.Input{Width: 0, Height: 4}, "size 0×4"},
		"huge":          {models.Input{Width: 1 << 20, Height: 4}, "size 1048576×4"},
		"color":         {models.Input{Width: 4, Height: 4, Color: "hsv"}, `color "hsv"`},
		"resize":        {models.Input{Width: 4, Height: 4, Resize: "squash"}, `resize "squash"`},
		"interpolation": {models.Input{Width: 4, Height: 4, Interpolation: "sinc"}, `interpolation "sinc"`},
		"pad":           {models.Input{Width: 4, Height: 4, Pad: 256}, "pad 256"},
		"crop fraction": {models.Input{Width: 4, Height: 4, CropFraction: 1.5}, "crop_fraction 1.5"},
	} {
		if _, err := preprocess.NewTransform(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	tr, err := preprocess.NewTransform(models.Input{Width: 4, Height: 4})
	if err != nil {
		t.Fatal(err)
	}
	good := scene(10, 10)
	for name, c := range map[string]struct {
		change func(*preprocess.Picture)
		want   string
	}{
		"empty":  {func(p *preprocess.Picture) { p.Width = 0 }, "picture is empty (0×10)"},
		"short":  {func(p *preprocess.Picture) { p.Data = p.Data[:299] }, "299 bytes"},
		"stride": {func(p *preprocess.Picture) { p.Stride = 29 }, "stride 29"},
		"format": {func(p *preprocess.Picture) { p.Format = "nv12" }, `pixel format "nv12"`},
	} {
		bad := good
		c.change(&bad)
		if _, err := tr.Apply(make([]byte, 48), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := tr.Apply(make([]byte, 47), good); err == nil || !strings.Contains(err.Error(), "47 bytes, want 48") {
		t.Errorf("short destination: error %v", err)
	}
	if _, err := tr.Apply(make([]byte, 48), good); err != nil {
		t.Errorf("after errors: %v", err)
	}
}

func TestTransformAllocatesLittle(t *testing.T) {
	src := scene(640, 360)
	for _, resize := range []models.Resize{models.Letterbox, models.Crop} {
		tr, err := preprocess.NewTransform(models.Input{Width: 416, Height: 416, Color: models.RGB, Resize: resize})
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, tr.Size())
		// A few headers for OpenCV's Mats; nothing of a picture's size.
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if _, err := tr.Apply(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
		if r.AllocedBytesPerOp() > 4096 {
			t.Errorf("%s: %d bytes allocated per picture", resize, r.AllocedBytesPerOp())
		}
	}
}

func BenchmarkTransform(b *testing.B) {
	cv.SetThreads(1)
	src := scene(1920, 1080)
	for _, side := range []int{416, 640} {
		for _, c := range []struct {
			name string
			in   models.Input
		}{
			{"letterbox/bgr/linear", models.Input{Color: models.BGR}},
			{"letterbox/rgb/linear", models.Input{Color: models.RGB}},
			{"letterbox/gray/linear", models.Input{Color: models.Gray}},
			{"letterbox/bgr/area", models.Input{Color: models.BGR, Interpolation: models.Area}},
			{"crop/rgb/linear", models.Input{Color: models.RGB, Resize: models.Crop, CropFraction: 0.875}},
		} {
			b.Run(fmt.Sprintf("1080p-%d/%s", side, c.name), func(b *testing.B) {
				c.in.Width, c.in.Height = side, side
				tr, err := preprocess.NewTransform(c.in)
				if err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, tr.Size())
				b.ReportAllocs()
				for b.Loop() {
					if _, err := tr.Apply(dst, src); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
