package decode

import (
	"errors"
	"math"

	"github.com/vedette-io/vedette/models"
)

// yunet reads the per-stride outputs of YuNet as released in 2023 (Wu et al.
// 2023, doi:10.1007/s11633-023-1423-y): class and object probability, and a
// box relative to its cell with w and h as logarithms. The landmarks are not
// used.
type yunet struct{ levels []yunetLevel }

type yunetLevel struct {
	level
	cls, obj, box int // which output
}

// yunetPriors reads YuNet as released in 2022: one row per prior box in loc,
// conf (background, face) and iou; no batch axis.
type yunetPriors struct {
	priors         []prior
	loc, conf, iou int
}

// prior is a box to which the network's answer is relative, in pixels.
type prior struct{ cx, cy, size float32 }

func buildYuNet(s spec) (Decoder, error) {
	if len(s.outs) == 3 {
		r, ok := yunetRows(s)
		if !ok {
			return nil, errors.New("not loc [N,14], conf [N,2] and iou [N,1] with a row per prior box")
		}
		for _, o := range s.outs { // the released file leaves the rows open
			o.Shape[0] = len(r.priors)
		}
		d, err := newDetector(s, 1, r)
		if err != nil {
			return nil, err
		}
		d.noBatch = true
		return d, nil
	}
	r, ok := yunetLevels(s)
	if !ok {
		return nil, errors.New("no cls, obj and bbox output for each stride")
	}
	return newDetector(s, 1, r)
}

// yunetLevels finds for each stride two outputs of one column and one of four.
func yunetLevels(s spec) (yunet, bool) {
	var r yunet
	for _, l := range s.levels() {
		yl := yunetLevel{level: l, cls: -1, obj: -1, box: -1}
		for i, o := range s.outs {
			if len(o.Shape) != 3 || o.Shape[1] != l.cells() {
				continue
			}
			switch {
			case o.Shape[2] == 4:
				yl.box = i
			case o.Shape[2] == 1 && yl.cls < 0:
				yl.cls = i // their product counts, so the order does not
			case o.Shape[2] == 1:
				yl.obj = i
			}
		}
		if yl.cls < 0 || yl.obj < 0 || yl.box < 0 {
			return yunet{}, false
		}
		r.levels = append(r.levels, yl)
	}
	return r, true
}

func (r yunet) read(outs []plane, c *collector) {
	for _, l := range r.levels {
		obj, box := outs[l.obj].v, outs[l.box].v
		stride := float32(l.stride)
		for i, p := range outs[l.cls].v {
			score := geometricMean(p, obj[i])
			if !c.wants(score) {
				continue
			}
			b := box[4*i:][:4]
			c.addCenter(score, 0,
				(float32(i%l.cols)+b[0])*stride, (float32(i/l.cols)+b[1])*stride,
				exp(b[2])*stride, exp(b[3])*stride)
		}
	}
}

// geometricMean is how YuNet joins its two scores, each clamped to 0..1.
func geometricMean(a, b float32) float32 {
	return float32(math.Sqrt(float64(min(max(a, 0), 1) * min(max(b, 0), 1))))
}

// yunetRows builds the prior boxes and finds the three outputs.
func yunetRows(s spec) (yunetPriors, bool) {
	r := yunetPriors{loc: -1, conf: -1, iou: -1}
	// The sizes belong to the feature maps of strides 8 to 64, whose extents
	// come of halving, rounding down.
	sizes := [][]float32{{10, 16, 24}, {32, 48}, {64, 96}, {128, 192, 256}}
	cols, rows := (s.in.Width+1)/2/2, (s.in.Height+1)/2/2
	for k, stride := 0, 8; k < len(sizes); k, stride = k+1, stride*2 {
		cols, rows = cols/2, rows/2
		for cell := range cols * rows {
			for _, size := range sizes[k] {
				r.priors = append(r.priors, prior{
					cx:   (float32(cell%cols) + 0.5) * float32(stride),
					cy:   (float32(cell/cols) + 0.5) * float32(stride),
					size: size,
				})
			}
		}
	}
	for i, o := range s.outs {
		if len(o.Shape) != 2 || (o.Shape[0] > 0 && o.Shape[0] != len(r.priors)) {
			continue
		}
		switch o.Shape[1] {
		case 14:
			r.loc = i
		case 2:
			r.conf = i
		case 1:
			r.iou = i
		}
	}
	return r, len(r.priors) > 0 && r.loc >= 0 && r.conf >= 0 && r.iou >= 0
}

func (r yunetPriors) read(outs []plane, c *collector) {
	loc, conf, iou := outs[r.loc].v, outs[r.conf].v, outs[r.iou].v
	for i, p := range r.priors {
		score := geometricMean(conf[2*i+1], iou[i])
		if !c.wants(score) {
			continue
		}
		b := loc[14*i:][:4]
		// The variances 0.1 and 0.2 of SSD; that width and height have one
		// each is how this network was trained.
		c.addCenter(score, 0, p.cx+b[0]*0.1*p.size, p.cy+b[1]*0.1*p.size,
			p.size*exp(b[2]*0.1), p.size*exp(b[3]*0.2))
	}
}

func guessYuNet(e evidence, m *models.Manifest) bool {
	s := spec{outs: e.outs, in: e.in}
	_, rows := yunetRows(s)
	_, levels := yunetLevels(s)
	if !rows && !levels {
		return false
	}
	m.Input.Color, m.Input.Resize, m.Input.Scale = models.BGR, models.Stretch, 1
	m.Labels = []string{"face"}
	return true
}
