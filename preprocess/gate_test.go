package preprocess_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/preprocess"
)

// stage is a synthetic camera: a textured background in some light, noise, and
// things that can be put before it.
type stage struct {
	pic   preprocess.Picture
	rng   *rand.Rand
	now   time.Time
	light float64
}

func newStage(w, h int) *stage {
	return &stage{
		pic:   preprocess.Picture{Data: make([]byte, w*h), Stride: w, Width: w, Height: h, Format: vedette.Gray8},
		rng:   rand.New(rand.NewPCG(3, 4)),
		now:   time.Unix(1000, 0),
		light: 1,
	}
}

// shoot takes the next picture, step later, with a bright square of that side
// at x, y (none when side is 0).
func (s *stage) shoot(step time.Duration, side, x, y int) (preprocess.Picture, time.Time) {
	s.now = s.now.Add(step)
	for py := range s.pic.Height {
		row := s.pic.Data[py*s.pic.Stride:][:s.pic.Width]
		for px := range row {
			level := 60 + float64((px/40+py/30)%2*50)
			if px >= x && px < x+side && py >= y && py < y+side {
				level = 180
			}
			level = level*s.light + float64(s.rng.Uint32()%17) - 8
			row[px] = byte(min(max(level, 0), 255))
		}
	}
	return s.pic, s.now
}

const frameTime = 200 * time.Millisecond

// settled is a gate that has watched an empty stage until it closed.
func settled(t *testing.T, s *stage) *preprocess.Gate {
	t.Helper()
	g := preprocess.NewGate(preprocess.DefaultGateConfig())
	if !g.Moving(s.shoot(frameTime, 0, 0, 0)) {
		t.Fatal("the first picture did not count as motion")
	}
	for range 20 {
		g.Moving(s.shoot(frameTime, 0, 0, 0))
	}
	if g.Moving(s.shoot(frameTime, 0, 0, 0)) {
		t.Fatal("an empty, noisy stage still moves after 4 s")
	}
	return g
}

func TestGateSeesSmallThings(t *testing.T) {
	s := newStage(640, 360)
	g := settled(t, s)
	if !g.Moving(s.shoot(frameTime, 16, 300, 200)) {
		t.Error("a square of 16 pixels in 640×360 was not seen")
	}
}

func TestGateHolds(t *testing.T) {
	s := newStage(640, 360)
	g := settled(t, s)
	g.Moving(s.shoot(frameTime, 60, 300, 200))
	hold := preprocess.DefaultGateConfig().Hold
	if !g.Moving(s.shoot(hold-frameTime, 0, 0, 0)) {
		t.Error("closed before the hold time was over")
	}
	if g.Moving(s.shoot(2*frameTime, 0, 0, 0)) {
		t.Error("open after the hold time")
	}
}

// TestGateIgnoresDrift dims the light to a third within two minutes.
func TestGateIgnoresDrift(t *testing.T) {
	s := newStage(320, 180)
	g := settled(t, s)
	for i := range 600 {
		s.light = 1 - float64(i)/900
		if g.Moving(s.shoot(frameTime, 0, 0, 0)) {
			t.Fatalf("motion after %v of drifting light", time.Duration(i)*frameTime)
		}
	}
	if !g.Moving(s.shoot(frameTime, 30, 100, 100)) {
		t.Error("motion was not seen in the dusk")
	}
}

// TestGateRecoversFromSwitchedLight switches a lamp on: that may open the gate,
// but not for longer than the hold time and a second.
func TestGateRecoversFromSwitchedLight(t *testing.T) {
	for _, light := range []float64{0.3, 2} {
		s := newStage(320, 180)
		g := settled(t, s)
		s.light = light
		open := 0
		for range 100 {
			if g.Moving(s.shoot(frameTime, 0, 0, 0)) {
				open++
			}
		}
		limit := int((preprocess.DefaultGateConfig().Hold + time.Second) / frameTime)
		if open > limit {
			t.Errorf("light ×%g: open for %d pictures, want at most %d", light, open, limit)
		}
	}
}

// TestGateForgetsWhatStays parks a thing: the gate closes within some multiple
// of the time to adapt, and opens when it leaves.
func TestGateForgetsWhatStays(t *testing.T) {
	s := newStage(320, 180)
	g := settled(t, s)
	cfg := preprocess.DefaultGateConfig()
	for range int((4*cfg.Adapt + cfg.Hold) / frameTime) {
		g.Moving(s.shoot(frameTime, 40, 100, 100))
	}
	if g.Moving(s.shoot(frameTime, 40, 100, 100)) {
		t.Error("a parked thing still counts as motion")
	}
	if !g.Moving(s.shoot(frameTime, 0, 0, 0)) {
		t.Error("its leaving was not seen")
	}
}

func TestGateOddPictures(t *testing.T) {
	s := newStage(320, 180)
	g := settled(t, s)
	other := newStage(160, 200)
	other.now = s.now
	if !g.Moving(other.shoot(frameTime, 0, 0, 0)) {
		t.Error("a picture of another size did not count as motion")
	}
	if !g.Moving(preprocess.Picture{}, s.now) {
		t.Error("an empty picture was held back instead of being left for others to report")
	}
	tiny := preprocess.Picture{Data: []byte{9}, Stride: 1, Width: 1, Height: 1, Format: vedette.Gray8}
	g = preprocess.NewGate(preprocess.DefaultGateConfig())
	if !g.Moving(tiny, s.now) || g.Moving(tiny, s.now.Add(time.Minute)) {
		t.Error("one pixel: want motion first, then none")
	}
	back := s.now.Add(-time.Hour)
	if !g.Moving(tiny, back) || g.Moving(tiny, back.Add(time.Minute)) {
		t.Error("a clock set back by an hour: want the gate open for the hold time only")
	}
}

func TestGateConfigValidate(t *testing.T) {
	if err := preprocess.DefaultGateConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := preprocess.GateConfig{MinArea: 2, Hold: -1}.Validate()
	for _, want := range []string{"threshold", "min_area", "hold", "adapt"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestGateAndFitnessDoNotAllocate(t *testing.T) {
	s := newStage(640, 360)
	pic, now := s.shoot(0, 0, 0, 0)
	g := preprocess.NewGate(preprocess.DefaultGateConfig())
	f := preprocess.NewFitness(preprocess.DefaultFitnessConfig())
	step := func() {
		g.Moving(pic, now)
		f.Check(pic, now)
	}
	step()
	if n := testing.AllocsPerRun(10, step); n != 0 {
		t.Errorf("%g allocations per picture", n)
	}
}

func BenchmarkGate1080p(b *testing.B) {
	pic, now := newStage(1920, 1080).shoot(0, 0, 0, 0)
	g := preprocess.NewGate(preprocess.DefaultGateConfig())
	b.ReportAllocs()
	for b.Loop() {
		g.Moving(pic, now)
	}
}
