package decode

import (
	"errors"
	"fmt"

	"github.com/vedette-io/vedette/models"
)

// yolov8 reads the anchor-free Ultralytics heads: cx, cy, w, h in pixels of
// the input and class probabilities, no objectness; by column as exported, or
// by row where somebody transposed it. Each box stands for its best class.
type yolov8 struct {
	byRow   bool
	classes int
	sx, sy  float32

	score []float32 // of the best class of each box
	class []int32
}

func buildYOLOv8(s spec) (Decoder, error) {
	if len(s.outs) != 1 || len(s.outs[0].Shape) != 3 {
		return nil, errors.New("not one output with three axes")
	}
	byRow, classes, err := yolov8Axes(s.outs[0].Shape, len(s.labels))
	if err != nil {
		return nil, err
	}
	axis := 1
	if byRow {
		axis = 2
	}
	s.outs[0].Shape[axis] = 4 + classes
	sx, sy := s.boxScale()
	return newDetector(s, classes, &yolov8{byRow: byRow, classes: classes, sx: sx, sy: sy})
}

// yolov8Axes decides which axis of [B, a, b] holds the columns: the one of
// length 4 + labels, else the shorter one.
func yolov8Axes(shape []int, labels int) (byRow bool, classes int, err error) {
	a, b := shape[1], shape[2]
	switch {
	case labels > 0 && (a == 4+labels || (a < 1 && b > 0 && b != 4+labels)):
		return false, labels, nil
	case labels > 0 && (b == 4+labels || (b < 1 && a > 0)):
		return true, labels, nil
	case labels > 0:
		return false, 0, fmt.Errorf("with %d labels one axis must be %d long", labels, 4+labels)
	case a < 1 || b < 1:
		return false, 0, errors.New("the file leaves axes open; give labels")
	}
	if min(a, b) < 5 {
		return false, 0, fmt.Errorf("%d columns are fewer than 5", min(a, b))
	}
	return b < a, min(a, b) - 4, nil
}

func (r *yolov8) read(outs []plane, c *collector) {
	if r.byRow {
		r.readRows(outs[0], c)
		return
	}
	n, v := outs[0].dims[1], outs[0].v
	if cap(r.score) < n {
		r.score, r.class = make([]float32, n), make([]int32, n)
	}
	score, class := r.score[:n], r.class[:n]
	copy(score, v[4*n:5*n])
	clear(class)
	// Plane by plane, in the order of memory.
	for k := 1; k < r.classes; k++ {
		for i, p := range v[(4+k)*n : (5+k)*n] {
			if p <= score[i] {
				continue
			}
			if score[i] == score[i] { // NaN, once there, stays
				score[i], class[i] = p, int32(k)
			}
		}
	}
	for i, p := range score {
		if c.wants(p) {
			c.addCenter(p, int(class[i]), v[i]*r.sx, v[n+i]*r.sy, v[2*n+i]*r.sx, v[3*n+i]*r.sy)
		}
	}
}

func (r *yolov8) readRows(out plane, c *collector) {
	cols, v := out.dims[1], out.v
	for ; len(v) >= cols; v = v[cols:] {
		row := v[:cols:cols]
		if class, p := best(row[4:]); c.wants(p) {
			c.addCenter(p, class, row[0]*r.sx, row[1]*r.sy, row[2]*r.sx, row[3]*r.sy)
		}
	}
}

func guessYOLOv8(e evidence, m *models.Manifest) bool {
	if len(e.outs) != 1 || len(e.outs[0].Shape) != 3 {
		return false
	}
	shape := e.outs[0].Shape
	byRow, _, err := yolov8Axes(shape, len(m.Labels))
	if err != nil {
		return false
	}
	if !e.ultralytics() {
		// By row it cannot be told from YOLOX without knowing the classes.
		if _, ok := e.onGrid(shape[2], 1); byRow || !ok {
			return false
		}
	}
	feedUltralytics(&m.Input)
	return true
}
