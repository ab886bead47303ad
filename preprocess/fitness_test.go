package preprocess_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/preprocess"
)

// verdict is what Check says: "ok" or the reason.
func verdict(f *preprocess.Fitness, p preprocess.Picture, now time.Time) string {
	ok, reason := f.Check(p, now)
	if ok != (reason == "") {
		return "contradiction: " + reason
	}
	if ok {
		return "ok"
	}
	return reason
}

func fitness() *preprocess.Fitness {
	return preprocess.NewFitness(preprocess.DefaultFitnessConfig())
}

// painted is a picture of 640×360 with noise of ±noise and, as cameras burn
// in, a sharp white line of text at the top.
func painted(noise int, level func(x, y int) float64) preprocess.Picture {
	s := newStage(640, 360)
	for y := range 360 {
		for x := range 640 {
			l := level(x, y) + float64(int(s.rng.Uint32()%uint32(2*noise+1))-noise)
			if y >= 8 && y < 28 && x > 20 && x < 300 && x/4%2 == 0 {
				l = 255
			}
			s.pic.Data[y*640+x] = byte(min(max(l, 0), 255))
		}
	}
	return s.pic
}

func TestFitnessVerdicts(t *testing.T) {
	checker := func(x, y int) float64 { return float64((x/20 + y/20) % 2) }
	for name, c := range map[string]struct {
		pic  preprocess.Picture
		want string
	}{
		"scene":           {painted(3, func(x, y int) float64 { return 60 + 80*checker(x, y) }), "ok"},
		"dim scene":       {painted(2, func(x, y int) float64 { return 6 + 16*checker(x, y) }), "ok"},
		"bright scene":    {painted(2, func(x, y int) float64 { return 240 - 30*checker(x, y) }), "ok"},
		"mostly empty":    {painted(2, func(x, y int) float64 { return 200 - 60*b2f(x > 300 && x < 380 && y > 100 && y < 200) }), "ok"},
		"black":           {painted(0, func(int, int) float64 { return 0 }), "black"},
		"black, noisy":    {painted(6, func(int, int) float64 { return 6 }), "black"},
		"grey all over":   {painted(3, func(int, int) float64 { return 120 }), "covered"},
		"white all over":  {painted(0, func(int, int) float64 { return 255 }), "covered"},
		"soft shade":      {painted(3, func(x, y int) float64 { return 40 + 0.08*float64(x) + 0.05*float64(y) }), "covered"},
		"nothing but fog": {painted(2, func(x, y int) float64 { return 180 + float64(y)/20 + 2*checker(x, y) }), "covered"},
		"out of focus":    {painted(2, func(x, y int) float64 { return 120 + 50*wave(x)*wave(y) }), "blurred"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(fitness(), c.pic, time.Unix(0, 0)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			off := preprocess.NewFitness(preprocess.FitnessConfig{})
			if got := verdict(off, c.pic, time.Unix(0, 0)); got != "ok" {
				t.Errorf("with everything off: %s", got)
			}
		})
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// wave goes from 0 to 1 and back in ramps of 40 pixels, as an edge does that is
// 40 pixels out of focus.
func wave(x int) float64 {
	x %= 80
	return float64(min(x, 80-x)) / 40
}

// TestFitnessSettles covers the lens for a moment, and then for good.
func TestFitnessSettles(t *testing.T) {
	scene := painted(3, func(x, y int) float64 { return float64(60 + (x/20+y/20)%2*80) })
	hand := painted(3, func(int, int) float64 { return 90 })
	f, now := fitness(), time.Unix(100, 0)
	for i, step := range []struct {
		after time.Duration
		pic   preprocess.Picture
		want  string
	}{
		{0, scene, "ok"},
		{frameTime, hand, "ok"},
		{3 * frameTime, hand, "ok"},
		{frameTime, hand, "covered"}, // a second after the last clear picture
		{time.Minute, hand, "covered"},
		{frameTime, scene, "ok"},
		{frameTime, hand, "ok"},
	} {
		now = now.Add(step.after)
		step.pic.Data = jitter(step.pic.Data, i)
		if got := verdict(f, step.pic, now); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
}

// jitter changes a spot that is sampled, so that no two pictures are equal.
func jitter(data []byte, i int) []byte {
	data = append([]byte(nil), data...)
	for n := range 640 * 3 {
		data[180*640+n] ^= byte(i + 1)
	}
	return data
}

// TestFitnessFrozen repeats one picture; then only a single pixel changes, as
// the seconds of a burnt-in clock may.
func TestFitnessFrozen(t *testing.T) {
	pic := painted(3, func(x, y int) float64 { return float64(60 + (x/20+y/20)%2*80) })
	f, now := fitness(), time.Unix(100, 0)
	first := time.Duration(-1)
	for at := time.Duration(0); at < 4*time.Second; at += frameTime {
		switch got := verdict(f, pic, now.Add(at)); {
		case got == "frozen" && first < 0:
			first = at
		case got != "ok" && got != "frozen", got == "ok" && first >= 0:
			t.Fatalf("after %v: %s", at, got)
		}
	}
	if first < 2*time.Second || first > 3*time.Second {
		t.Errorf("frozen was noticed after %v, want within 3 s but not before 2", first)
	}
	now = now.Add(4 * time.Second)
	for at := time.Duration(0); at < 10*time.Second; at += frameTime {
		if at%time.Second == 0 {
			pic.Data[359*640+7]++ // no spot of the small copy
		}
		if got := verdict(f, pic, now.Add(at)); got != "ok" {
			t.Fatalf("a clock ticks in the picture: %s after %v", got, at)
		}
	}
}

func TestFitnessOddPictures(t *testing.T) {
	f := fitness()
	if got := verdict(f, preprocess.Picture{}, time.Unix(0, 0)); got != "ok" {
		t.Errorf("an unreadable picture is for others to report: %s", got)
	}
	for _, size := range [][2]int{{1, 1}, {20000, 20}, {20, 20000}, {9, 9}, {40, 40}} {
		p := preprocess.Picture{Data: make([]byte, size[0]*size[1]), Stride: size[0], Width: size[0], Height: size[1], Format: vedette.Gray8}
		if got := verdict(fitness(), p, time.Unix(0, 0)); got != "black" {
			t.Errorf("%v black: %s", size, got)
		}
		for i := range p.Data {
			p.Data[i] = byte(i%7*30 + 40)
		}
		if got := verdict(fitness(), p, time.Unix(0, 0)); got == "black" {
			t.Errorf("%v with content: %s", size, got)
		}
	}
}

func TestFitnessConfigValidate(t *testing.T) {
	for _, good := range []preprocess.FitnessConfig{preprocess.DefaultFitnessConfig(), {}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	err := preprocess.FitnessConfig{Black: -1, Covered: 300, Blurred: 1, Settle: -1, Frozen: -1}.Validate()
	for _, want := range []string{"black", "covered", "blurred", "settle", "frozen"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func BenchmarkFitness1080p(b *testing.B) {
	for _, repeated := range []bool{false, true} {
		name := map[bool]string{false: "live", true: "frozen"}[repeated]
		b.Run(name, func(b *testing.B) {
			s := newStage(1920, 1080)
			pic, now := s.shoot(0, 200, 300, 300)
			f := fitness()
			b.ReportAllocs()
			for b.Loop() {
				if !repeated {
					for i := range 1920 * 10 {
						pic.Data[540*1920+i]++
					}
				}
				f.Check(pic, now)
			}
		})
	}
}
