//go:build cv

package cv_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gocv.io/x/gocv"
	"golang.org/x/image/tiff"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/picture"
	"github.com/vedette-io/vedette/internal/testkit"
)

var update = flag.Bool("update", false, "write what OpenCV answers for the tests of package picture")

// difference is how far two pictures are from each other.
type difference struct {
	most        int
	share, mean float64 // of the bytes that differ; of all bytes
}

func (d difference) String() string {
	return fmt.Sprintf("at most %d, %.3f %% differ, %.4f on average", d.most, 100*d.share, d.mean)
}

func compare(t *testing.T, a, b cv.View) difference {
	t.Helper()
	if a.Width != b.Width || a.Height != b.Height || a.Channels != b.Channels {
		t.Fatalf("%d×%d×%d and %d×%d×%d", a.Width, a.Height, a.Channels, b.Width, b.Height, b.Channels)
	}
	var d difference
	differ, sum := 0, 0
	for y := range a.Height {
		for i := range a.Width * a.Channels {
			n := int(a.Data[y*a.Stride+i]) - int(b.Data[y*b.Stride+i])
			n = max(n, -n)
			d.most, sum = max(d.most, n), sum+n
			if n > 0 {
				differ++
			}
		}
	}
	all := float64(a.Width * a.Height * a.Channels)
	d.share, d.mean = float64(differ)/all, float64(sum)/all
	return d
}

// TestResizeInGo compares the resize in pure Go with OpenCV's on noise, which
// leaves no rounding unseen.
func TestResizeInGo(t *testing.T) {
	sizes := [][4]int{
		{640, 480, 416, 312}, {640, 427, 416, 277}, {1920, 1080, 640, 360}, {768, 432, 416, 234}, {500, 333, 224, 149},
		{640, 480, 320, 240}, {640, 480, 160, 120}, {640, 480, 160, 480}, {600, 400, 200, 133}, {100, 80, 416, 333}, {64, 64, 65, 63},
		{7, 5, 3, 2}, {3, 2, 7, 5}, {1, 1, 5, 4}, {5, 4, 1, 1}, {1, 100, 3, 10}, {100, 1, 10, 3}, {33, 17, 33, 40}, {33, 17, 33, 17}, {2, 2, 1, 1},
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	// Cubic is computed in floats, whose order OpenCV chooses by the processor.
	for name, c := range map[string]struct {
		interp cv.Interp
		most   int
	}{"nearest": {cv.Nearest, 0}, "linear": {cv.Linear, 0}, "area": {cv.Area, 1}, "cubic": {cv.Cubic, 1}} {
		t.Run(name, func(t *testing.T) {
			for _, s := range sizes {
				for _, channels := range []int{1, 3} {
					src := view(s[0], s[1], channels, s[0]*channels+5, func(_, _, _ int) byte { return byte(rnd.Uint32()) })
					want, got := view(s[2], s[3], channels, s[2]*channels+3, flat(9)), view(s[2], s[3], channels, s[2]*channels+3, flat(9))
					if err := cv.Resize(want, src, c.interp); err != nil {
						t.Fatal(err)
					}
					if err := picture.Resize(got, src, c.interp); err != nil {
						t.Fatal(err)
					}
					if d := compare(t, got, want); d.most > c.most || d.share > 0.001 {
						t.Errorf("%v, %d channels: %v", s, channels, d)
					}
				}
			}
		})
	}
}

func TestConvertInGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for c, channels := range map[cv.Conversion][2]int{cv.SwapRB: {3, 3}, cv.BGRToGray: {3, 1}, cv.GrayToBGR: {1, 3}} {
		src := view(301, 203, channels[0], 301*channels[0]+1, func(_, _, _ int) byte { return byte(rnd.Uint32()) })
		want, got := view(301, 203, channels[1], 301*channels[1], flat(0)), view(301, 203, channels[1], 301*channels[1], flat(0))
		if err := cv.Convert(want, src, c); err != nil {
			t.Fatal(err)
		}
		if err := picture.Convert(got, src, c); err != nil {
			t.Fatal(err)
		}
		if d := compare(t, got, want); d.most != 0 {
			t.Errorf("%v to %v: %v", channels[0], channels[1], d)
		}
	}
}

