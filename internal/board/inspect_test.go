package board_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/board"
)

// inspect has the first n boards of a line looked at by a detector that is given
// the truth of each frame.
func inspect(t *testing.T, l *board.Line, least float64, n uint64, every int, look func(frame uint64, s board.Seen) []vedette.Object) []board.Verdict {
	t.Helper()
	in := board.NewInspection(l, least)
	var out []board.Verdict
	for i := uint64(0); uint64(len(out)) < n && i < 10000; i += uint64(every) {
		seen, err := l.Truth(i)
		if err != nil {
			t.Fatal(err)
		}
		var objects []vedette.Object
		for _, s := range seen {
			objects = append(objects, look(i, s)...)
		}
		verdicts, err := in.Frame(i, objects)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, verdicts...)
	}
	return out
}

func exactly(s board.Seen) (out []vedette.Object) {
	for _, d := range s.Defects {
		r := d.Box
		out = append(out, vedette.Object{Label: d.Class.String(), Score: 0.9,
			Box: vedette.Box{float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)}})
	}
	return out
}

func totals(vs []board.Verdict) (injected, found, missed, false int) {
	for _, v := range vs {
		injected += v.Injected
		found += v.Found
		missed += len(v.Missed)
		false += v.False
	}
	return injected, found, missed, false
}

// Who sees all in each frame, or in most of them, finds all; what is seen now
// and then, or faintly, is nothing.
func TestInspection(t *testing.T) {
	const (
		boards = 6
		least  = 0.4
	)
	l := newLine(t, func(c *board.LineConfig) { c.Seed, c.DefectRate, c.Speed = 5, 0.7, 1 })
	r := rand.New(rand.NewPCG(1, 2))
	stray := vedette.Object{Label: "spur", Score: 0.9}
	for name, c := range map[string]struct {
		every int
		look  func(i uint64, s board.Seen) []vedette.Object
		want  func(injected, found, missed, false int) bool
	}{
		"all": {1, func(_ uint64, s board.Seen) []vedette.Object { return exactly(s) },
			func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"few frames": {9, func(_ uint64, s board.Seen) []vedette.Object { return exactly(s) },
			func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"three of four": {1, func(i uint64, s board.Seen) []vedette.Object {
			if i%4 == 0 {
				return nil
			}
			return exactly(s)
		}, func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"one of four": {1, func(i uint64, s board.Seen) []vedette.Object {
			if i%4 != 0 {
				return nil
			}
			return exactly(s)
		}, func(injected, found, missed, false int) bool { return found == 0 && missed == injected && false == 0 }},
		"faintly": {1, func(_ uint64, s board.Seen) []vedette.Object {
			out := exactly(s)
			for i := range out {
				out[i].Score = least - 0.01
			}
			return out
		}, func(injected, found, missed, false int) bool { return found == 0 && missed == injected && false == 0 }},
		"sometimes another class": {1, func(i uint64, s board.Seen) []vedette.Object {
			out := exactly(s)
			for k := range out {
				if i%3 == 0 {
					out[k].Label = "something"
				}
			}
			return out
		}, func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"two classes at one place": {1, func(_ uint64, s board.Seen) []vedette.Object {
			out := exactly(s)
			for _, o := range out {
				o.Label, o.Score = "something", o.Score-0.2
				out = append(out, o)
			}
			return out
		}, func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"strays": {1, func(_ uint64, s board.Seen) []vedette.Object {
			o := stray
			x, y := float64(s.Origin.X)+480*r.Float64(), float64(s.Origin.Y)+480*r.Float64()
			o.Box = vedette.Box{x, y, x + 40, y + 40}
			return append(exactly(s), o)
		}, func(injected, found, missed, false int) bool { return found == injected && missed+false == 0 }},
		"a false one that stays": {1, func(_ uint64, s board.Seen) []vedette.Object {
			o := stray
			x, y := float64(s.Origin.X)+5, float64(s.Origin.Y)+5
			o.Box = vedette.Box{x, y, x + 9, y + 9}
			return append(exactly(s), o)
		}, func(injected, found, missed, false int) bool {
			return found == injected && missed == 0 && false == boards
		}},
		"another class": {1, func(_ uint64, s board.Seen) []vedette.Object {
			out := exactly(s)
			for i := range out {
				out[i].Label = "something"
			}
			return out
		}, func(injected, found, missed, false int) bool {
			return found == 0 && missed == injected && false == injected
		}},
	} {
		vs := inspect(t, l, least, boards, c.every, c.look)
		injected, found, missed, false := totals(vs)
		if len(vs) != boards || injected == 0 || !c.want(injected, found, missed, false) {
			t.Errorf("%s: %d boards, %d injected, %d found, %d missed, %d false", name, len(vs), injected, found, missed, false)
		}
	}
}

// A board that no frame shows is judged, too, and what is found beside the
// boards counts.
func TestInspectionLeavesNothingOut(t *testing.T) {
	l := newLine(t, func(c *board.LineConfig) { c.Seed, c.DefectRate, c.Empty, c.Speed, c.FPS = 5, 1, 0.4, 1, 5 })
	stray := func(s vedette.Box) vedette.Object { return vedette.Object{Label: "spur", Score: 0.9, Box: s} }
	in := board.NewInspection(l, 0.1)
	var vs []board.Verdict
	const skipped, end = 40, 200 // frames; 5 show a board
	for i := uint64(0); i < end; i++ {
		if i == 1 {
			i = skipped
		}
		seen, err := l.Truth(i)
		if err != nil {
			t.Fatal(err)
		}
		var objects []vedette.Object
		if len(seen) == 0 {
			objects = append(objects, stray(vedette.Box{300, 300, 340, 340}))
		}
		for _, s := range seen {
			x, y := float64(s.Origin.X), float64(s.Origin.Y)
			objects = append(objects, stray(vedette.Box{x + 200, y - 40, x + 230, y - 10}))
		}
		v, err := in.Frame(i, objects)
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v...)
	}
	boards, unseen, empty := 0, 0, 0
	for k, v := range vs {
		if k > 0 && v.Board <= vs[k-1].Board {
			t.Errorf("board %d after %d", v.Board, vs[k-1].Board)
		}
		switch {
		case v.Empty:
			empty++
		case v.Frames == 0:
			unseen++
			if v.False != 0 {
				t.Errorf("%s: found in no frame", v)
			}
		case v.False != 1:
			t.Errorf("%s: the false one above the board is not counted once", v)
		}
		if !v.Empty {
			boards++
		}
		if v.Found+len(v.Missed) != v.Injected || v.Empty == (v.Injected > 0) {
			t.Errorf("%s: %d injected, %d found, %d missed", v, v.Injected, v.Found, len(v.Missed))
		}
	}
	if boards < 15 || unseen < 3 || empty < 3 {
		t.Errorf("%d boards, %d that no frame showed, %d empty places with something on them", boards, unseen, empty)
	}
}
