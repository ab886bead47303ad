package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vedette-io/vedette/internal/onnxfile"
	"github.com/vedette-io/vedette/models"
)

// Describe reads the outline of an ONNX file and refuses what no engine here
// can run: weights in a second file, outputs that are no tensors. Errors wrap
// [ErrModel] or [ErrUnsupported].
func Describe(onnx []byte) (Info, error) {
	m, err := onnxfile.Parse(onnx)
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if m.External != "" {
		return Info{}, fmt.Errorf("%w: weight %q lies in a file of its own; export the model as a single file", ErrUnsupported, m.External)
	}
	info := Info{Inputs: tensorInfos(m.Inputs), Outputs: tensorInfos(m.Outputs)}
	for _, o := range info.Outputs {
		switch o.Type {
		case "sequence", "map", "optional", "sparse", "string", "complex64", "complex128":
			return Info{}, fmt.Errorf("%w: output %q is of type %s; only tensors of numbers can be read", ErrUnsupported, o.Name, o.Type)
		}
	}
	return info, nil
}

func tensorInfos(values []onnxfile.Value) []TensorInfo {
	infos := make([]TensorInfo, len(values))
	for i, v := range values {
		infos[i] = TensorInfo{Name: v.Name, Type: v.Type}
		if v.Ranked {
			infos[i].Shape = v.Shape()
		}
	}
	return infos
}

// Picture is the input of a model that takes one batch of pictures, with
// everything the graph leaves open filled in from the manifest.
type Picture struct {
	Name string
	Type models.ElemType
	// Batch is the number of pictures that the graph fixes; -1 when it takes
	// any.
	Batch int
	// Shape is that of one picture: channels, height, width in the layout's
	// order.
	Shape [3]int
}

// BatchShape is the shape of a batch of n pictures. It wraps [ErrUnsupported]
// when the graph fixes another number.
func (p Picture) BatchShape(n int) ([]int, error) {
	if n < 1 {
		return nil, fmt.Errorf("batch %d: must be 1 or more", n)
	}
	if p.Batch >= 0 && p.Batch != n {
		return nil, fmt.Errorf("%w: a batch of %d: the graph fixes its input %q to a batch of %d", ErrUnsupported, n, p.Name, p.Batch)
	}
	return []int{n, p.Shape[0], p.Shape[1], p.Shape[2]}, nil
}

// WarmUpBatch is the batch to try a freshly loaded model with.
func (p Picture) WarmUpBatch() int { return max(p.Batch, 1) }

// NewInput allocates the tensor of a batch of this shape.
func (p Picture) NewInput(shape []int) *Input {
	n := 1
	for _, d := range shape {
		n *= d
	}
	in := &Input{Name: p.Name, Type: p.Type, Shape: shape}
	switch p.Type {
	case models.Float16:
		in.F16 = make([]uint16, n)
	case models.Uint8:
		in.U8 = make([]byte, n)
	default:
		in.F32 = make([]float32, n)
	}
	return in
}

// Picture finds the graph's picture input and checks it against what the
// manifest says; empty fields of the manifest say nothing, but the layout
// defaults to NCHW. What contradicts wraps [ErrModel]; what no engine here can
// feed wraps [ErrUnsupported].
func (i Info) Picture(in models.Input) (Picture, error) {
	var p Picture
	if len(i.Inputs) != 1 {
		return p, fmt.Errorf("%w: the model has %d inputs (%s); only models with one picture input can be run",
			ErrUnsupported, len(i.Inputs), tensorNames(i.Inputs))
	}
	t := i.Inputs[0]
	if in.Name != "" && in.Name != t.Name {
		return p, fmt.Errorf("%w: the manifest names the input %q, but the file's input is %q", ErrModel, in.Name, t.Name)
	}
	switch typ := models.ElemType(t.Type); {
	case typ != models.Float32 && typ != models.Float16 && typ != models.Uint8:
		return p, fmt.Errorf("%w: input %q takes %s; pictures can be float32, float16 or uint8", ErrUnsupported, t.Name, t.Type)
	case in.Type != "" && in.Type != typ:
		return p, fmt.Errorf("%w: the manifest says input type %s, but the file's input %q takes %s", ErrModel, in.Type, t.Name, t.Type)
	}
	if len(t.Shape) != 4 {
		return p, fmt.Errorf("%w: input %q has shape %s; a batch of pictures has 4 axes", ErrUnsupported, t.Name, ShapeString(t.Shape))
	}
	p = Picture{Name: t.Name, Type: models.ElemType(t.Type), Batch: t.Shape[0], Shape: [3]int(t.Shape[1:])}
	return p, p.fill(in)
}

// fill sets the open axes from the manifest and compares the others.
func (p *Picture) fill(in models.Input) error {
	file := p.Shape
	axes := [3]struct {
		what string
		want int
	}{{"channels", in.Channels()}, {"height", in.Height}, {"width", in.Width}}
	if in.Layout == models.NHWC {
		axes[0], axes[1], axes[2] = axes[1], axes[2], axes[0]
	}
	if in.Color == "" { // then the manifest says nothing about channels
		for i := range axes {
			if axes[i].what == "channels" && file[i] >= 0 {
				axes[i].want = file[i]
			}
		}
	}
	for i, a := range axes {
		switch {
		case file[i] < 0 && a.want <= 0:
			return fmt.Errorf("%w: the file leaves the %s of input %q open: the manifest must say it", ErrModel, a.what, p.Name)
		case file[i] < 0:
			p.Shape[i] = a.want
		case a.want > 0 && a.want != file[i]:
			return fmt.Errorf("%w: the manifest says %d %s in layout %s, but the file's input %q is %s",
				ErrModel, a.want, a.what, layoutName(in.Layout), p.Name, ShapeString(append([]int{p.Batch}, file[:]...)))
		case file[i] == 0:
			return fmt.Errorf("%w: input %q has %d %s", ErrModel, p.Name, file[i], a.what)
		}
	}
	if p.Batch == 0 {
		return fmt.Errorf("%w: input %q takes batches of 0 pictures", ErrModel, p.Name)
	}
	return nil
}

func layoutName(l models.Layout) models.Layout {
	if l == "" {
		return models.NCHW
	}
	return l
}

// ShapeString writes a shape for people: [?,3,416,416].
func ShapeString(shape []int) string {
	if shape == nil {
		return "(unknown)"
	}
	s := make([]string, len(shape))
	for i, d := range shape {
		s[i] = strconv.Itoa(d)
		if d < 0 {
			s[i] = "?"
		}
	}
	return "[" + strings.Join(s, ",") + "]"
}

func tensorNames(ts []TensorInfo) string {
	s := make([]string, len(ts))
	for i, t := range ts {
		s[i] = t.Name + " " + ShapeString(t.Shape)
	}
	return strings.Join(s, ", ")
}
