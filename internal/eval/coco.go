package eval

import (
	"cmp"
	"math"
	"slices"
)

// COCO holds the twelve scores of the COCO API (bounding boxes, pycocotools
// COCOeval): average precision over 101 recall levels, averaged over the
// overlaps 0.50, 0.55 … 0.95 unless one is named, and average recall with at
// most 1, 10 or 100 detections a picture and class. Small is an area below
// 32², large one above 96² pixels. [Undefined] where there is no such object.
type COCO struct {
	AP       Value `json:"ap"`
	AP50     Value `json:"ap50"`
	AP75     Value `json:"ap75"`
	APSmall  Value `json:"ap_small"`
	APMedium Value `json:"ap_medium"`
	APLarge  Value `json:"ap_large"`
	AR1      Value `json:"ar_1"`
	AR10     Value `json:"ar_10"`
	AR100    Value `json:"ar_100"`
	ARSmall  Value `json:"ar_small"`
	ARMedium Value `json:"ar_medium"`
	ARLarge  Value `json:"ar_large"`
}

// maxFound is how many detections a picture and class COCO looks at.
const maxFound = 100

// cocoIoUs returns the ten overlaps. They are computed as numpy.linspace does,
// in float64 step by step: an overlap may be exactly a threshold.
func cocoIoUs() [10]float64 {
	var out [10]float64
	first, last := 0.5, 0.95
	step := (last - first) / float64(len(out)-1)
	for i := range out {
		out[i] = float64(float64(i)*step) + first
	}
	out[len(out)-1] = last
	return out
}

// recallLevels returns the 101 levels of recall, as numpy.linspace does.
func recallLevels() [101]float64 {
	var out [101]float64
	step := 1.0 / float64(len(out)-1)
	for i := range out {
		out[i] = float64(i) * step
	}
	out[len(out)-1] = 1
	return out
}

// areaRange is the areas, both ends included, that a score looks at.
type areaRange struct{ from, to float64 }

func (r areaRange) outside(area float64) bool { return area < r.from || area > r.to }

