package decode

import (
	"fmt"
	"strings"

	"github.com/vedette-io/vedette/models"
)

// evidence is what a bare model file tells about itself.
type evidence struct {
	outs []Info
	meta map[string]string
	in   models.Input
}

func (e evidence) ultralytics() bool {
	return strings.EqualFold(e.meta["author"], "Ultralytics") || strings.HasPrefix(e.meta["description"], "Ultralytics")
}

// oneRows reports the boxes and columns of a model whose only output is
// [B, N, columns], both of fixed length.
func (e evidence) oneRows() (n, cols int, ok bool) {
	if len(e.outs) != 1 || len(e.outs[0].Shape) != 3 {
		return 0, 0, false
	}
	n, cols = e.outs[0].Shape[1], e.outs[0].Shape[2]
	return n, cols, n > 0 && cols > 0
}

// onGrid reports whether n is one box for each of per anchors in each cell of
// the usual feature maps, and of which strides.
func (e evidence) onGrid(n, per int) ([]int, bool) {
	for _, strides := range [][]int{{8, 16, 32}, {8, 16, 32, 64}} {
		if n == per*cellCount(levelsFor(e.in.Width, e.in.Height, strides)) {
			return strides, true
		}
	}
	return nil, false
}

// Guess proposes a manifest for a bare model file: the decoder that its output
// layout suggests with its parameters, how the family is usually fed, and the
// labels where the file's metadata has them. meta is the file's own metadata;
// in gives what is known of the input, its size at least, and Guess adds to
// it. The proposal is one: colour order, scale and resize cannot be read from
// a file. The error wraps [ErrLayout] and shows the shapes found and the
// decoders that exist, or it wraps [models.ErrTaskUnclear].
func Guess(outputs []Info, meta map[string]string, in models.Input) (models.Manifest, error) {
	m := models.Manifest{Input: in}
	if m.Input.Scale == 0 {
		m.Input.Scale = 1
	}
	e := evidence{outs: outputs, meta: meta, in: in}
	if e.ultralytics() {
		u, err := parseUltralytics(meta)
		if err != nil {
			return models.Manifest{}, fmt.Errorf("read Ultralytics metadata: %w", err)
		}
		switch u.task {
		case "", "detect", "classify":
		default:
			return models.Manifest{}, fmt.Errorf("%w: no decoder for Ultralytics task %q; outputs found: %s; decoders: %s",
				ErrLayout, u.task, infoList(outputs), kindList())
		}
		m.Labels = u.names
		if in.Width < 1 || in.Height < 1 {
			m.Input.Width, m.Input.Height = u.width, u.height
			e.in = m.Input
		}
	}
	if e.in.Width < 1 || e.in.Height < 1 {
		return models.Manifest{}, fmt.Errorf("%w: the file leaves the size of its input open; write a manifest with input.width and input.height", ErrLayout)
	}
	for _, k := range Kinds() {
		try := m
		if k.guess(e, &try) {
			try.Task, try.Output.Decoder = k.Task, k.Name
			return try, nil
		}
	}
	if err := e.unclear(); err != nil {
		return models.Manifest{}, err
	}
	return models.Manifest{}, fmt.Errorf("%w: no decoder knows outputs %s of a %d×%d input; decoders: %s",
		ErrLayout, infoList(outputs), e.in.Width, e.in.Height, kindList())
}

// feedUltralytics is how Ultralytics models are fed.
func feedUltralytics(in *models.Input) {
	in.Color, in.Resize, in.Pad, in.Scale = models.RGB, models.Letterbox, 114, 1.0/255
}
