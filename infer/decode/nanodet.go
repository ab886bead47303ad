package decode

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vedette-io/vedette/models"
)

// nanodet reads NanoDet and NanoDet-Plus: class probabilities, and for each
// side of the box a distribution over its distance from the cell's point, in
// strides (Li et al. 2020, Generalized Focal Loss, arXiv:2006.04388). As in
// the project's own code a box may stand for several classes.
type nanodet struct {
	levels  []nanodetLevel
	classes int
	bins    int     // of the distribution of one side
	offset  float32 // of the point in its cell, in strides
}

// nanodetLevel says where a feature map's numbers are: the outputs for classes
// and boxes, and the first row and column there.
type nanodetLevel struct {
	level
	cls, box    int
	row, boxCol int
}

func buildNanoDet(s spec) (Decoder, error) {
	if len(s.outs) == 1 {
		return buildNanoDetPlus(s)
	}
	n, ok := nanodetLevels(s)
	if !ok {
		return nil, errors.New("no pair of class and box outputs for each stride")
	}
	return newDetector(s, n.classes, n)
}

// nanodetLevels pairs separate outputs by their number of cells.
func nanodetLevels(s spec) (nanodet, bool) {
	strides := s.out.Strides
	if len(strides) == 0 {
		strides = []int{8, 16, 32, 64}[:min(len(s.outs)/2, 4)]
	}
	if len(strides) == 0 || len(s.outs) != 2*len(strides) {
		return nanodet{}, false
	}
	r := nanodet{offset: nanodetOffset(len(strides))}
	for _, l := range levelsFor(s.in.Width, s.in.Height, strides) {
		nl := nanodetLevel{level: l, cls: -1, box: -1}
		for i, o := range s.outs {
			if len(o.Shape) != 3 || o.Shape[1] != l.cells() {
				continue
			}
			// The box output has eight bins a side, and comes second should
			// there be as many classes.
			if o.Shape[2] == 32 && (nl.cls >= 0 || !slices.ContainsFunc(s.outs[i+1:], func(p Info) bool {
				return len(p.Shape) == 3 && p.Shape[1] == l.cells() && p.Shape[2] == 32
			})) {
				nl.box = i
			} else if nl.cls < 0 {
				nl.cls = i
			}
		}
		if nl.cls < 0 || nl.box < 0 {
			return nanodet{}, false
		}
		classes := s.outs[nl.cls].Shape[2]
		if classes < 1 || (r.classes > 0 && classes != r.classes) {
			return nanodet{}, false
		}
		r.classes, r.bins = classes, 8
		r.levels = append(r.levels, nl)
	}
	return r, true
}

// nanodetOffset is where in its cell a box's point lies: NanoDet, with three
// feature maps, takes the centre, NanoDet-Plus, with four, the corner.
func nanodetOffset(levels int) float32 {
	if levels == 3 {
		return 0.5
	}
	return 0
}

// buildNanoDetPlus reads everything in one output, rows of classes and box.
func buildNanoDetPlus(s spec) (Decoder, error) {
	o, err := s.rows(33)
	if err != nil {
		return nil, err
	}
	strides := s.out.Strides
	if len(strides) == 0 {
		strides = []int{8, 16, 32, 64}
	}
	ls := levelsFor(s.in.Width, s.in.Height, strides)
	if err := needCells(&o.Shape[1], ls, s); err != nil {
		return nil, err
	}
	r := nanodet{classes: o.Shape[2] - 32, bins: 8}
	row := 0
	for _, l := range ls {
		r.levels = append(r.levels, nanodetLevel{level: l, row: row, boxCol: r.classes})
		row += l.cells()
	}
	return newDetector(s, r.classes, r)
}

func (r nanodet) read(outs []plane, c *collector) {
	for _, l := range r.levels {
		clsCols, boxCols := outs[l.cls].dims[1], outs[l.box].dims[1]
		cls, box := outs[l.cls].v[l.row*clsCols:], outs[l.box].v[l.row*boxCols:]
		for cell := range l.cells() {
			var b [4]float32
			decoded := false
			for class, p := range cls[cell*clsCols:][:r.classes] {
				if !c.wants(p) {
					continue
				}
				if !decoded {
					b = r.box(l.level, cell, box[cell*boxCols+l.boxCol:])
					decoded = true
				}
				c.add(p, class, b[0], b[1], b[2], b[3])
			}
		}
	}
}

// box is the cell's point plus the expected distance of each side.
func (r nanodet) box(l level, cell int, v []float32) [4]float32 {
	stride := float32(l.stride)
	x := (float32(cell%l.cols) + r.offset) * stride
	y := (float32(cell/l.cols) + r.offset) * stride
	var d [4]float32
	for side := range d {
		d[side] = expectation(v[side*r.bins:][:r.bins]) * stride
	}
	return [4]float32{x - d[0], y - d[1], x + d[2], y + d[3]}
}

// expectation is the mean index under the softmax of v.
func expectation(v []float32) float32 {
	top := slices.Max(v)
	var sum, mean float64
	for i, x := range v {
		p := math.Exp(float64(x - top))
		sum += p
		mean += float64(i) * p
	}
	return float32(mean / sum)
}

func guessNanoDet(e evidence, m *models.Manifest) bool {
	s := spec{outs: e.outs, in: e.in}
	if n, cols, ok := e.oneRows(); ok {
		if cols < 33 || n != cellCount(levelsFor(e.in.Width, e.in.Height, []int{8, 16, 32, 64})) ||
			cols == 85 || (len(m.Labels) > 0 && cols != 32+len(m.Labels)) {
			return false // 85: YOLOX with four feature maps and the classes of COCO
		}
	} else if _, ok := nanodetLevels(s); !ok {
		return false
	}
	m.Input.Color, m.Input.Resize = models.BGR, models.Letterbox
	m.Input.Scale = 1
	m.Input.Mean = []float64{103.53, 116.28, 123.675}
	m.Input.Std = []float64{57.375, 57.12, 58.395}
	return true
}

var errBoxCount = fmt.Errorf("%w: the outputs differ in their number of boxes", ErrLayout)
