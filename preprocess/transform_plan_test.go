package preprocess

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/models"
)

// TestPlanReferences has sizes computed by hand with the formulas of the
// reference implementations.
func TestPlanReferences(t *testing.T) {
	for name, c := range map[string]struct {
		in     models.Input
		w, h   int
		target image.Rectangle
		padX   float64
		padY   float64
		scaleX float64
		scaleY float64
	}{
		"yolox cuts":            {models.Input{Width: 416, Height: 416, Resize: models.LetterboxTopLeft}, 1920, 1080, image.Rect(0, 0, 416, 234), 0, 0, 416. / 1920, 234. / 1080},
		"yolox cuts to less":    {models.Input{Width: 416, Height: 416, Resize: models.LetterboxTopLeft}, 333, 517, image.Rect(0, 0, 267, 416), 0, 0, 267. / 333, 416. / 517},
		"ultralytics rounds":    {models.Input{Width: 416, Height: 416}, 333, 517, image.Rect(74, 0, 342, 416), 74, 0, 268. / 333, 416. / 517},
		"odd pixel goes below":  {models.Input{Width: 640, Height: 640}, 1280, 722, image.Rect(0, 139, 640, 500), 0, 139, 0.5, 361. / 722},
		"resize 256, crop 224":  {models.Input{Width: 224, Height: 224, Resize: models.Crop, CropFraction: 0.875}, 640, 480, image.Rect(0, 0, 224, 224), -58, -16, 341. / 640, 256. / 480},
		"crop without fraction": {models.Input{Width: 224, Height: 224, Resize: models.Crop}, 480, 640, image.Rect(0, 0, 224, 224), 0, -37, 224. / 480, 298. / 640},
		"stretch":               {models.Input{Width: 320, Height: 240, Resize: models.Stretch}, 1920, 1080, image.Rect(0, 0, 320, 240), 0, 0, 320. / 1920, 240. / 1080},
		"a line of pixels":      {models.Input{Width: 416, Height: 416}, 20000, 20, image.Rect(0, 207, 416, 208), 0, 207, 416. / 20000, 1. / 20},
	} {
		p := makePlan(c.in, c.w, c.h)
		g := p.geometry
		if p.target != c.target || g.PadX != c.padX || g.PadY != c.padY || g.ScaleX != c.scaleX || g.ScaleY != c.scaleY {
			t.Errorf("%s: target %v, geometry %+v; want %v, pad %g %g, scale %g %g", name, p.target, g, c.target, c.padX, c.padY, c.scaleX, c.scaleY)
		}
		if g.Width != c.w || g.Height != c.h {
			t.Errorf("%s: geometry of %d×%d", name, g.Width, g.Height)
		}
	}
}

// TestPlanProperties holds for every shape of picture and input.
func TestPlanProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	side := func() int { // from 1 to 20000, small ones as likely as large ones
		return int(math.Exp(rng.Float64() * math.Log(20000)))
	}
	resizes := []models.Resize{models.Letterbox, models.LetterboxTopLeft, models.Stretch, models.Crop}
	for range 20000 {
		in := models.Input{Width: 1 + rng.IntN(700), Height: 1 + rng.IntN(700), Resize: resizes[rng.IntN(4)]}
		if rng.IntN(2) == 0 {
			in.CropFraction = 0.1 + 0.9*rng.Float64()
		}
		w, h := side(), side()
		p := makePlan(in, w, h)
		checkPlan(t, in, w, h, p)
		if t.Failed() {
			t.Fatalf("input %+v, picture %d×%d, plan %+v", in, w, h, p)
		}
	}
}

func checkPlan(t *testing.T, in models.Input, w, h int, p plan) {
	t.Helper()
	frame, model := image.Rect(0, 0, w, h), image.Rect(0, 0, in.Width, in.Height)
	resized := image.Rectangle{Max: p.resized}
	if p.source.Empty() || !p.source.In(frame) || p.target.Empty() || !p.target.In(model) {
		t.Errorf("source or target is empty or outside")
	}
	if p.cut.Size() != p.target.Size() || !p.cut.In(resized) {
		t.Errorf("what is cut does not fit what is filled, or what is resized")
	}
	if whole := in.Resize == models.Stretch || in.Resize == models.Crop; whole && p.target != model {
		t.Errorf("a part of the model's picture stays empty")
	}
	if in.Resize == models.Crop {
		cw, ch := covering(in.Width, in.CropFraction), covering(in.Height, in.CropFraction)
		if p.resized.X > 2*cropSlack*cw+64 || p.resized.Y > 2*cropSlack*ch+64 {
			// One source pixel may still become a large area.
			if p.source.Dx() > 2 && p.source.Dy() > 2 {
				t.Errorf("resizes to %v for a crop of %v", p.resized, model.Max)
			}
		}
	}
	// Where the resized picture's corners end up in the model's picture, and
	// back through the geometry, must be the source's corners.
	off := p.target.Min.Sub(p.cut.Min)
	g := p.geometry
	back := func(x, y int) (float64, float64) {
		return (float64(x+off.X) - g.PadX) / g.ScaleX, (float64(y+off.Y) - g.PadY) / g.ScaleY
	}
	x1, y1 := back(0, 0)
	x2, y2 := back(p.resized.X, p.resized.Y)
	for _, d := range []float64{
		x1 - float64(p.source.Min.X), y1 - float64(p.source.Min.Y), x2 - float64(p.source.Max.X), y2 - float64(p.source.Max.Y),
	} {
		if math.Abs(d) > 1e-6 {
			t.Errorf("corners map back %g off", d)
		}
	}
	// A box inside the frame survives the way to the model's picture and back.
	fw, fh := float64(w), float64(h)
	box := vedette.Box{0.2 * fw, 0.3 * fh, 0.7 * fw, 0.9 * fh}
	there := vedette.Box{
		box[0]*g.ScaleX + g.PadX, box[1]*g.ScaleY + g.PadY, box[2]*g.ScaleX + g.PadX, box[3]*g.ScaleY + g.PadY,
	}
	for i, v := range g.ToFrame(there) {
		if math.Abs(v-box[i]) > 1e-6 {
			t.Errorf("box %v came back as %v", box, g.ToFrame(there))
		}
	}
}
