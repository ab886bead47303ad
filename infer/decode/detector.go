package decode

import (
	"errors"
	"fmt"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// The defaults of a manifest's output section.
const (
	// DefaultMinScore is the score below which objects are dropped when the
	// manifest names none.
	DefaultMinScore   = 0.25
	defaultIoU        = 0.45
	defaultMaxObjects = 300
)

// plane is one output for one picture: its shape without the batch axis.
type plane struct {
	dims []int
	v    []float32
}

// A reader is what a family of detectors adds: it finds the candidates of one
// picture, in pixels of the model's input. The planes have the shapes that the
// reader was built for, and the axes that were open then may have any length
// from 0.
type reader interface {
	read(outs []plane, c *collector)
}

// detector is the part that all families of detectors share.
type detector struct {
	reader reader
	outs   []Info
	labels []string
	// noBatch says that the outputs have no batch axis: one picture a run.
	noBatch    bool
	minScore   float32
	iou        float32 // 1: no suppression
	maxObjects int

	planes []plane
	found  collector
}

// newDetector completes a reader for a model with so many classes. The shapes
// in s.outs are what Decode will insist on; a family may have narrowed them.
func newDetector(s spec, classes int, r reader) (*detector, error) {
	labels, err := s.names(classes)
	if err != nil {
		return nil, err
	}
	d := &detector{
		reader: r, outs: s.outs, labels: labels,
		minScore: DefaultMinScore, iou: defaultIoU, maxObjects: defaultMaxObjects,
		planes: make([]plane, len(s.outs)),
	}
	if s.out.MinScore > 0 {
		d.minScore = float32(s.out.MinScore)
	}
	if s.out.IoU > 0 {
		d.iou = float32(s.out.IoU)
	}
	if s.out.MaxObjects > 0 {
		d.maxObjects = s.out.MaxObjects
	}
	return d, nil
}

// Decode implements [Decoder].
func (d *detector) Decode(outputs []Tensor, geoms []tensor.Geometry, dst []Result) ([]Result, error) {
	if err := checkOutputs(d.outs, outputs, len(geoms), d.noBatch); err != nil {
		return nil, err
	}
	dst = resize(dst, len(geoms))
	for i, g := range geoms {
		for o, t := range outputs {
			d.planes[o] = picture(t, i, d.noBatch)
		}
		d.found.reset(d.minScore)
		d.reader.read(d.planes, &d.found)
		r := &dst[i]
		r.Classes, r.Err = nil, d.found.err
		r.Objects = r.Objects[:0]
		if r.Err == nil {
			r.Objects = d.objects(r.Objects, g)
		}
	}
	return dst, nil
}

// objects suppresses, maps to the frame, clips and labels what was found.
func (d *detector) objects(dst []vedette.Object, g tensor.Geometry) []vedette.Object {
	kept := d.found.suppress(d.iou)
	if dst == nil {
		dst = make([]vedette.Object, 0, min(len(kept), d.maxObjects))
	}
	for i := range kept {
		if len(dst) == d.maxObjects {
			break
		}
		k := &kept[i]
		box := g.ToFrame(vedette.Box{float64(k.box[0]), float64(k.box[1]), float64(k.box[2]), float64(k.box[3])})
		// Boxes that lie in the padding are empty once clipped.
		if !(box[2] > box[0] && box[3] > box[1]) {
			continue
		}
		dst = append(dst, vedette.Object{
			Label: d.label(int(k.class)), ClassID: int(k.class), Score: float64(k.score),
			Box: box, BoxNorm: g.Normalize(box),
		})
	}
	return dst
}

// label names a class. Only end-to-end models can answer a class that the
// manifest's labels do not reach, and only when it has none.
func (d *detector) label(class int) string {
	if class < len(d.labels) {
		return d.labels[class]
	}
	return className(class)
}

// checkOutputs compares the outputs of a run with what the decoder was built
// for.
func checkOutputs(want []Info, got []Tensor, pictures int, noBatch bool) error {
	if len(got) != len(want) {
		return fmt.Errorf("%w: the run has %d outputs, the model declares %d", ErrLayout, len(got), len(want))
	}
	for i, t := range got {
		n, fits := 1, len(t.Shape) == len(want[i].Shape)
		for _, v := range t.Shape {
			n *= v
			fits = fits && v >= 0
		}
		fits = fits && len(t.F32) == n
		for a, v := range want[i].Shape {
			if a == 0 && !noBatch {
				continue // the file's batch size says nothing about this run's
			}
			fits = fits && (v < 1 || v == t.Shape[a])
		}
		if !fits {
			return fmt.Errorf("%w: output %q has shape %s and %d values, expected %s",
				ErrLayout, t.Name, shapeString(t.Shape), len(t.F32), shapeString(want[i].Shape))
		}
		batch := 1
		if !noBatch {
			batch = t.Shape[0]
		}
		if batch < pictures {
			return fmt.Errorf("%w: output %q is for %d pictures, asked for %d", ErrLayout, t.Name, batch, pictures)
		}
	}
	return nil
}

// picture cuts picture i out of an output that checkOutputs has passed.
func picture(t Tensor, i int, noBatch bool) plane {
	if noBatch {
		return plane{t.Shape, t.F32}
	}
	n := len(t.F32) / max(t.Shape[0], 1)
	return plane{t.Shape[1:], t.F32[i*n : (i+1)*n]}
}

func resize(dst []Result, n int) []Result {
	if cap(dst) >= n {
		return dst[:n]
	}
	return append(dst[:cap(dst)], make([]Result, n-cap(dst))...)
}

// rows checks that a model has one output [B, N, columns] with at least
// minColumns columns, and returns it.
func (s spec) rows(minColumns int) (*Info, error) {
	if len(s.outs) != 1 {
		return nil, fmt.Errorf("the model has %d outputs, not one", len(s.outs))
	}
	o := &s.outs[0]
	if len(o.Shape) != 3 {
		return nil, errors.New("the output does not have three axes")
	}
	if o.Shape[2] < 1 {
		if len(s.labels) == 0 {
			return nil, errors.New("the file leaves the number of columns open; give labels")
		}
		o.Shape[2] = minColumns - 1 + len(s.labels)
	}
	if o.Shape[2] < minColumns {
		return nil, fmt.Errorf("%d columns are fewer than %d", o.Shape[2], minColumns)
	}
	return o, nil
}
