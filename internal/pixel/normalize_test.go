package pixel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/pixel"
	"github.com/vedette-io/vedette/models"
)

// TestFillEveryInput compares every layout, colour and element type, in both
// places of a batch of two, with the formula computed the long way.
func TestFillEveryInput(t *testing.T) {
	for _, layout := range []models.Layout{models.NCHW, models.NHWC} {
		for _, color := range []models.Color{models.RGB, models.BGR, models.Gray} {
			for _, typ := range []models.ElemType{models.Float32, models.Float16, models.Uint8} {
				t.Run(fmt.Sprintf("%s/%s/%s", layout, color, typ), func(t *testing.T) {
					in := models.Input{
						Width: 7, Height: 5, Layout: layout, Color: color, Type: typ,
						Scale: 1.0 / 255, Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225},
					}
					if typ == models.Uint8 {
						in.Scale, in.Mean, in.Std = 0.9, []float64{3, 5, 7}, []float64{1, 0.8, 0.7}
					}
					if color == models.Gray {
						in.Mean, in.Std = in.Mean[:1], in.Std[:1]
					}
					checkFill(t, in)
				})
			}
		}
	}
}

func checkFill(t *testing.T, in models.Input) {
	t.Helper()
	n, err := pixel.NewNormalizer(in)
	if err != nil {
		t.Fatal(err)
	}
	ch := in.Channels()
	size := in.Width * in.Height * ch
	if n.Len() != size {
		t.Fatalf("Len = %d, want %d", n.Len(), size)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	pics := [2][]byte{make([]byte, size), make([]byte, size)}
	dst := pixel.Tensor{F32: make([]float32, 2*size), F16: make([]uint16, 2*size), U8: make([]byte, 2*size)}
	for slot := range pics {
		for i := range pics[slot] {
			pics[slot][i] = byte(rng.Uint32())
		}
	}
	for _, slot := range []int{1, 0} { // filling 0 must leave 1 as it is
		if err := n.Fill(dst, slot, pics[slot]); err != nil {
			t.Fatal(err)
		}
	}
	for slot, pic := range pics {
		for y := range in.Height {
			for x := range in.Width {
				for c := range ch {
					p := float64(pic[(y*in.Width+x)*ch+c])
					want := (p*in.Scale - in.Mean[c]) / in.Std[c]
					i := (y*in.Width+x)*ch + c
					if in.Layout == models.NCHW {
						i = (c*in.Height+y)*in.Width + x
					}
					i += slot * size
					var got, tol float64
					switch in.Type {
					case models.Float16:
						got, tol = float64(pixel.FromHalf(dst.F16[i])), math.Abs(want)/1024
					case models.Uint8:
						got, tol = float64(dst.U8[i]), 0.5
						want = min(max(want, 0), 255)
					default:
						got, tol = float64(dst.F32[i]), 1e-6
					}
					if math.Abs(got-want) > tol+1e-6 {
						t.Fatalf("slot %d pixel %d,%d channel %d: got %g, want %g", slot, x, y, c, got, want)
					}
				}
			}
		}
	}
}

func TestNewNormalizerDefaults(t *testing.T) {
	n, err := pixel.NewNormalizer(models.Input{Width: 2, Height: 1})
	if err != nil {
		t.Fatal(err)
	}
	dst := pixel.Tensor{F32: make([]float32, 6)}
	if err := n.Fill(dst, 0, []byte{1, 2, 3, 4, 5, 255}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(dst.F32), "[1 4 2 5 3 255]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNormalizerErrors(t *testing.T) {
	base := models.Input{Width: 2, Height: 2, Color: models.RGB}
	for name, c := range map[string]struct {
		change func(*models.Input)
		want   string
	}{
		"size":       {func(in *models.Input) { in.Width = 0 }, "size 0×2"},
		"layout":     {func(in *models.Input) { in.Layout = "chwn" }, `layout "chwn"`},
		"type":       {func(in *models.Input) { in.Type = "int4" }, `type "int4"`},
		"mean count": {func(in *models.Input) { in.Mean = []float64{1, 2} }, "mean has 2 values: want 1 or 3"},
		"std zero":   {func(in *models.Input) { in.Std = []float64{1, 0, 1} }, "divide by zero"},
		"mean NaN":   {func(in *models.Input) { in.Mean = []float64{math.NaN()} }, "finite"},
	} {
		t.Run(name, func(t *testing.T) {
			in := base
			c.change(&in)
			if _, err := pixel.NewNormalizer(in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	n, err := pixel.NewNormalizer(base)
	if err != nil {
		t.Fatal(err)
	}
	room := pixel.Tensor{F32: make([]float32, 24)}
	for name, err := range map[string]error{
		"short picture": n.Fill(room, 0, make([]byte, 11)),
		"slot beyond":   n.Fill(room, 2, make([]byte, 12)),
		"slot negative": n.Fill(room, -1, make([]byte, 12)),
		"wrong type":    n.Fill(pixel.Tensor{U8: make([]byte, 24)}, 0, make([]byte, 12)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	n, dst, src := setup(t, models.Float32, models.NCHW)
	if got := testing.AllocsPerRun(10, func() { _ = n.Fill(dst, 0, src) }); got != 0 {
		t.Errorf("%g allocations", got)
	}
}

// TestHalf goes through all halves there and back, and through the midpoints
// between neighbours, which must go to the even one.
func TestHalf(t *testing.T) {
	for h := range 0x10000 {
		f := pixel.FromHalf(uint16(h))
		if f != f { // NaN
			if g := pixel.Half(f); g&0x7c00 != 0x7c00 || g&0x3ff == 0 {
				t.Fatalf("NaN %#04x became %#04x", h, g)
			}
			continue
		}
		if g := pixel.Half(f); g != uint16(h) {
			t.Fatalf("%#04x is %g, became %#04x", h, f, g)
		}
		if h&0x7fff >= 0x7bff {
			continue
		}
		next := pixel.FromHalf(uint16(h + 1))
		mid := float32((float64(f) + float64(next)) / 2)
		even := uint16(h + h&1)
		if g := pixel.Half(mid); g != even {
			t.Fatalf("%g between %#04x and %#04x became %#04x, want the even %#04x", mid, h, h+1, g, even)
		}
		if g := pixel.Half(math.Nextafter32(mid, next)); g != uint16(h+1) {
			t.Fatalf("a little above the middle of %#04x and its next became %#04x", h, g)
		}
		if g := pixel.Half(math.Nextafter32(mid, f)); g != uint16(h) {
			t.Fatalf("a little below the middle of %#04x and its next became %#04x", h, g)
		}
	}
	for _, c := range []struct {
		f    float32
		want uint16
	}{
		{65504, 0x7bff}, {65519.996, 0x7bff}, {65520, 0x7c00}, {1e30, 0x7c00}, {-1e30, 0xfc00},
		{float32(math.Inf(1)), 0x7c00}, {1, 0x3c00}, {-2, 0xc000}, {1e-10, 0}, {float32(math.Copysign(0, -1)), 0x8000},
	} {
		if got := pixel.Half(c.f); got != c.want {
			t.Errorf("Half(%g) = %#04x, want %#04x", c.f, got, c.want)
		}
	}
}

func setup(tb testing.TB, typ models.ElemType, layout models.Layout) (*pixel.Normalizer, pixel.Tensor, []byte) {
	tb.Helper()
	in := models.Input{Width: 640, Height: 640, Layout: layout, Type: typ, Scale: 1.0 / 255}
	n, err := pixel.NewNormalizer(in)
	if err != nil {
		tb.Fatal(err)
	}
	src := make([]byte, n.Len())
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range src {
		src[i] = byte(rng.Uint32())
	}
	return n, pixel.Tensor{F32: make([]float32, n.Len()), F16: make([]uint16, n.Len()), U8: make([]byte, n.Len())}, src
}

// BenchmarkFill fills the tensor of a 640×640 picture.
func BenchmarkFill(b *testing.B) {
	for _, layout := range []models.Layout{models.NCHW, models.NHWC} {
		for _, typ := range []models.ElemType{models.Float32, models.Float16, models.Uint8} {
			b.Run(fmt.Sprintf("%s/%s", layout, typ), func(b *testing.B) {
				n, dst, src := setup(b, typ, layout)
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if err := n.Fill(dst, 0, src); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