func cocoAreas() [4]areaRange {
	return [4]areaRange{{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}
}

// ruling is what became of one detection at each overlap: bit t of hit says
// that it matched a truth, bit t of ignore that it does not count.
type ruling struct {
	score       float64
	rank        int // among the detections of its picture and class, best is 0
	hit, ignore uint16
}

// cocoClass is the scores of one class: by overlap, averaged over recall
// levels. Classes without truth are all [Undefined].
type cocoClass struct {
	precision [4][10]float64 // area × overlap, at most 100 detections
	recall    [3][10]float64 // 1, 10, 100 detections × overlap, all areas
	recallBy  [4][10]float64 // area × overlap, at most 100 detections
}

// scoreCOCO scores every class.
func scoreCOCO(groups [][]group) []cocoClass {
	out := make([]cocoClass, len(groups))
	var s cocoScorer
	for c, gs := range groups {
		for a, area := range cocoAreas() {
			positives := s.rule(gs, area)
			out[c].precision[a], out[c].recallBy[a] = accumulate(s.rulings, positives)
			if a != 0 {
				continue
			}
			for m, most := range [3]int{1, 10, maxFound} {
				kept := slices.DeleteFunc(slices.Clone(s.rulings), func(r ruling) bool { return r.rank >= most })
				_, out[c].recall[m] = accumulate(kept, positives)
			}
		}
	}
	return out
}

// cocoScorer keeps the buffers of scoreCOCO.
type cocoScorer struct {
	matcher matcher
	table   []float64
	ignored []bool
	matched [maxFound]int
	rulings []ruling
}

// rule matches the detections of one class in all pictures, leaves the rulings
// in s, best score first, and returns how many truths are to be found.
func (s *cocoScorer) rule(gs []group, area areaRange) (positives int) {
	s.rulings = s.rulings[:0]
	for i := range gs {
		g := &gs[i]
		s.ignored = s.ignored[:0]
		for t := range g.truth {
			ignored := g.truth[t].Crowd || area.outside(g.truth[t].Area)
			s.ignored = append(s.ignored, ignored)
			if !ignored {
				positives++
			}
		}
		n := min(len(g.found), maxFound)
		s.table = g.overlaps(n, s.table)
		first := len(s.rulings)
		for rank, d := range g.found[:n] {
			s.rulings = append(s.rulings, ruling{score: d.score, rank: rank})
		}
		for t, iou := range cocoIoUs() {
			matched := s.matched[:n]
			s.matcher.match(g.truth, s.ignored, s.table, iou, matched)
			for d, m := range matched {
				r := &s.rulings[first+d]
				switch {
				case m >= 0 && s.ignored[m]:
					r.hit |= 1 << t
					r.ignore |= 1 << t
				case m >= 0:
					r.hit |= 1 << t
				case area.outside(g.found[d].box.Area()):
					r.ignore |= 1 << t
				}
			}
		}
	}
	// Stable: pictures in order decide between equal scores, as numpy's
	// mergesort does.
	slices.SortStableFunc(s.rulings, func(a, b ruling) int { return cmp.Compare(b.score, a.score) })
	return positives
}

// accumulate turns rulings, best first, into the precision averaged over the
// recall levels, and the recall, at each overlap.
func accumulate(rulings []ruling, positives int) (precision, recall [10]float64) {
	const epsilon = 0x1p-52 // numpy.spacing(1)
	var curve []point
	for t := range precision {
		if positives == 0 {
			precision[t], recall[t] = math.NaN(), math.NaN()
			continue
		}
		curve = curve[:0]
		hits, misses := 0.0, 0.0
		for _, r := range rulings {
			switch {
			case r.ignore>>t&1 == 1:
			case r.hit>>t&1 == 1:
				hits++
			default:
				misses++
			}
			curve = append(curve, point{recall: hits / float64(positives), precision: hits / (misses + hits + epsilon)})
		}
		if len(curve) > 0 {
			recall[t] = curve[len(curve)-1].recall
		}
		precision[t] = interpolate(curve, recallLevels())
	}
	return precision, recall
}

// point is a place on a precision-recall curve.
type point struct{ recall, precision float64 }

// interpolate averages, over the levels, the best precision at that recall or
// a higher one. It overwrites curve, whose recall rises.
func interpolate(curve []point, levels [101]float64) float64 {
	envelope(curve)
	sum, at := 0.0, 0
	for _, level := range levels {
		for at < len(curve) && curve[at].recall < level {
			at++
		}
		if at == len(curve) {
			break
		}
		sum += curve[at].precision
	}
	return sum / float64(len(levels))
}

// envelope makes precision fall with recall, by the best that follows.
func envelope(curve []point) {
	for i := len(curve) - 2; i >= 0; i-- {
		curve[i].precision = max(curve[i].precision, curve[i+1].precision)
	}
}

// summarize averages the classes that have truth.
func summarize(classes []cocoClass) COCO {
	over := func(pick func(*cocoClass) []float64) Value {
		sum, n := 0.0, 0
		for i := range classes {
			for _, v := range pick(&classes[i]) {
				if !math.IsNaN(v) {
					sum += v
					n++
				}
			}
		}
		if n == 0 {
			return Undefined()
		}
		return Value(sum / float64(n))
	}
	precision := func(area int) func(*cocoClass) []float64 {
		return func(c *cocoClass) []float64 { return c.precision[area][:] }
	}
	recall := func(most int) func(*cocoClass) []float64 {
		return func(c *cocoClass) []float64 { return c.recall[most][:] }
	}
	recallBy := func(area int) func(*cocoClass) []float64 {
		return func(c *cocoClass) []float64 { return c.recallBy[area][:] }
	}
	return COCO{
		AP:       over(precision(0)),
		AP50:     over(func(c *cocoClass) []float64 { return c.precision[0][:1] }),
		AP75:     over(func(c *cocoClass) []float64 { return c.precision[0][5:6] }),
		APSmall:  over(precision(1)),
		APMedium: over(precision(2)),
		APLarge:  over(precision(3)),
		AR1:      over(recall(0)),
		AR10:     over(recall(1)),
		AR100:    over(recall(2)),
		ARSmall:  over(recallBy(1)),
		ARMedium: over(recallBy(2)),
		ARLarge:  over(recallBy(3)),
	}
}
