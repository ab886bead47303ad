package eval

import (
	"cmp"
	"slices"
)

// found is a detection whose label has been matched to a class.
type found struct {
	class int
	score float64
	box   Rect
}

// group is what one scored picture shows of one class, and what was found.
type group struct {
	item  int
	truth []Truth
	index []int   // of each truth in [Item.Truth]
	found []found // best score first; equal scores in the order they came
}

// groupByClass sorts everything into groups, by class and then by item; a
// class without truth or detections in a picture has no group for it.
func groupByClass(ds *Dataset, outcomes []Outcome, dets [][]found) [][]group {
	groups := make([][]group, len(ds.Classes))
	at := func(class, item int) *group {
		g := groups[class]
		if len(g) == 0 || g[len(g)-1].item != item {
			groups[class] = append(g, group{item: item})
		}
		return &groups[class][len(groups[class])-1]
	}
	for i := range ds.Items {
		if !outcomes[i].scored() {
			continue
		}
		for index, t := range ds.Items[i].Truth {
			g := at(t.Class, i)
			g.truth = append(g.truth, t)
			g.index = append(g.index, index)
		}
		for _, d := range dets[i] {
			g := at(d.class, i)
			g.found = append(g.found, d)
		}
	}
	for _, gs := range groups {
		for i := range gs {
			slices.SortStableFunc(gs[i].found, func(a, b found) int { return cmp.Compare(b.score, a.score) })
		}
	}
	return groups
}

// overlaps is the table of overlaps of n detections with all truths of a
// picture and class, row by detection.
func (g *group) overlaps(n int, into []float64) []float64 {
	into = into[:0]
	for _, d := range g.found[:n] {
		for i := range g.truth {
			into = append(into, overlap(d.box, g.truth[i].Box, g.truth[i].Crowd))
		}
	}
	return into
}

// matcher assigns detections to truths; its buffers are used again.
type matcher struct {
	order []int  // truths, those to be ignored last
	taken []bool // by truth
}

// match gives every detection, best first, the free truth it overlaps most, by
// at least iou, as evaluateImg of pycocotools does: a truth that counts is
// preferred to one that is ignored, crowds can be taken any number of times.
// into[d] becomes the truth's index, or -1. table is what [group.overlaps]
// returned for len(into) detections.
func (m *matcher) match(truth []Truth, ignored []bool, table []float64, iou float64, into []int) {
	m.order, m.taken = m.order[:0], m.taken[:0]
	for i := range truth {
		if !ignored[i] {
			m.order = append(m.order, i)
		}
		m.taken = append(m.taken, false)
	}
	for i := range truth {
		if ignored[i] {
			m.order = append(m.order, i)
		}
	}
	for d := range into {
		row := table[d*len(truth) : (d+1)*len(truth)]
		best, bestIoU := -1, min(iou, 1-1e-10)
		for _, t := range m.order {
			if m.taken[t] && !truth[t].Crowd {
				continue
			}
			if best >= 0 && !ignored[best] && ignored[t] {
				break
			}
			if row[t] < bestIoU {
				continue
			}
			best, bestIoU = t, row[t]
		}
		into[d] = best
		if best >= 0 {
			m.taken[best] = true
		}
	}
}
