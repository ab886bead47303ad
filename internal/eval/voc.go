package eval

import (
	"cmp"
	"math"
	"slices"
)

// VOC is the average precision of PASCAL VOC at one overlap: detections best
// first, each judged by the truth it overlaps most, a second one on the same
// truth is false.
type VOC struct {
	IoU float64 `json:"iou"`
	// EveryPoint is the area under the falling envelope (VOC 2010 and later).
	EveryPoint Value `json:"every_point"`
	// ElevenPoint averages the envelope at recall 0, 0.1 … 1 (VOC 2007).
	ElevenPoint Value `json:"eleven_point"`
}

// scoreVOC scores every class at one overlap. The last element is the mean
// over the classes that have truth.
func scoreVOC(groups [][]group, iou float64, inclusive bool) []VOC {
	out := make([]VOC, len(groups)+1)
	mean := VOC{IoU: iou}
	n := 0
	for c, gs := range groups {
		v := VOC{IoU: iou, EveryPoint: Undefined(), ElevenPoint: Undefined()}
		if curve, ok := vocCurve(gs, iou, inclusive); ok {
			envelope(curve)
			v.EveryPoint, v.ElevenPoint = Value(areaUnder(curve)), Value(elevenPoints(curve))
			mean.EveryPoint += v.EveryPoint
			mean.ElevenPoint += v.ElevenPoint
			n++
		}
		out[c] = v
	}
	if n == 0 {
		mean.EveryPoint, mean.ElevenPoint = Undefined(), Undefined()
	} else {
		mean.EveryPoint /= Value(n)
		mean.ElevenPoint /= Value(n)
	}
	out[len(groups)] = mean
	return out
}

// vocCurve walks the detections of one class, best first. ok is false when
// there is nothing to be found.
func vocCurve(gs []group, iou float64, inclusive bool) (curve []point, ok bool) {
	type claim struct {
		score       float64
		group, best int // best: the truth it overlaps enough, or -1
	}
	var claims []claim
	positives := 0
	taken := make([][]bool, len(gs))
	for g := range gs {
		taken[g] = make([]bool, len(gs[g].truth))
		for t := range gs[g].truth {
			if !gs[g].truth[t].optional() {
				positives++
			}
		}
		for _, d := range gs[g].found {
			best := mostOverlapped(d.box, gs[g].truth, iou, inclusive)
			claims = append(claims, claim{score: d.score, group: g, best: best})
		}
	}
	if positives == 0 {
		return nil, false
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(b.score, a.score) })
	hits, judged := 0, 0
	for _, c := range claims {
		if c.best >= 0 && gs[c.group].truth[c.best].optional() {
			continue
		}
		judged++
		if c.best >= 0 && !taken[c.group][c.best] {
			taken[c.group][c.best] = true
			hits++
		}
		curve = append(curve, point{
			recall:    float64(hits) / float64(positives),
			precision: float64(hits) / float64(judged),
		})
	}
	return curve, true
}

// mostOverlapped is the truth that box overlaps most, if by at least iou.
func mostOverlapped(box Rect, truth []Truth, iou float64, inclusive bool) int {
	best, most := -1, 0.0
	for t := range truth {
		v := 0.0
		if inclusive {
			v = overlapInclusive(box, truth[t].Box)
		} else {
			v = overlap(box, truth[t].Box, truth[t].Crowd)
		}
		if v > most {
			best, most = t, v
		}
	}
	if most < iou {
		return -1
	}
	return best
}

// areaUnder is the area under a falling curve, as steps.
func areaUnder(curve []point) float64 {
	sum, from := 0.0, 0.0
	for _, p := range curve {
		sum += (p.recall - from) * p.precision
		from = p.recall
	}
	return sum
}

// elevenPoints averages a falling curve at recall 0, 0.1 … 1.
func elevenPoints(curve []point) float64 {
	// A recall computed as hits over positives may lie a rounding below the
	// level it stands for.
	const slack = 1e-12
	sum := 0.0
	for i := range 11 {
		level := float64(i) / 10
		at, _ := slices.BinarySearchFunc(curve, level-slack, func(p point, level float64) int { return cmp.Compare(p.recall, level) })
		if at < len(curve) {
			sum += curve[at].precision
		}
	}
	return math.Min(sum/11, 1)
}
