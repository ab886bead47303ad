package decode

import "github.com/vedette-io/vedette/models"

// yolov5 reads rows of cx, cy, w, h in pixels of the input, objectness and
// class probabilities: YOLOv5 and YOLOv7 as their exporters write them, and
// YOLOX exported with its boxes decoded.
type yolov5 struct{ sx, sy float32 }

func buildYOLOv5(s spec) (Decoder, error) {
	o, err := s.rows(6)
	if err != nil {
		return nil, err
	}
	sx, sy := s.boxScale()
	return newDetector(s, o.Shape[2]-5, yolov5{sx, sy})
}

// boxScale is what box coordinates are multiplied with to get pixels of the
// model's input.
func (s spec) boxScale() (x, y float32) {
	if s.out.Normalized {
		return float32(s.in.Width), float32(s.in.Height)
	}
	return 1, 1
}

func (r yolov5) read(outs []plane, c *collector) {
	cols, v := outs[0].dims[1], outs[0].v
	for ; len(v) >= cols; v = v[cols:] {
		row := v[:cols:cols]
		if !c.wants(row[4]) {
			continue
		}
		class, p := best(row[5:])
		score := row[4] * p
		if !c.wants(score) {
			continue
		}
		c.addCenter(score, class, row[0]*r.sx, row[1]*r.sy, row[2]*r.sx, row[3]*r.sy)
	}
}

func guessYOLOv5(e evidence, m *models.Manifest) bool {
	n, cols, ok := e.oneRows()
	if !ok || cols < 6 || (len(m.Labels) > 0 && cols != 5+len(m.Labels)) {
		return false
	}
	if _, ok := e.onGrid(n, 3); !ok {
		return false
	}
	feedUltralytics(&m.Input)
	return true
}
