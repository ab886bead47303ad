package decode

import "github.com/vedette-io/vedette/models"

// yolox reads YOLOX (Ge et al. 2021, arXiv:2107.08430) as its exporter writes
// it by default: a row per cell, cx, cy relative to the cell and w, h as
// logarithms, both in strides; objectness and class probabilities after the
// sigmoid. As in the project's own evaluation each row stands for its best
// class, with score objectness × class.
type yolox struct{ levels []level }

func buildYOLOX(s spec) (Decoder, error) {
	if s.out.Decoded {
		return buildYOLOv5(s) // the same columns, already in pixels
	}
	o, err := s.rows(6)
	if err != nil {
		return nil, err
	}
	r := yolox{levels: s.levels()}
	if err := needCells(&o.Shape[1], r.levels, s); err != nil {
		return nil, err
	}
	return newDetector(s, o.Shape[2]-5, r)
}

func (r yolox) read(outs []plane, c *collector) {
	cols, v := outs[0].dims[1], outs[0].v
	for _, l := range r.levels {
		stride := float32(l.stride)
		for y := range l.rows {
			for x := range l.cols {
				row := v[:cols:cols]
				v = v[cols:]
				if !c.wants(row[4]) {
					continue
				}
				class, p := best(row[5:])
				score := row[4] * p
				if !c.wants(score) {
					continue
				}
				c.addCenter(score, class,
					(row[0]+float32(x))*stride, (row[1]+float32(y))*stride,
					exp(row[2])*stride, exp(row[3])*stride)
			}
		}
	}
}

// best returns the index and value of the largest value, the first on a tie;
// NaN when there is one.
func best(v []float32) (int, float32) {
	at, top := 0, v[0]
	for i, p := range v {
		if p <= top {
			continue
		}
		if p != p {
			return i, p
		}
		at, top = i, p
	}
	return at, top
}

func guessYOLOX(e evidence, m *models.Manifest) bool {
	n, cols, ok := e.oneRows()
	if !ok || cols < 6 {
		return false
	}
	for _, strides := range [][]int{nil, {8, 16, 32, 64}} {
		s := spec{in: e.in, out: models.Output{Strides: strides}}
		if ls := s.levels(); n != cellCount(ls) {
			continue
		}
		m.Output.Strides = strides
		m.Input.Color, m.Input.Resize, m.Input.Pad = models.BGR, models.LetterboxTopLeft, 114
		m.Input.Scale = 1
		return true
	}
	return false
}
