package models

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// maxSide bounds the input of a model, so that a slip of the keyboard does not
// ask for more memory than there is.
const maxSide = 16384

// withDefaults fills what means "the usual" when it is empty.
func (m Manifest) withDefaults() Manifest {
	in := &m.Input
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set((*string)(&in.Layout), string(NCHW))
	set((*string)(&in.Color), string(RGB))
	set((*string)(&in.Resize), string(Letterbox))
	set((*string)(&in.Interpolation), string(Linear))
	set((*string)(&in.Type), string(Float32))
	if in.Scale == 0 {
		in.Scale = 1
	}
	if len(m.Labels) == 0 && m.LabelSet != "" {
		m.Labels = LabelSet(m.LabelSet)
	}
	return m
}

// Validate checks a manifest by itself, without its ONNX file. Fields that may
// be left to the file or to defaults may be empty. The error lists everything
// that is wrong.
func (m Manifest) Validate() error {
	var doc strictyaml.Doc
	m.validate(&doc)
	return doc.Err()
}

// validate adds what is wrong to doc.
func (m Manifest) validate(doc *strictyaml.Doc) {
	if m.Name != "" {
		if err := vedette.CheckID(m.Name); err != nil {
			doc.Add("name", "%v", err)
		}
	}
	if sum, err := hex.DecodeString(m.SHA256); err != nil || (len(sum) != 0 && len(sum) != 32) {
		doc.Add("sha256", "must be 64 hexadecimal digits (got %s)", strictyaml.Quote(m.SHA256))
	}
	checkEnum(doc, "task", m.Task)
	m.Input.validate(doc)
	m.Output.validate(doc)
	if m.LabelSet != "" && len(m.Labels) > 0 && m.LabelSet != UsualLabels(m.Task, len(m.Labels)) {
		doc.Add("labels", "give either labels or label_set, not both")
	}
	if m.LabelSet != "" && !slices.Contains(LabelSets(), m.LabelSet) {
		doc.Add("label_set", "must be %s (got %s)%s", strictyaml.OneOf(LabelSets()), strictyaml.Quote(m.LabelSet), strictyaml.DidYouMean(m.LabelSet, LabelSets()))
	}
	for i, l := range m.Labels {
		if l == "" {
			doc.Add(fmt.Sprintf("labels[%d]", i), "is empty")
		}
	}
}

func (in Input) validate(doc *strictyaml.Doc) {
	checkEnum(doc, "input.layout", in.Layout)
	checkEnum(doc, "input.color", in.Color)
	checkEnum(doc, "input.resize", in.Resize)
	checkEnum(doc, "input.interpolation", in.Interpolation)
	checkEnum(doc, "input.type", in.Type)
	checkInt(doc, "input.width", in.Width, 1, maxSide)
	checkInt(doc, "input.height", in.Height, 1, maxSide)
	if in.Pad < 0 || in.Pad > 255 {
		doc.Add("input.pad", "must be within 0..255 (got %d)", in.Pad)
	}
	checkUnit(doc, "input.crop_fraction", in.CropFraction)
	if in.CropFraction != 0 && in.Resize != "" && in.Resize != Crop {
		doc.Add("input.crop_fraction", "only goes with resize: crop (resize is %s)", in.Resize)
	}
	if in.Scale < 0 || math.IsNaN(in.Scale) || math.IsInf(in.Scale, 0) {
		doc.Add("input.scale", "must be above 0 (got %v)", in.Scale)
	}
	channels := in.Channels()
	if in.Color == "" { // the file will tell
		channels = 3
	}
	for _, list := range []struct {
		path string
		v    []float64
	}{{"input.mean", in.Mean}, {"input.std", in.Std}} {
		if n := len(list.v); n > 1 && n != channels {
			doc.Add(list.path, "must have 1 value or one for each of %d channels (got %d)", channels, n)
		}
	}
	for i, v := range in.Std {
		if !(v > 0) {
			doc.Add(fmt.Sprintf("input.std[%d]", i), "must be above 0 (got %v)", v)
		}
	}
}

func (out Output) validate(doc *strictyaml.Doc) {
	checkUnit(doc, "output.min_score", out.MinScore)
	checkUnit(doc, "output.iou", out.IoU)
	if out.MaxObjects < 0 {
		doc.Add("output.max_objects", "must not be negative (got %d)", out.MaxObjects)
	}
	for i, s := range out.Strides {
		if s < 1 || s > maxSide {
			doc.Add(fmt.Sprintf("output.strides[%d]", i), "must be within 1..%d (got %d)", maxSide, s)
		}
	}
	if s := out.Scene; s != nil {
		s.validate(doc)
	}
}

func (s *Scene) validate(doc *strictyaml.Doc) {
	if s.Output == "" {
		doc.Add("output.scene.output", "is required: the name of the graph's output")
	}
	if len(s.Classes) < 2 {
		doc.Add("output.scene.classes", "must be at least two: the empty scene first, and what can be judged")
	}
	for i, c := range s.Classes {
		if err := vedette.CheckID(c); err != nil { // reasons are labels of metrics
			doc.Add(fmt.Sprintf("output.scene.classes[%d]", i), "%v", err)
		}
	}
	if !slices.Contains(s.Classes, s.Fit) {
		doc.Add("output.scene.fit", "must be one of the classes (got %s)", strictyaml.Quote(s.Fit))
	}
	checkUnit(doc, "output.scene.min_share", s.MinShare)
}

// checkEnum passes the empty value, which stands for the default.
func checkEnum[T interface {
	~string
	strictyaml.Enum
}](doc *strictyaml.Doc, path string, v T) {
	if v != "" && !slices.Contains(v.Values(), string(v)) {
		doc.Add(path, "must be %s (got %s)", strictyaml.OneOf(v.Values()), strictyaml.Quote(string(v)))
	}
}

// checkInt passes 0 where the file does not give the key.
func checkInt(doc *strictyaml.Doc, path string, v, low, high int) {
	if (v < low || v > high) && (v != 0 || doc.Has(path)) {
		doc.Add(path, "must be within %d..%d (got %d)", low, high, v)
	}
}

func checkUnit(doc *strictyaml.Doc, path string, v float64) {
	if !(v >= 0 && v <= 1) {
		doc.Add(path, "must be within 0..1 (got %v)", v)
	}
}