// TestDecodeInGo compares on real photographs.
func TestDecodeInGo(t *testing.T) {
	var files []string
	for _, pattern := range []string{"images/coco64/images/*.jpg", "images/faces/*", "images/misc/*", "defects/deeppcb/group00041/00041/*_test.jpg"} {
		found, err := filepath.Glob(testkit.Data(t, filepath.Dir(pattern)) + "/" + filepath.Base(pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Go's inverse cosine transform rounds differently from libjpeg's: by 1 in
		// luma or chroma, which is 3 at most in a colour.
		if d := decodeBoth(t, filepath.Base(f), data); d.most > 3 || d.mean > 0.1 {
			t.Errorf("%s: %v", f, d)
		}
	}
}

func decodeBoth(t *testing.T, name string, data []byte) difference {
	t.Helper()
	want, err := cv.DecodeImage(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got, err := picture.Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return compare(t, got, want)
}

// TestDecodeFormatsInGo compares on files of all formats and kinds, of sizes
// that leave half blocks.
func TestDecodeFormatsInGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	bounds := image.Rect(0, 0, 37, 23)
	clear, deep, grey, grey16 := image.NewNRGBA(bounds), image.NewNRGBA64(bounds), image.NewGray(bounds), image.NewGray16(bounds)
	palette := image.NewPaletted(bounds, color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 50, 128}, color.NRGBA{9, 250, 120, 0}})
	for _, pix := range [][]byte{clear.Pix, deep.Pix, grey.Pix, grey16.Pix} {
		for i := range pix {
			pix[i] = byte(rnd.Uint32())
		}
	}
	for i := range palette.Pix {
		palette.Pix[i] = byte(rnd.UintN(3))
	}
	smooth := view(37, 23, 3, 111, func(x, y, c int) byte { return byte(5*x + 3*y + 60*c) })
	mat, err := gocv.NewMatFromBytes(23, 37, gocv.MatTypeCV8UC3, smooth.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer mat.Close()
	files := map[string][]byte{}
	for name, img := range map[string]image.Image{"clear": clear, "deep": deep, "grey": grey, "grey16": grey16, "palette": palette} {
		var p, q bytes.Buffer
		if err := png.Encode(&p, img); err != nil {
			t.Fatal(err)
		}
		files[name+".png"] = p.Bytes()
		if name == "clear" || name == "deep" {
			continue // whether a TIFF's colours are multiplied is told in two ways
		}
		if err := tiff.Encode(&q, img, nil); err != nil {
			t.Fatal(err)
		}
		if name != "palette" {
			files[name+".tiff"] = q.Bytes()
		}
	}
	for ext, params := range map[gocv.FileExt][]int{".bmp": {0, 0}, ".tiff": {0, 0}, ".png": {gocv.IMWritePngCompression, 1}, ".webp": {gocv.IMWriteWebpQuality, 80}} {
		buf, err := gocv.IMEncodeWithParams(ext, mat, params)
		if err != nil {
			t.Fatal(err)
		}
		files["smooth"+string(ext)] = bytes.Clone(buf.GetBytes())
		buf.Close()
	}
	var j, g bytes.Buffer
	if err := jpeg.Encode(&j, clear, nil); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&g, grey, nil); err != nil {
		t.Fatal(err)
	}
	files["noise.jpg"], files["grey.jpg"] = j.Bytes(), g.Bytes()
	for o := range uint16(10) {
		files[fmt.Sprintf("orientation %d.jpg", o)] = withOrientation(j.Bytes(), o)
	}
	for name, data := range files {
		most := 0
		if filepath.Ext(name) == ".jpg" {
			most = 3
		}
		if d := decodeBoth(t, name, data); d.most > most {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// TestPictureGoldens keeps what OpenCV answers, for the tests of package picture
// where there is no OpenCV.
func TestPictureGoldens(t *testing.T) {
	path := filepath.Join("..", "picture", "testdata", "opencv.json")
	if *update {
		var all []map[string]any
		for _, c := range [][4]int{{37, 23, 16, 10}, {37, 23, 52, 41}, {24, 18, 8, 6}, {24, 18, 12, 9}} {
			for _, interp := range []cv.Interp{cv.Nearest, cv.Linear, cv.Area, cv.Cubic} {
				src, dst := view(c[0], c[1], 3, 3*c[0], func(x, y, ch int) byte { return byte(x*x*7 + y*y*13 + x*y*ch*5) }), view(c[2], c[3], 3, 3*c[2], flat(0))
				if err := cv.Resize(dst, src, interp); err != nil {
					t.Fatal(err)
				}
				all = append(all, map[string]any{"from": c[:2], "to": c[2:], "interp": int(interp), "data": dst.Data})
			}
		}
		b, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}
