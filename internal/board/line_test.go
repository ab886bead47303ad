package board_test

import (
	"bytes"
	"image"
	"math"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/board"
)

func newLine(t testing.TB, change func(*board.LineConfig)) *board.Line {
	t.Helper()
	cfg := board.DefaultLine()
	if change != nil {
		change(&cfg)
	}
	l, err := board.NewLine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func frame(t testing.TB, l *board.Line, i uint64) []byte {
	t.Helper()
	px := make([]byte, l.Config().Width*l.Config().Height)
	if err := l.Gray(i, px); err != nil {
		t.Fatal(err)
	}
	return px
}

func TestLineIsDeterministic(t *testing.T) {
	a, b := newLine(t, nil), newLine(t, nil)
	frame(t, b, 900) // frames may be asked for in any order
	for _, i := range []uint64{0, 40, 1000} {
		x, y := frame(t, a, i), frame(t, b, i)
		if !bytes.Equal(x, y) {
			t.Errorf("frame %d was drawn twice differently", i)
		}
		colour := make([]byte, 3*len(x))
		if err := a.BGR(i, colour); err != nil {
			t.Fatal(err)
		}
		for k, v := range x {
			if colour[3*k] != v || colour[3*k+1] != v || colour[3*k+2] != v {
				t.Fatalf("frame %d: pixel %d is %v in colour, %d in grey", i, k, colour[3*k:3*k+3], v)
			}
		}
	}
	other := newLine(t, func(c *board.LineConfig) { c.Seed = 1 })
	if bytes.Equal(frame(t, a, 5), frame(t, other, 5)) {
		t.Error("two seeds gave the same frame")
	}
}

// TestLineTruth compares a line with the same line without defects: frames
// differ inside the boxes of the truth only, and in each of them.
func TestLineTruth(t *testing.T) {
	quiet := func(rate float64) *board.Line {
		return newLine(t, func(c *board.LineConfig) { c.Noise, c.DefectRate, c.MaxDefects, c.Seed = 0, rate, 5, 3 })
	}
	bad, good := quiet(1), quiet(0)
	w := bad.Config().Width
	total := 0
	for i := uint64(0); i < 200; i += 20 {
		truth, err := bad.Truth(i)
		if err != nil {
			t.Fatal(err)
		}
		a, b := frame(t, bad, i), frame(t, good, i)
		var boxes []image.Rectangle
		for _, s := range truth {
			for _, d := range s.Defects {
				boxes = append(boxes, d.Box)
			}
		}
		hit := make([]bool, len(boxes))
		for k := range a {
			if a[k] == b[k] {
				continue
			}
			inside := false
			for n, box := range boxes {
				if image.Pt(k%w, k/w).In(box) {
					inside, hit[n] = true, true
				}
			}
			if !inside {
				t.Fatalf("frame %d: %d,%d differs outside of %v", i, k%w, k/w, boxes)
			}
		}
		for _, s := range truth {
			for _, d := range s.Defects {
				if d.Visible == 1 && !hit[indexOf(boxes, d.Box)] {
					t.Errorf("frame %d: nothing changed in %v", i, d.Box)
				}
			}
		}
		total += len(boxes)
	}
	if total < 10 {
		t.Errorf("only %d defects in view", total)
	}
}

func indexOf(boxes []image.Rectangle, b image.Rectangle) int {
	for i := range boxes {
		if boxes[i] == b {
			return i
		}
	}
	return -1
}

func TestLineMoves(t *testing.T) {
	l := newLine(t, func(c *board.LineConfig) { c.Speed, c.FPS = 2, 10 }) // a board each fifth frame
	for _, tc := range []struct{ frame, board uint64 }{{0, 0}, {5, 1}, {50, 10}, {5000, 1000}} {
		seen, err := l.Truth(tc.frame)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || seen[0].Board != tc.board || !seen[0].Whole || seen[0].Area.Min.X != 60 {
			t.Errorf("frame %d shows %+v, want board %d in the middle", tc.frame, seen, tc.board)
		}
		if n := l.Passed(tc.frame); n != tc.board {
			t.Errorf("%d boards have passed before frame %d, want %d", n, tc.frame, tc.board)
		}
	}
	still := newLine(t, func(c *board.LineConfig) { c.Speed = 0 })
	if p := still.Passed(1 << 40); p != 0 {
		t.Errorf("%d boards passed on a belt that stands", p)
	}
}

func TestEmptyPlaces(t *testing.T) {
	bare := newLine(t, func(c *board.LineConfig) { c.Empty, c.Noise = 1, 0 })
	for _, i := range []uint64{0, 30, 999} {
		if seen, err := bare.Truth(i); err != nil || len(seen) != 0 {
			t.Errorf("frame %d of an empty belt shows %+v, %v", i, seen, err)
		}
		for k, v := range frame(t, bare, i) {
			if v > 100 {
				t.Fatalf("frame %d of an empty belt has grey %d at %d", i, v, k)
			}
		}
	}
	small := func(c *board.LineConfig) { c.BoardWidth, c.BoardHeight = 160, 160 }
	all, some := newLine(t, small), newLine(t, func(c *board.LineConfig) { small(c); c.Empty = 0.4 })
	places, boards := 0, 0
	for i := uint64(0); i < 3000; i += 50 { // a place each
		a, _ := all.Truth(i)
		b, _ := some.Truth(i)
		places += len(a)
		boards += len(b)
		if len(b) == 1 && (b[0].Board != a[0].Board || b[0].Total != a[0].Total) {
			t.Errorf("frame %d shows %+v, on a full belt %+v", i, b, a)
		}
	}
	if share := float64(boards) / float64(places); share < 0.5 || share > 0.7 {
		t.Errorf("%d boards on %d places, want about 0.6", boards, places)
	}
}

func TestLineLight(t *testing.T) {
	mean := func(light float64) float64 {
		sum := 0
		px := frame(t, newLine(t, func(c *board.LineConfig) { c.Light = light }), 0)
		for _, v := range px {
			sum += int(v)
		}
		return float64(sum) / float64(len(px))
	}
	if one, half := mean(1), mean(0.5); math.Abs(half/one-0.5) > 0.05 {
		t.Errorf("mean grey %.1f with full light and %.1f with half", one, half)
	}
	if dark := mean(0); dark > 5 {
		t.Errorf("mean grey %.1f without light", dark)
	}
}

// Every size that a frame may have has room for a board.
func TestSized(t *testing.T) {
	for _, side := range [][2]int{{128, 128}, {128, 4096}, {4096, 128}, {145, 144}, {640, 640}} {
		l, err := board.NewLine(board.DefaultLine().Sized(side[0], side[1]))
		if err != nil {
			t.Errorf("%v: %v", side, err)
			continue
		}
		if seen, err := l.Truth(0); err != nil || len(seen) != 1 || !seen[0].Whole {
			t.Errorf("%v: frame 0 shows %+v, %v", side, seen, err)
		}
	}
	if d := board.DefaultLine(); d.Sized(d.Width, d.Height) != d {
		t.Errorf("of its own size it becomes %+v", d.Sized(d.Width, d.Height))
	}
	for _, side := range [][2]int{{127, 640}, {640, 127}, {640, 4097}} {
		if _, err := board.NewLine(board.DefaultLine().Sized(side[0], side[1])); err == nil || !strings.Contains(err.Error(), "must be 128 to 4096") {
			t.Errorf("%v: %v, want one that says the range", side, err)
		}
	}
}

func TestImpossibleLines(t *testing.T) {
	for name, change := range map[string]func(*board.LineConfig){
		"fps 0":              func(c *board.LineConfig) { c.FPS = 0 },
		"speed NaN":          func(c *board.LineConfig) { c.Speed = math.NaN() },
		"backwards":          func(c *board.LineConfig) { c.Speed = -1 },
		"too tall":           func(c *board.LineConfig) { c.BoardHeight = 630 },
		"rate over one":      func(c *board.LineConfig) { c.DefectRate = 1.1 },
		"emptier than empty": func(c *board.LineConfig) { c.Empty = 2 },
		"no defects":         func(c *board.LineConfig) { c.MaxDefects = 0 },
		"a board of one":     func(c *board.LineConfig) { c.BoardWidth = 1 },
		"a frame of ten":     func(c *board.LineConfig) { c.Width = 10 },
		"negative light":     func(c *board.LineConfig) { c.Light = -1 },
		"infinite sensor":    func(c *board.LineConfig) { c.Noise = math.Inf(1) },
	} {
		cfg := board.DefaultLine()
		change(&cfg)
		if _, err := board.NewLine(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := newLine(t, nil).Gray(0, make([]byte, 10)); err == nil {
		t.Error("a frame went into 10 bytes")
	}
}

func BenchmarkLine(b *testing.B) {
	l := newLine(b, func(c *board.LineConfig) { c.Speed = 0 })
	px := make([]byte, 3*640*640)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if err := l.BGR(i, px); err != nil {
			b.Fatal(err)
		}
	}
}
