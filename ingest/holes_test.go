package ingest

import (
	"math"
	"testing"
)

func TestHoleCounter(t *testing.T) {
	const rate = 25.0
	rounded := func(frames float64) func(int) float64 { // a container with whole milliseconds
		at := 0.0
		return func(int) float64 {
			before := math.Round(at)
			at += frames * 1000 / 30
			return math.Round(at) - before
		}
	}
	for _, tc := range []struct {
		name  string
		fps   float64
		steps func(i int) float64
		want  uint64
	}{
		{"steady", rate, func(int) float64 { return 40 }, 0},
		{"whole milliseconds", 30, rounded(1), 0},
		{"two holes", rate, func(i int) float64 {
			switch i {
			case 50:
				return 80
			case 90:
				return 240
			}
			return 40
		}, 6},
		{"a hole at the beginning", rate, func(i int) float64 {
			if i == 2 {
				return 160
			}
			return 40
		}, 3},
		{"a hole of half a minute", 30, func(i int) float64 {
			if i == 20 {
				return 30_000
			}
			return 1000. / 30
		}, 899},
		// The mean of a film that leaves out repeated frames is not its step.
		{"variable, by index", 20, func(i int) float64 {
			if i%4 == 3 {
				return 80
			}
			return 40
		}, 0},
		{"jittery", rate, func(i int) float64 { return 40 + float64(i%5-2)*8 }, 0},
		{"at half the rate", 2 * rate, func(int) float64 { return 40 }, 0},
		{"in ticks", 1000, func(int) float64 { return 33 }, 0},
		{"no rate", 0, func(i int) float64 { return 40 + float64(i%2)*40 }, 0},
		{"a time again, and one never", rate, func(i int) float64 {
			switch i {
			case 40:
				return -40
			case 41:
				return 120
			}
			return 40
		}, 1},
		{"clock jumps", rate, func(i int) float64 {
			switch i {
			case 40:
				return -3.6e6
			case 60:
				return 3.6e6
			}
			return 40
		}, 0},
		{"not a number", rate, func(int) float64 { return math.NaN() }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h holeCounter
			if tc.fps > 0 {
				h.usual = 1000 / tc.fps
			}
			pts, got := 0.0, uint64(0)
			for i := range 120 {
				got = h.add(pts)
				pts += tc.steps(i)
			}
			if got != tc.want {
				t.Errorf("%d missing, want %d", got, tc.want)
			}
		})
	}
}
