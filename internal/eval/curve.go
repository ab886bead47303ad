package eval

import (
	"cmp"
	"slices"
)

// Point is what a score threshold does: detections of at least that score
// count, matched to truths of their class.
type Point struct {
	Score     float64 `json:"score"`
	True      int     `json:"true"`   // detections that match a truth
	False     int     `json:"false"`  // detections that do not
	Missed    int     `json:"missed"` // truths without a detection
	Precision Value   `json:"precision"`
	Recall    Value   `json:"recall"`
	F1        Value   `json:"f1"`
}

func newPoint(score float64, hits, wrong, positives int) Point {
	p := Point{Score: score, True: hits, False: wrong, Missed: positives - hits,
		Precision: Undefined(), Recall: Undefined(), F1: Undefined()}
	if hits+wrong > 0 {
		p.Precision = Value(float64(hits) / float64(hits+wrong))
	}
	if positives > 0 {
		p.Recall = Value(float64(hits) / float64(positives))
	}
	if all := hits + wrong + positives; all > 0 {
		p.F1 = Value(2 * float64(hits) / float64(all))
	}
	return p
}

// verdict says whether a detection is right. Matching goes by falling score,
// so it holds for any threshold.
type verdict struct {
	found
	item  int
	truth int  // index in Item.Truth, or -1
	skip  bool // it matches something that need not be found: does not count
}

// judge matches all detections at one overlap and returns them, best first.
func judge(groups [][]group, iou float64) []verdict {
	var out []verdict
	var m matcher
	var table []float64
	var ignored []bool
	var matched []int
	for _, gs := range groups {
		for i := range gs {
			g := &gs[i]
			ignored = ignored[:0]
			for t := range g.truth {
				ignored = append(ignored, g.truth[t].optional())
			}
			table = g.overlaps(len(g.found), table)
			matched = slices.Grow(matched[:0], len(g.found))[:len(g.found)]
			m.match(g.truth, ignored, table, iou, matched)
			for d, t := range matched {
				v := verdict{found: g.found[d], item: g.item, truth: -1}
				if t >= 0 {
					v.truth, v.skip = g.index[t], ignored[t]
				}
				out = append(out, v)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b verdict) int { return cmp.Compare(b.score, a.score) })
	return out
}

// above is the leading verdicts of at least that score.
func above(verdicts []verdict, score float64) []verdict {
	n, _ := slices.BinarySearchFunc(verdicts, score, func(v verdict, score float64) int {
		if v.score >= score {
			return -1
		}
		return 1
	})
	return verdicts[:n]
}

// pointAt counts what a threshold does.
func pointAt(verdicts []verdict, score float64, positives int) Point {
	hits, wrong := 0, 0
	for _, v := range above(verdicts, score) {
		switch {
		case v.skip:
		case v.truth >= 0:
			hits++
		default:
			wrong++
		}
	}
	return newPoint(score, hits, wrong, positives)
}

// bestF1 is the threshold with the highest F1, the highest of equals. ok is
// false when no threshold finds anything.
func bestF1(verdicts []verdict, positives int) (best Point, ok bool) {
	hits, wrong := 0, 0
	for i, v := range verdicts {
		switch {
		case v.skip:
		case v.truth >= 0:
			hits++
		default:
			wrong++
		}
		if i+1 < len(verdicts) && verdicts[i+1].score == v.score {
			continue // a threshold takes equal scores together
		}
		if p := newPoint(v.score, hits, wrong, positives); hits > 0 && (!ok || p.F1 > best.F1) {
			best, ok = p, true
		}
	}
	return best, ok
}

// curve samples the thresholds 0, 0.01 … 1.
func curve(verdicts []verdict, positives int) []Point {
	out := make([]Point, 101)
	hits, wrong, next := 0, 0, 0
	for i := len(out) - 1; i >= 0; i-- {
		score := float64(i) / 100
		for ; next < len(verdicts) && verdicts[next].score >= score; next++ {
			switch {
			case verdicts[next].skip:
			case verdicts[next].truth >= 0:
				hits++
			default:
				wrong++
			}
		}
		out[i] = newPoint(score, hits, wrong, positives)
	}
	return out
}
