package decode

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// maxCandidates bounds the boxes that suppression compares: the best ones.
const maxCandidates = 1000

// probabilityTolerance is how far beyond 0..1 a score may lie by rounding,
// half-precision models included.
const probabilityTolerance = 0.01

// candidate is a box above the score threshold, [x1 y1 x2 y2] in pixels of the
// model's input.
type candidate struct {
	box   [4]float32
	area  float32
	score float32
	class int32
	seq   int32 // order of discovery, which breaks ties
}

// collector gathers the candidates of one picture in bounded memory: when
// four times too many have come it keeps the best and raises the bar.
type collector struct {
	min   float32 // scores below it are not wanted
	floor float32 // scores not above it cannot make it any more; -1 at first
	items []candidate
	kept  []candidate
	seq   int32
	err   error
}

func (c *collector) reset(minScore float32) {
	c.min, c.floor, c.seq, c.err = minScore, -1, 0, nil
	c.items = c.items[:0]
}

// wants reports whether a score is worth decoding a box for. NaN is, so that
// add sees it and fails the picture.
func (c *collector) wants(score float32) bool {
	return !(score < c.min || score <= c.floor)
}

// reject marks the picture as failed.
func (c *collector) reject(err error) {
	if c.err == nil {
		c.err = err
	}
}

// add takes a box [x1 y1 x2 y2] in pixels of the model's input.
func (c *collector) add(score float32, class int, x1, y1, x2, y2 float32) {
	if !c.wants(score) {
		return
	}
	// x-x is 0 for every finite x and NaN otherwise; NaN survives the sum.
	if (score-score)+(x1-x1)+(y1-y1)+(x2-x2)+(y2-y2) != 0 {
		c.reject(ErrNotFinite)
		return
	}
	if score > 1+probabilityTolerance {
		c.reject(fmt.Errorf("%w (one is %v): check output.decoder in the manifest", ErrNotProbability, score))
		return
	}
	c.items = append(c.items, candidate{
		box: [4]float32{x1, y1, x2, y2}, area: max(x2-x1, 0) * max(y2-y1, 0),
		score: min(score, 1), class: int32(class), seq: c.seq,
	})
	c.seq++
	if len(c.items) >= 4*maxCandidates {
		c.prune()
		c.floor = c.items[len(c.items)-1].score
	}
}

// addCenter takes a box as centre, width and height.
func (c *collector) addCenter(score float32, class int, cx, cy, w, h float32) {
	c.add(score, class, cx-w/2, cy-h/2, cx+w/2, cy+h/2)
}

// prune sorts, best first, ties in order of discovery, and keeps the best.
func (c *collector) prune() {
	slices.SortFunc(c.items, func(a, b candidate) int {
		if a.score != b.score {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.seq, b.seq)
	})
	c.items = c.items[:min(len(c.items), maxCandidates)]
}

// suppress returns the candidates that stay after greedy non-maximum
// suppression: best first, each dropping the weaker ones of its own class that
// overlap it by more than iou. With iou 1 all stay. The result is valid until
// the next call.
func (c *collector) suppress(iou float32) []candidate {
	c.prune()
	if iou >= 1 {
		return c.items
	}
	c.kept = c.kept[:0]
next:
	for i := range c.items {
		a := &c.items[i]
		for j := range c.kept {
			if b := &c.kept[j]; b.class == a.class && overlap(a, b) > iou {
				continue next
			}
		}
		c.kept = append(c.kept, *a)
	}
	return c.kept
}

// overlap is the intersection of two boxes over their union; 0 when both are
// empty.
func overlap(a, b *candidate) float32 {
	w := min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
	h := min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
	if !(w > 0 && h > 0) {
		return 0
	}
	inter := w * h
	return inter / (a.area + b.area - inter)
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
func exp(x float32) float32     { return float32(math.Exp(float64(x))) }
