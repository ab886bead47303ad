package eval

import (
	"cmp"
	"slices"
)

// Confusion counts, at one score and overlap, what each object was found as.
// Matrix[i][j] is how often class i was found as class j; the last row is
// detections where nothing is, the last column objects that were not found.
// Its diagonal is the true detections of [Point.True].
type Confusion struct {
	Labels []string `json:"labels"` // the classes, then "background"
	Matrix [][]int  `json:"matrix"`
}

// Background is the name of the row of false and the column of missed
// objects.
const Background = "background"

// confuse fills the matrix. Detections and truths of the same class are
// matched first, as every other score does it; what is left is matched without
// regard to class, the greatest overlap first.
func confuse(ds *Dataset, outcomes []Outcome, verdicts []verdict, iou float64) Confusion {
	n := len(ds.Classes)
	c := Confusion{Labels: append(slices.Clone(ds.Classes), Background), Matrix: make([][]int, n+1)}
	for i := range c.Matrix {
		c.Matrix[i] = make([]int, n+1)
	}
	taken := make([][]bool, len(ds.Items))
	for i := range taken {
		taken[i] = make([]bool, len(ds.Items[i].Truth))
	}
	wrong := make([][]found, len(ds.Items))
	for _, v := range verdicts {
		switch {
		case v.skip:
		case v.truth >= 0:
			taken[v.item][v.truth] = true
			c.Matrix[v.class][v.class]++
		default:
			wrong[v.item] = append(wrong[v.item], v.found)
		}
	}
	for i := range ds.Items {
		if !outcomes[i].scored() {
			continue
		}
		truth := ds.Items[i].Truth
		for d, t := range matchAnyClass(wrong[i], truth, taken[i], iou) {
			row := n
			if t >= 0 {
				row = truth[t].Class
			}
			c.Matrix[row][wrong[i][d].class]++
		}
		for t := range truth {
			if !taken[i][t] && !truth[t].optional() {
				c.Matrix[truth[t].Class][n]++
			}
		}
	}
	return c
}

// matchAnyClass pairs detections with free truths that must be found, the
// greatest overlap first, and marks those taken.
func matchAnyClass(dets []found, truth []Truth, taken []bool, iou float64) []int {
	type pair struct {
		d, t int
		iou  float64
	}
	var pairs []pair
	matched := make([]int, len(dets))
	for d := range dets {
		matched[d] = -1
		for t := range truth {
			if taken[t] || truth[t].optional() {
				continue
			}
			if v := overlap(dets[d].box, truth[t].Box, false); v >= iou {
				pairs = append(pairs, pair{d, t, v})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.iou, a.iou) })
	for _, p := range pairs {
		if matched[p.d] < 0 && !taken[p.t] {
			matched[p.d] = p.t
			taken[p.t] = true
		}
	}
	return matched
}

// Pictures counts whole pictures, at one score: what an inspection line calls
// escapes and false rejects. A picture that the model called unfit is neither:
// nobody takes it for a good one, and nothing was found in it.
type Pictures struct {
	WithObjects    int      `json:"with_objects"`    // pictures that show something, unfit ones too
	Escapes        int      `json:"escapes"`         // of these, nothing was found in
	WithoutObjects int      `json:"without_objects"` // pictures that show nothing, unfit ones too
	FalseRejects   int      `json:"false_rejects"`   // of these, something was found in
	Escaped        []string `json:"escaped"`
	FalseRejected  []string `json:"false_rejected"`
}

// countPictures judges whole pictures by the verdicts of at least the score
// in use.
func countPictures(ds *Dataset, outcomes []Outcome, verdicts []verdict) Pictures {
	p := Pictures{Escaped: []string{}, FalseRejected: []string{}}
	something := make([]bool, len(ds.Items))
	for _, v := range verdicts {
		if !v.skip {
			something[v.item] = true
		}
	}
	for i := range ds.Items {
		item := &ds.Items[i]
		if !outcomes[i].scored() {
			continue
		}
		shows := item.shows()
		switch {
		case outcomes[i].unfit():
		case shows && !something[i]:
			p.Escaped = append(p.Escaped, item.Name)
		case !shows && something[i]:
			p.FalseRejected = append(p.FalseRejected, item.Name)
		}
		if shows {
			p.WithObjects++
		} else {
			p.WithoutObjects++
		}
	}
	p.Escapes, p.FalseRejects = len(p.Escaped), len(p.FalseRejected)
	return p
}
