package decode

import (
	"errors"
	"fmt"

	"github.com/vedette-io/vedette/models"
)

// end2end reads final objects, x1, y1, x2, y2, score, class, as YOLOv10 (Wang
// et al. 2024, arXiv:2405.14458) and later Ultralytics models with their
// NMS-free head, and exports with suppression inside the graph, write them.
type end2end struct {
	sx, sy  float32
	classes int // 0: not known
}

func buildEnd2End(s spec) (Decoder, error) {
	if len(s.outs) != 1 || len(s.outs[0].Shape) != 3 || (s.outs[0].Shape[2] >= 1 && s.outs[0].Shape[2] != 6) {
		return nil, errors.New("not one output with three axes, the last one 6 long")
	}
	s.outs[0].Shape[2] = 6 // where the file leaves it open
	sx, sy := s.boxScale()
	d, err := newDetector(s, len(s.labels), end2end{sx, sy, len(s.labels)})
	if err != nil {
		return nil, err
	}
	d.iou = 1
	return d, nil
}

func (r end2end) read(outs []plane, c *collector) {
	for v := outs[0].v; len(v) >= 6; v = v[6:] {
		if !c.wants(v[4]) {
			continue
		}
		class := int(min(max(v[5], -1), maxClasses)) // NaN gives an int of no meaning, refused below
		if float32(class) != v[5] || class < 0 || class >= maxClasses || (r.classes > 0 && class >= r.classes) {
			c.reject(fmt.Errorf("%w: the model answers class %v, the manifest has %d labels", ErrLayout, v[5], r.classes))
			continue
		}
		c.add(v[4], class, v[0]*r.sx, v[1]*r.sy, v[2]*r.sx, v[3]*r.sy)
	}
}

func guessEnd2End(e evidence, m *models.Manifest) bool {
	n, cols, ok := e.oneRows()
	if !ok || cols != 6 {
		return false
	}
	if e.meta["end2end"] != "True" {
		_, one := e.onGrid(n, 1)
		_, three := e.onGrid(n, 3)
		if one || three { // one class of YOLOX or YOLOv5, two of YOLOv8 by row
			return false
		}
	}
	feedUltralytics(&m.Input)
	return true
}
