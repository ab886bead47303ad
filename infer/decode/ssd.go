package decode

import (
	"errors"
	"strings"

	"github.com/vedette-io/vedette/models"
)

// ssd reads class probabilities, the background first, beside corner boxes in
// 0..1 of the input: SSD (Liu et al. 2016, arXiv:1512.02325) with its priors
// applied inside the graph, as UltraFace has it. As in that project a box may
// stand for several classes.
type ssd struct {
	scores, boxes int // which output
	w, h          float32
}

func buildSSD(s spec) (Decoder, error) {
	scores, boxes, ok := ssdOutputs(s.outs)
	if !ok {
		return nil, errors.New("not scores and boxes of equal number")
	}
	classes := s.outs[scores].Shape[2] - 1
	return newDetector(s, classes, ssd{scores, boxes, float32(s.in.Width), float32(s.in.Height)})
}

// ssdOutputs finds which of two outputs is which.
func ssdOutputs(outs []Info) (scores, boxes int, ok bool) {
	if len(outs) != 2 || len(outs[0].Shape) != 3 || len(outs[1].Shape) != 3 || outs[0].Shape[1] != outs[1].Shape[1] {
		return 0, 0, false
	}
	scores, boxes = 0, 1
	if outs[1].Shape[2] != 4 || (outs[0].Shape[2] == 4 && strings.Contains(outs[0].Name, "box")) {
		scores, boxes = 1, 0
	}
	return scores, boxes, outs[boxes].Shape[2] == 4 && outs[scores].Shape[2] >= 2
}

func (r ssd) read(outs []plane, c *collector) {
	cols, v, b := outs[r.scores].dims[1], outs[r.scores].v, outs[r.boxes].v
	if len(v)/cols != len(b)/4 { // the number of boxes was open in the file
		c.reject(errBoxCount)
		return
	}
	for ; len(v) >= cols; v, b = v[cols:], b[4:] {
		for class, p := range v[1:cols] {
			if c.wants(p) {
				c.add(p, class, b[0]*r.w, b[1]*r.h, b[2]*r.w, b[3]*r.h)
			}
		}
	}
}

func guessSSD(e evidence, m *models.Manifest) bool {
	scores, _, ok := ssdOutputs(e.outs)
	if !ok {
		return false
	}
	m.Input.Color, m.Input.Resize = models.RGB, models.Stretch
	m.Input.Scale, m.Input.Mean, m.Input.Std = 1, []float64{127}, []float64{128}
	if e.outs[scores].Shape[2] == 2 && len(m.Labels) == 0 {
		m.Labels = []string{"face"}
	}
	return true
}
