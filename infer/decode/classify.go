package decode

import (
	"errors"
	"fmt"
	"math"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// defaultClasses is how many of a classifier's best answers are reported.
const defaultClasses = 5

// classifier reports the best classes of a vector of probabilities or logits.
type classifier struct {
	outs     []Info
	labels   []string
	softmax  bool
	minScore float64
	top      int
}

func buildClassify(s spec) (Decoder, error) {
	if len(s.outs) != 1 {
		return nil, fmt.Errorf("the model has %d outputs, not one", len(s.outs))
	}
	axis, err := vectorAxis(s.outs[0].Shape)
	if err != nil {
		return nil, err
	}
	n := &s.outs[0].Shape[axis]
	if *n < 1 {
		if len(s.labels) == 0 {
			return nil, errors.New("the file leaves the number of classes open; give labels")
		}
		*n = len(s.labels)
	}
	labels, err := s.names(*n)
	if err != nil {
		return nil, err
	}
	top := s.out.MaxObjects
	if top == 0 {
		top = defaultClasses
	}
	return &classifier{
		outs: s.outs, labels: labels, softmax: s.out.Softmax,
		minScore: s.out.MinScore, top: min(top, *n),
	}, nil
}

// vectorAxis finds the one axis behind the batch that is not of length 1. A
// vector of length 1 is on the last axis.
func vectorAxis(shape []int) (int, error) {
	axis := 0
	for i := 1; i < len(shape); i++ {
		if shape[i] == 1 {
			continue
		}
		if axis != 0 {
			return 0, errors.New("the output is not one vector a picture")
		}
		axis = i
	}
	if axis == 0 {
		axis = len(shape) - 1
	}
	if axis < 1 {
		return 0, errors.New("the output has no axis for classes behind that of the batch")
	}
	return axis, nil
}

// Decode implements [Decoder].
func (d *classifier) Decode(outputs []Tensor, geoms []tensor.Geometry, dst []Result) ([]Result, error) {
	if err := checkOutputs(d.outs, outputs, len(geoms), false); err != nil {
		return nil, err
	}
	dst = resize(dst, len(geoms))
	for i := range geoms {
		r := &dst[i]
		r.Objects = nil
		r.Classes, r.Err = d.classes(picture(outputs[0], i, false).v, r.Classes[:0])
	}
	return dst, nil
}

// classes appends the best classes, best first, ties in order of class.
func (d *classifier) classes(v []float32, dst []vedette.Class) ([]vedette.Class, error) {
	shift, sum, err := d.normalizer(v)
	if err != nil {
		return dst, err
	}
	if dst == nil {
		dst = make([]vedette.Class, 0, d.top)
	}
	for i, x := range v {
		p := d.score(float64(x), shift, sum)
		if p < d.minScore || (len(dst) == d.top && p <= dst[d.top-1].Score) {
			continue
		}
		if len(dst) < d.top {
			dst = append(dst, vedette.Class{})
		}
		at := len(dst) - 1
		for ; at > 0 && dst[at-1].Score < p; at-- {
			dst[at] = dst[at-1]
		}
		dst[at] = vedette.Class{Label: d.labels[i], ClassID: i, Score: p}
	}
	return dst, nil
}

// normalizer checks the vector and returns what score needs.
func (d *classifier) normalizer(v []float32) (shift, sum float64, err error) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		if x-x != 0 {
			return 0, 0, ErrNotFinite
		}
		low, high = min(low, float64(x)), max(high, float64(x))
	}
	if !d.softmax {
		if low < -probabilityTolerance || high > 1+probabilityTolerance {
			return 0, 0, fmt.Errorf("%w (%v to %v): logits need output.softmax in the manifest", ErrNotProbability, low, high)
		}
		return 0, 1, nil
	}
	for _, x := range v {
		sum += math.Exp(float64(x) - high)
	}
	return high, sum, nil
}

func (d *classifier) score(x, shift, sum float64) float64 {
	if d.softmax {
		return math.Exp(x-shift) / sum
	}
	return min(max(x, 0), 1)
}

// unclear is the error for a file with one vector a picture and nothing that
// says what it holds; nil for other files.
func (e evidence) unclear() error {
	if len(e.outs) != 1 || len(e.outs[0].Shape) < 2 {
		return nil
	}
	axis, err := vectorAxis(e.outs[0].Shape)
	if n := e.outs[0].Shape[axis]; err != nil || n == 1 {
		return nil
	}
	return fmt.Errorf("%w: its output %s is one vector a picture, the scores of a classifier or an embedding, and it has neither labels nor a softmax; "+
		"if it is a classifier, write task: classify and its labels into a manifest (vedette models inspect begins one); embeddings cannot be run yet",
		models.ErrTaskUnclear, e.outs[0])
}

func guessClassify(e evidence, m *models.Manifest) bool {
	if len(e.outs) != 1 || len(e.outs[0].Shape) < 2 {
		return false
	}
	axis, err := vectorAxis(e.outs[0].Shape)
	if err != nil {
		return false
	}
	out := e.outs[0]
	// Scores of classes and embeddings look alike. Labels say that it is the
	// first, or probabilities at the end, or a number of classes that stands for
	// a known set.
	switch n := out.Shape[axis]; {
	case len(m.Labels) > 0:
	case n < 2:
		return false
	case out.Probabilities(), out.Op == "LogSoftmax", models.UsualLabels(models.Classify, n) != "":
	default:
		return false
	}
	m.Output.Softmax = out.Logits()
	if e.ultralytics() {
		m.Input.Color, m.Input.Resize, m.Input.Scale = models.RGB, models.Crop, 1.0/255
	}
	return true
}
