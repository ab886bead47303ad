package main

import (
	"fmt"
	"image"
	"strings"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/board"
)

// hitIoU is the overlap above which a detection names a defect, the criterion
// of DeepPCB's authors.
const hitIoU = 0.33

// verdict compares what was found on a board with what was injected.
type verdict struct {
	objects []vedette.Object // on this board
	found   int
	missed  []board.SeenDefect
	false   int
}

// judge matches the objects on board b to its defects: same class, IoU above
// [hitIoU], best score first (objects come so), each defect once.
func judge(b board.Seen, objects []vedette.Object) verdict {
	var v verdict
	taken := make([]bool, len(b.Defects))
	for _, o := range objects {
		if !inside(b.Area, o.Box) {
			continue
		}
		v.objects = append(v.objects, o)
		hit := -1
		best := hitIoU
		for i, d := range b.Defects {
			if iou := overlap(o.Box, d.Box); !taken[i] && d.Class.String() == o.Label && iou > best {
				hit, best = i, iou
			}
		}
		if hit < 0 {
			v.false++
			continue
		}
		taken[hit] = true
		v.found++
	}
	for i, d := range b.Defects {
		if !taken[i] {
			v.missed = append(v.missed, d)
		}
	}
	return v
}

// inside says whether the middle of a box lies in an area.
func inside(area image.Rectangle, b vedette.Box) bool {
	return image.Pt(int((b[0]+b[2])/2), int((b[1]+b[3])/2)).In(area)
}

// overlap is the intersection over union of a detection and a defect.
func overlap(b vedette.Box, r image.Rectangle) float64 {
	w := min(b[2], float64(r.Max.X)) - max(b[0], float64(r.Min.X))
	h := min(b[3], float64(r.Max.Y)) - max(b[1], float64(r.Min.Y))
	if w <= 0 || h <= 0 {
		return 0
	}
	both := w * h
	return both / ((b[2]-b[0])*(b[3]-b[1]) + float64(r.Dx()*r.Dy()) - both)
}

// add counts a judged board.
func (t *demoScore) add(b board.Seen, v verdict) {
	t.boards++
	t.injected += len(b.Defects)
	t.found += v.found
	t.missed += len(v.missed)
	t.false += v.false
	switch {
	case len(b.Defects) > 0:
		t.defective++
		if len(v.objects) == 0 {
			t.escapes++
		}
	case len(v.objects) > 0:
		t.rejects++
	}
}

// line is the verdict for a person.
func (v verdict) line(b board.Seen) string {
	var s strings.Builder
	fmt.Fprintf(&s, "board %3d  ", b.Board)
	if len(v.objects) == 0 {
		s.WriteString("nothing found")
	}
	for i, o := range v.objects {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "%s %.2f [%.0f %.0f %.0f %.0f]", o.Label, o.Score, o.Box[0], o.Box[1], o.Box[2], o.Box[3])
	}
	for _, d := range v.missed {
		fmt.Fprintf(&s, "; MISSED %s [%d %d %d %d]", d.Class, d.Box.Min.X, d.Box.Min.Y, d.Box.Max.X, d.Box.Max.Y)
	}
	if v.false > 0 {
		fmt.Fprintf(&s, "; %d FALSE", v.false)
	}
	return s.String()
}
