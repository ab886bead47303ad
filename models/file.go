package models

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/internal/strictyaml"
)

// TensorInfo describes one output as the model's file declares it. An axis
// that the file leaves open is -1 (or anything below 1).
type TensorInfo struct {
	Name  string
	Shape []int
	// Op is the operator that computes the output, when known, looking past
	// those that only reshape or convert; it tells logits from probabilities.
	Op string
}

// Probabilities reports whether the operator behind the output makes
// probabilities of what it gets.
func (i TensorInfo) Probabilities() bool {
	switch i.Op {
	case "Softmax", "Sigmoid", "HardSigmoid":
		return true
	}
	return false
}

// Logits reports whether the output of a classifier needs a softmax, by the
// operator behind it; with an unknown one it does not.
func (i TensorInfo) Logits() bool { return i.Op != "" && !i.Probabilities() }

// String is the output for people: "boxes" [1 ? 4].
func (i TensorInfo) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q [", i.Name)
	for k, n := range i.Shape {
		if k > 0 {
			b.WriteByte(' ')
		}
		if n < 1 {
			b.WriteByte('?')
		} else {
			fmt.Fprint(&b, n)
		}
	}
	return b.String() + "]"
}

// outputInfos are the outputs of a file in their order.
func outputInfos(f *onnxfile.Model) []TensorInfo {
	var infos []TensorInfo
	for _, o := range f.Outputs {
		infos = append(infos, TensorInfo{Name: o.Name, Shape: o.Shape(), Op: o.Op})
	}
	return infos
}

// inputOf is what the file says about its picture input. given is the layout
// the manifest asks for, which decides where the shape allows both.
func inputOf(f *onnxfile.Model, given Layout) (Input, error) {
	if len(f.Inputs) != 1 {
		return Input{}, fmt.Errorf("the model has %d inputs (%s); it must have exactly one, that takes the picture",
			len(f.Inputs), describe(f.Inputs))
	}
	v := f.Inputs[0]
	in := Input{Name: v.Name, Layout: given, Type: ElemType(v.Type)}
	switch in.Type {
	case Float32, Float16, Uint8:
	default:
		return Input{}, fmt.Errorf("the model's input %s takes %s; supported are %s", v, v.Type, strictyaml.OneOf(in.Type.Values()))
	}
	if !v.Ranked {
		return in, nil // the manifest has to say it all
	}
	if len(v.Dims) != 4 {
		return Input{}, fmt.Errorf("the model's input %s has %d axes; a picture has 4, [batch channels height width] or [batch height width channels]",
			v, len(v.Dims))
	}
	d := v.Shape()
	if in.Layout == "" {
		in.Layout = NCHW
		if !isChannels(d[1]) && isChannels(d[3]) {
			in.Layout = NHWC
		}
	}
	channels, height, width := d[1], d[2], d[3]
	if in.Layout == NHWC {
		height, width, channels = d[1], d[2], d[3]
	}
	if channels > 0 && !isChannels(channels) {
		return Input{}, fmt.Errorf("the model's input %s has %d channels as %s; supported are 3 (colour) and 1 (grey)", v, channels, in.Layout)
	}
	if channels == 1 {
		in.Color = Gray
	}
	in.Width, in.Height = fixed(width), fixed(height)
	return in, nil
}

func isChannels(n int) bool { return n == 1 || n == 3 }

// fixed is 0 for an axis that the file leaves open.
func fixed(n int) int {
	if n < 0 || n > math.MaxInt32 {
		return 0
	}
	return n
}

// contradictions adds to doc where the manifest and the file disagree. file is
// the input as the file declares it.
func (m Manifest) contradictions(doc *strictyaml.Doc, f *onnxfile.Model, file Input) {
	v := f.Inputs[0]
	in := m.Input
	if in.Name != "" && in.Name != v.Name {
		doc.Add("input.name", "the manifest says %q, but the file's input is %s", in.Name, v)
	}
	for _, side := range []struct {
		path             string
		manifest, inFile int
	}{{"input.width", in.Width, file.Width}, {"input.height", in.Height, file.Height}} {
		switch {
		case side.manifest == 0:
			doc.Add(side.path, "the file leaves it open (%s), so the manifest must say it", v)
		case side.inFile != 0 && side.manifest != side.inFile:
			doc.Add(side.path, "the manifest says %d, but the file's input %s has %d as %s", side.manifest, v, side.inFile, file.Layout)
		}
	}
	if in.Type != file.Type {
		doc.Add("input.type", "the manifest says %s, but the file's input is %s", in.Type, v)
	}
	if d := v.Shape(); len(d) == 4 {
		channels := d[1]
		if file.Layout == NHWC {
			channels = d[3]
		}
		if channels > 0 && channels != in.Channels() {
			doc.Add("input.color", "the manifest says %s (%d channels), but the file's input %s has %d", in.Color, in.Channels(), v, channels)
		}
	}
	if n := classCount(m.Output.Decoder, outputInfos(f)); n > 0 && len(m.Labels) > 0 && len(m.Labels) != n {
		doc.Add("labels", "the manifest has %d labels, but the file's output %s has %d classes, read as %s", len(m.Labels), describe(f.Outputs), n, m.Output.Decoder)
	}
}

// readFile reads an ONNX file into memory once.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileerr.Named(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxONNX:
		return nil, fmt.Errorf("%s has %d bytes; an ONNX file has at most %d", path, info.Size(), maxONNX)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
