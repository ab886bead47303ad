package barcode_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
)

// picture is a BGR picture of random grey levels, with some bytes of padding
// at the end of each row.
func picture(r *rand.Rand, w, h int) (pix []byte, stride int) {
	stride = 3*w + r.IntN(7)
	pix = make([]byte, stride*h)
	for i := range pix {
		pix[i] = byte(r.Uint32())
	}
	return pix, stride
}

func TestNumberSurvivesNoiseAtAnySize(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		w, h := 64+r.IntN(600), 32+r.IntN(400)
		n := r.Uint32() & barcode.Max
		ms := r.Uint32() & barcode.Max
		pix, stride := picture(r, w, h)
		barcode.Draw(pix, w, h, stride, n)
		barcode.DrawClock(pix, w, h, stride, ms)
		for i, v := range pix {
			pix[i] = byte(min(255, max(0, int(v)+r.IntN(161)-80)))
		}
		if got, ok := barcode.Read(pix, w, h, stride); !ok || got != n {
			t.Fatalf("%dx%d: number %d, %t, want %d", w, h, got, ok, n)
		}
		if got, ok := barcode.ReadClock(pix, w, h, stride); !ok || got != ms {
			t.Fatalf("%dx%d: clock %d, %t, want %d", w, h, got, ok, ms)
		}
	}
}

func TestNumberSurvivesJPEGAndStretching(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []image.Point{{320, 180}, {640, 480}, {1280, 720}, {128, 128}} {
		for _, quality := range []int{10, 90} {
			t.Run(fmt.Sprintf("%dx%d q%d", size.X, size.Y, quality), func(t *testing.T) {
				n := r.Uint32() & barcode.Max
				pix, stride := picture(r, size.X, size.Y)
				barcode.Draw(pix, size.X, size.Y, stride, n)
				img := decodeJPEG(t, toImage(pix, size.X, size.Y, stride), quality)
				for _, kernel := range []draw.Interpolator{draw.NearestNeighbor, draw.ApproxBiLinear, draw.CatmullRom} {
					small := image.NewRGBA(image.Rect(0, 0, 128, 128))
					kernel.Scale(small, small.Bounds(), img, img.Bounds(), draw.Src, nil)
					bgr := toBGR(small)
					if got, ok := barcode.Read(bgr, 128, 128, 3*128); !ok || got != n {
						t.Errorf("read %d, %t, want %d", got, ok, n)
					}
				}
			})
		}
	}
}

func TestNoNumber(t *testing.T) {
	const w, h, stride = 160, 96, 480
	fill := func(v byte) []byte { return bytes.Repeat([]byte{v}, stride*h) }
	drawn := func(n uint32) []byte {
		pix := fill(128)
		barcode.Draw(pix, w, h, stride, n)
		return pix
	}
	torn := drawn(41)
	copy(torn[stride*h/2:], drawn(42)[stride*h/2:])
	flipped := drawn(7)
	for y := range h / 8 { // cell 5 of the top row, inverted
		for x := 5 * 3 * 10; x < 6*3*10; x++ {
			flipped[y*stride+x] ^= 0xff
		}
	}
	grey := drawn(7)
	for i := range grey {
		grey[i] = byte(100 + int(grey[i])/5)
	}
	for name, pix := range map[string][]byte{
		"black": fill(0), "white": fill(255), "grey": fill(128), "torn": torn, "one cell inverted": flipped, "faded": grey,
	} {
		if n, ok := barcode.Read(pix, w, h, stride); ok {
			t.Errorf("%s: read %d", name, n)
		}
	}
	if n, ok := barcode.Read(fill(0), 8, 4, stride); ok {
		t.Errorf("picture smaller than the grid: read %d", n)
	}
}

func TestDecodeAgreesWithRead(t *testing.T) {
	const w, h, stride = 256, 128, 768
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		n, ms := r.Uint32()&barcode.Max, r.Uint32()&barcode.Max
		pix := make([]byte, stride*h)
		barcode.Draw(pix, w, h, stride, n)
		barcode.DrawClock(pix, w, h, stride, ms)
		white := func(cell int) bool {
			x, y := (cell%barcode.Columns)*w/barcode.Columns+4, (cell/barcode.Columns)*h/barcode.Rows+4
			return pix[y*stride+3*x] > 127
		}
		want := barcode.Reading{Number: n, HasNumber: true, Clock: ms, HasClock: true}
		if got := barcode.Decode(white); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		hole := r.IntN(barcode.CodeCells)
		got := barcode.Decode(func(cell int) bool { return white(cell) != (cell == barcode.Bottom+hole) })
		if got.HasNumber {
			t.Fatalf("a wrong cell at the bottom went unseen: %+v", got)
		}
	}
}

func TestDrawTakesNumbersModulo24Bits(t *testing.T) {
	const w, h, stride = 64, 32, 192
	pix := make([]byte, stride*h)
	barcode.Draw(pix, w, h, stride, 1<<24+5)
	if n, ok := barcode.Read(pix, w, h, stride); !ok || n != 5 {
		t.Fatalf("read %d, %t, want 5", n, ok)
	}
}

func TestAge(t *testing.T) {
	now := time.UnixMilli(5 << 24) // a moment at which the clock is 0
	for _, ago := range []time.Duration{0, time.Millisecond, 250 * time.Millisecond, time.Hour, -time.Second} {
		if got := barcode.Age(now, barcode.Millis(now.Add(-ago))); got != ago {
			t.Errorf("age %v, want %v", got, ago)
		}
	}
}

func BenchmarkDraw1080p(b *testing.B) {
	pix := make([]byte, 1920*1080*3)
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		barcode.Draw(pix, 1920, 1080, 1920*3, n)
	}
}

func toImage(pix []byte, w, h, stride int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := pix[y*stride+3*x:]
			img.SetRGBA(x, y, color.RGBA{R: p[2], G: p[1], B: p[0], A: 255})
		}
	}
	return img
}

func toBGR(img *image.RGBA) []byte {
	var bgr []byte
	for i := 0; i < len(img.Pix); i += 4 {
		bgr = append(bgr, img.Pix[i+2], img.Pix[i+1], img.Pix[i])
	}
	return bgr
}

func decodeJPEG(t *testing.T, img image.Image, quality int) image.Image {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	out, err := jpeg.Decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
