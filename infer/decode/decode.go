// Package decode turns the raw outputs of a network into labelled objects or
// classes in coordinates of the captured frame.
//
// Each family of output layouts is one file and one line of [Kinds]. A family
// only finds candidate boxes in pixels of the model's input; what all of them
// share happens once, in detector.go: class-aware non-maximum suppression,
// mapping to the frame, clipping, labels.
package decode

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// ErrLayout is wrapped when no decoder, or not the one asked for, can read a
// model's outputs. The error shows the shapes found and the decoders that
// exist.
var ErrLayout = errors.New("output layout not understood")

// ErrNotFinite is wrapped when a network answered with NaN or infinity where a
// score or the box of an object should be. Such a picture has failed: it must
// not pass for one on which nothing was seen.
var ErrNotFinite = errors.New("the model answered with NaN or infinity")

// ErrNotProbability is wrapped when a score lies outside 0..1, which means
// that the manifest names the wrong decoder or leaves out a softmax.
var ErrNotProbability = errors.New("the model's scores are not probabilities")

// Tensor is one output of a run: row-major, the batch axis first.
type Tensor = engine.Output

// Info describes one output as the model's file declares it. An axis that the
// file leaves open is -1 (or anything below 1).
type Info = models.TensorInfo

// Result is the answer for one picture.
type Result struct {
	// Objects of a detector, best first; empty, never nil, when nothing was
	// seen.
	Objects []vedette.Object
	// Classes of a classifier, best first.
	Classes []vedette.Class
	// Unfit says why the picture cannot be judged, where the model can tell
	// ([models.Scene]); empty: it can. Objects and Classes then mean nothing.
	Unfit string
	// Err says why this picture has no answer; it wraps [ErrNotFinite] or
	// [ErrNotProbability]. The other pictures of the batch are not affected.
	Err error
}

// A Decoder reads the outputs of one model. It keeps scratch memory between
// calls and is not safe for concurrent use: make one per worker.
type Decoder interface {
	// Decode reads the first len(geoms) pictures of a batch; the batch may be
	// longer, as fixed batch sizes are padded. The outputs come in the order
	// and with the shapes given to [New], and are neither kept nor changed.
	// The results are written over dst, whose memory, that of its Objects and
	// Classes included, is used again; pass nil for results that are to be
	// kept. The error says that the outputs as a whole are not what New was
	// told.
	Decode(outputs []Tensor, geoms []tensor.Geometry, dst []Result) ([]Result, error)
}

// New returns the decoder that m.Output.Decoder names, for a model with these
// outputs. It checks that the decoder can read them and that the labels fit.
func New(m models.Manifest, outputs []Info) (Decoder, error) {
	if m.Output.Scene != nil {
		return newScene(m, outputs)
	}
	switch m.Task {
	case models.Segment, models.Embed, models.Anomaly:
		return nil, fmt.Errorf("%w: models that %s cannot be run yet: no decoder answers task %q, they answer %s and %s; outputs found: %s",
			ErrLayout, m.Task, m.Task, models.Detect, models.Classify, infoList(outputs))
	}
	k, ok := kindByName(m.Output.Decoder)
	if !ok {
		return nil, fmt.Errorf("%w: there is no decoder %q; outputs found: %s; decoders: %s",
			ErrLayout, m.Output.Decoder, infoList(outputs), kindList())
	}
	if m.Task != "" && m.Task != k.Task {
		return nil, fmt.Errorf("%w: task is %q, but decoder %q answers task %q", ErrLayout, m.Task, k.Name, k.Task)
	}
	s := spec{outs: cloneInfos(outputs), in: m.Input, out: m.Output, labels: m.Labels}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("decoder %q: %w", k.Name, err)
	}
	d, err := k.build(s)
	if err != nil {
		return nil, fmt.Errorf("%w: decoder %q reads %s: %w; outputs found: %s; decoders: %s",
			ErrLayout, k.Name, k.Shapes, err, infoList(outputs), kindList())
	}
	return d, nil
}

// spec is what a family builds its decoder from.
type spec struct {
	outs   []Info
	in     models.Input
	out    models.Output
	labels []string
}

func (s spec) validate() error {
	switch {
	case s.in.Width < 1 || s.in.Height < 1:
		return fmt.Errorf("input size is %d×%d, must be at least 1×1", s.in.Width, s.in.Height)
	case !(s.out.MinScore >= 0 && s.out.MinScore <= 1):
		return fmt.Errorf("min_score is %v, must be within 0..1", s.out.MinScore)
	case !(s.out.IoU >= 0 && s.out.IoU <= 1):
		return fmt.Errorf("iou is %v, must be within 0..1", s.out.IoU)
	case s.out.MaxObjects < 0:
		return fmt.Errorf("max_objects is %d, must not be negative", s.out.MaxObjects)
	}
	for _, v := range s.out.Strides {
		if v < 1 {
			return fmt.Errorf("strides has %d, must be at least 1", v)
		}
	}
	return nil
}

// names returns one label per class: the manifest's, or class_N where it has
// none at all.
func (s spec) names(classes int) ([]string, error) {
	if len(s.labels) == classes {
		return s.labels, nil
	}
	if len(s.labels) > 0 {
		return nil, fmt.Errorf("the manifest has %d labels but the model answers %d classes", len(s.labels), classes)
	}
	names := make([]string, classes)
	for i := range names {
		names[i] = className(i)
	}
	return names, nil
}

func className(class int) string { return fmt.Sprintf("class_%d", class) }

func cloneInfos(in []Info) []Info {
	out := make([]Info, len(in))
	for i, o := range in {
		out[i] = o
		out[i].Shape = append([]int(nil), o.Shape...)
	}
	return out
}

// shapeString prints a shape with ? for open axes, as [? 3549 85].
func shapeString(shape []int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, n := range shape {
		if i > 0 {
			b.WriteByte(' ')
		}
		if n < 1 {
			b.WriteByte('?')
		} else {
			fmt.Fprint(&b, n)
		}
	}
	b.WriteByte(']')
	return b.String()
}

func infoList(outs []Info) string {
	if len(outs) == 0 {
		return "none"
	}
	s := make([]string, len(outs))
	for i, o := range outs {
		s[i] = o.String()
	}
	return strings.Join(s, ", ")
}
