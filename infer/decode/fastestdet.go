package decode

import (
	"errors"
	"math"

	"github.com/vedette-io/vedette/models"
)

// fastestdet reads the one feature map of FastestDet: planes of objectness,
// x and y (their tanh is the offset in cells), w and h (their sigmoid is the
// size in 0..1 of the input), and class probabilities.
type fastestdet struct{ w, h float32 }

func buildFastestDet(s spec) (Decoder, error) {
	if len(s.outs) != 1 || len(s.outs[0].Shape) != 4 {
		return nil, errors.New("not one output with four axes")
	}
	shape := s.outs[0].Shape
	if shape[1] < 6 || shape[2] < 1 || shape[3] < 1 {
		return nil, errors.New("fewer than 6 planes, or axes left open")
	}
	return newDetector(s, shape[1]-5, fastestdet{float32(s.in.Width), float32(s.in.Height)})
}

func (r fastestdet) read(outs []plane, c *collector) {
	rows, cols := outs[0].dims[1], outs[0].dims[2]
	cells, v := rows*cols, outs[0].v
	for i, obj := range v[:cells] {
		// The class probability is at most 1, so this bounds the score.
		if !c.wants(fastestScore(obj, 1)) {
			continue
		}
		class, p := 0, v[5*cells+i]
		for k := 6; k < outs[0].dims[0]; k++ {
			if q := v[k*cells+i]; !(q <= p) {
				class, p = k-5, q
			}
		}
		score := fastestScore(obj, p)
		if !c.wants(score) {
			continue
		}
		cx := (float32(i%cols) + tanh(v[cells+i])) / float32(cols)
		cy := (float32(i/cols) + tanh(v[2*cells+i])) / float32(rows)
		c.addCenter(score, class, cx*r.w, cy*r.h, sigmoid(v[3*cells+i])*r.w, sigmoid(v[4*cells+i])*r.h)
	}
}

// fastestScore is the project's own weighting of objectness and class.
func fastestScore(obj, class float32) float32 {
	return float32(math.Pow(float64(obj), 0.6) * math.Pow(float64(class), 0.4))
}

func tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }

func guessFastestDet(e evidence, m *models.Manifest) bool {
	if len(e.outs) != 1 || len(e.outs[0].Shape) != 4 {
		return false
	}
	shape := e.outs[0].Shape
	if shape[1] < 6 || shape[2] < 2 || shape[2]*16 != e.in.Height || shape[3]*16 != e.in.Width {
		return false
	}
	m.Input.Color, m.Input.Resize, m.Input.Scale = models.BGR, models.Stretch, 1.0/255
	m.Input.Interpolation = models.Area
	return true
}
