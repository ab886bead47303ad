package decode

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// defaultMinShare is the share of fit cells below which a picture cannot be
// judged, where the manifest gives none.
const defaultMinShare = 0.1

// sceneDecoder reads the output in which a model says what its cells show
// ([models.Scene]) and has the rest read by another decoder. A picture that
// does not show what the model was made for is [Result.Unfit]: on it, having
// found nothing would mean nothing.
type sceneDecoder struct {
	inner    Decoder
	at       int // of the output among all
	classes  []string
	fit      int
	minShare float64

	rest  []Tensor // scratch
	count []int    // scratch
}

// newScene builds the decoder of m with the scene's output taken out.
func newScene(m models.Manifest, outputs []Info) (Decoder, error) {
	s := m.Output.Scene
	m.Output.Scene = nil
	at := slices.IndexFunc(outputs, func(o Info) bool { return o.Name == s.Output })
	if at < 0 {
		return nil, fmt.Errorf("%w: output.scene.output is %q; outputs found: %s", ErrLayout, s.Output, infoList(outputs))
	}
	fit := slices.Index(s.Classes, s.Fit)
	if fit < 0 || len(s.Classes) < 2 {
		return nil, errors.New("output.scene needs at least two classes, and fit is one of them")
	}
	shape := outputs[at].Shape
	if n := len(shape); (n != 2 && n != 3) || (shape[n-1] > 0 && shape[n-1] != len(s.Classes)) {
		return nil, fmt.Errorf("%w: output %q should be [B cells %d] or [B %d], is %s", ErrLayout, s.Output, len(s.Classes), len(s.Classes), shapeString(shape))
	}
	inner, err := New(m, slices.Delete(slices.Clone(outputs), at, at+1))
	if err != nil {
		return nil, err
	}
	return &sceneDecoder{
		inner: inner, at: at, classes: s.Classes, fit: fit, minShare: cmp.Or(s.MinShare, defaultMinShare),
		count: make([]int, len(s.Classes)),
	}, nil
}

// Decode implements [Decoder].
func (d *sceneDecoder) Decode(outputs []Tensor, geoms []tensor.Geometry, dst []Result) ([]Result, error) {
	if len(outputs) <= d.at {
		return nil, fmt.Errorf("%w: the run has %d outputs", ErrLayout, len(outputs))
	}
	scene := outputs[d.at]
	d.rest = append(append(d.rest[:0], outputs[:d.at]...), outputs[d.at+1:]...)
	dst, err := d.inner.Decode(d.rest, geoms, dst)
	if err != nil {
		return nil, err
	}
	n := len(scene.Shape)
	if n < 2 || scene.Shape[0] < len(geoms) || scene.Shape[n-1] != len(d.classes) {
		return nil, fmt.Errorf("%w: output %q has shape %s for %d pictures and %d classes", ErrLayout, scene.Name, shapeString(scene.Shape), len(geoms), len(d.classes))
	}
	per := len(scene.F32) / scene.Shape[0]
	for i := range geoms {
		dst[i].Unfit = ""
		if dst[i].Err == nil {
			dst[i].Unfit, dst[i].Err = d.judge(scene.F32[i*per : (i+1)*per])
		}
	}
	return dst, nil
}

// judge says why a picture cannot be judged; empty: it can. Each cell counts
// for the class with its highest value. The fit class needs its share and must
// not be outdone by a class other than the first, which is the empty scene
// round about.
func (d *sceneDecoder) judge(v []float32) (unfit string, err error) {
	clear(d.count)
	k := len(d.classes)
	for ; len(v) >= k; v = v[k:] {
		best := 0
		for c := range k {
			if f := float64(v[c]); math.IsNaN(f) || math.IsInf(f, 0) {
				return "", fmt.Errorf("%w: what the picture shows", ErrNotFinite)
			}
			if v[c] > v[best] {
				best = c
			}
		}
		d.count[best]++
	}
	total, worst := 0, -1
	for c, n := range d.count {
		total += n
		if c != d.fit && (worst < 0 || n > d.count[worst]) {
			worst = c
		}
	}
	rival := 0
	for c, n := range d.count {
		if c != d.fit && c != 0 {
			rival = max(rival, n)
		}
	}
	if fit := d.count[d.fit]; float64(fit) >= d.minShare*float64(total) && fit >= rival && total > 0 {
		return "", nil
	}
	return d.classes[max(worst, 0)], nil
}
