package decode_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// manifest is a 64×64 model for a decoder.
func manifest(decoder string, labels ...string) models.Manifest {
	return models.Manifest{
		Input:  models.Input{Width: 64, Height: 64},
		Output: models.Output{Decoder: decoder},
		Labels: labels,
	}
}

// same is the geometry of a frame as large as the model's input.
var same = tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: 64, Height: 64}

// one is a batch of one output.
func one(shape []int, v []float32) []decode.Tensor {
	return []decode.Tensor{{Name: "out", Shape: shape, F32: v}}
}

func mustNew(t testing.TB, m models.Manifest, outs ...decode.Info) decode.Decoder {
	t.Helper()
	d, err := decode.New(m, outs)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Tasks that manifests may name and no decoder answers are refused by name.
func TestTasksWithoutDecoder(t *testing.T) {
	for _, task := range []models.Task{models.Embed, models.Segment, models.Anomaly} {
		for _, decoder := range []string{"", "classify"} {
			m := models.Manifest{Task: task, Input: models.Input{Width: 8, Height: 8}, Output: models.Output{Decoder: decoder}}
			_, err := decode.New(m, []decode.Info{{Name: "o", Shape: []int{1, 256}}})
			if err == nil || !strings.Contains(err.Error(), "models that "+string(task)+" cannot be run yet") {
				t.Errorf("%s, decoder %q: %v", task, decoder, err)
			}
		}
	}
}

func TestSuppression(t *testing.T) {
	// Rows of x1, y1, x2, y2 as cx, cy, w, h in pixels, object, two classes.
	rows := []float32{
		20, 20, 20, 20, 1, .8, .1, // kept
		21, 21, 20, 20, 1, .7, .1, // same class, overlaps the first
		21, 21, 20, 20, 1, .1, .6, // other class
		50, 50, 20, 20, .5, .6, .1, // elsewhere, 0.3
		50, 20, 20, 20, .2, .9, .1, // below the threshold
		-30, 20, 20, 20, 1, .9, .1, // outside the frame
		50, 50, 20, 20, .5, .6, .1, // a tie with its twin: the first wins
	}
	m := manifest("yolov5", "a", "b")
	m.Output.MinScore = 0.25
	d := mustNew(t, m, decode.Info{Name: "out", Shape: []int{-1, -1, 7}})
	got, err := d.Decode(one([]int{1, 7, 7}, rows), []tensor.Geometry{same}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []decode.Result{{Objects: []vedette.Object{
		{Label: "a", ClassID: 0, Score: .8, Box: vedette.Box{10, 10, 30, 30}},
		{Label: "b", ClassID: 1, Score: .6, Box: vedette.Box{11, 11, 31, 31}},
		{Label: "a", ClassID: 0, Score: .3, Box: vedette.Box{40, 40, 60, 60}},
	}}}
	for i := range want[0].Objects {
		o := &want[0].Objects[i]
		for k := range o.Box {
			o.BoxNorm[k] = o.Box[k] / 64
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Error(diff)
	}
}

func TestMapsToTheFrame(t *testing.T) {
	// A 128×64 frame in a 64×64 input: halved, 16 pixels of padding above.
	g := tensor.Geometry{ScaleX: .5, ScaleY: .5, PadY: 16, Width: 128, Height: 64}
	rows := []float32{
		32, 32, 16, 16, 1, .9,
		0, 32, 20, 8, 1, .8, // clipped on the left
		32, 5, 10, 10, 1, .7, // in the padding
	}
	d := mustNew(t, manifest("yolov5", "a"), decode.Info{Name: "out", Shape: []int{1, 3, 6}})
	got, err := d.Decode(one([]int{1, 3, 6}, rows), []tensor.Geometry{g}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var boxes []vedette.Box
	for _, o := range got[0].Objects {
		boxes = append(boxes, o.Box)
	}
	want := []vedette.Box{{48, 16, 80, 48}, {0, 24, 20, 40}}
	if diff := cmp.Diff(want, boxes); diff != "" {
		t.Error(diff)
	}
}

func TestBatchAndReuse(t *testing.T) {
	d := mustNew(t, manifest("yolov5", "a"), decode.Info{Name: "out", Shape: []int{-1, 2, 6}})
	batch := one([]int{3, 2, 6}, []float32{
		32, 32, 16, 16, 1, .9 /**/, 10, 10, 4, 4, 1, .8,
		nan, 32, 16, 16, 1, .9 /**/, 10, 10, 4, 4, 1, .8,
		0, 0, 0, 0, 0, 0 /*    */, 10, 10, 4, 4, 1, .7,
	})
	var dst []decode.Result
	for range 3 { // the same memory again
		var err error
		// Padding of a fixed batch size: three pictures in, two of interest.
		if dst, err = d.Decode(batch, []tensor.Geometry{same, same}, dst); err != nil {
			t.Fatal(err)
		}
		if len(dst) != 2 || len(dst[0].Objects) != 2 || dst[0].Err != nil {
			t.Errorf("first picture: %+v", dst[0])
		}
		if !errors.Is(dst[1].Err, decode.ErrNotFinite) || len(dst[1].Objects) != 0 {
			t.Errorf("second picture: %+v, want ErrNotFinite", dst[1])
		}
		if dst, err = d.Decode(batch, []tensor.Geometry{same, same, same}, dst); err != nil {
			t.Fatal(err)
		}
		if len(dst[2].Objects) != 1 || dst[2].Err != nil {
			t.Errorf("third picture: %+v", dst[2])
		}
	}
	if _, err := d.Decode(batch, make([]tensor.Geometry, 4), nil); !errors.Is(err, decode.ErrLayout) {
		t.Errorf("more geometries than pictures: %v", err)
	}
}

func TestNothingSeenIsNotNil(t *testing.T) {
	d := mustNew(t, manifest("yolov5", "a"), decode.Info{Name: "out", Shape: []int{1, 1, 6}})
	got, err := d.Decode(one([]int{1, 1, 6}, make([]float32, 6)), []tensor.Geometry{same}, nil)
	if err != nil || got[0].Err != nil || got[0].Objects == nil || len(got[0].Objects) != 0 {
		t.Errorf("got %+v, %v, want an empty list", got, err)
	}
}

var nan = float32(math.NaN())

func TestBadNumbersFailThePicture(t *testing.T) {
	inf := float32(math.Inf(1))
	tests := []struct {
		name string
		row  []float32
		want error
	}{
		{"NaN object", []float32{32, 32, 8, 8, nan, .9, .1}, decode.ErrNotFinite},
		{"NaN class", []float32{32, 32, 8, 8, 1, .1, nan}, decode.ErrNotFinite},
		{"infinite score", []float32{32, 32, 8, 8, inf, .9, .1}, decode.ErrNotFinite},
		{"infinite box", []float32{32, 32, inf, 8, 1, .9, .1}, decode.ErrNotFinite},
		{"NaN box", []float32{32, nan, 8, 8, 1, .9, .1}, decode.ErrNotFinite},
		{"not a probability", []float32{32, 32, 8, 8, 5, .9, .1}, decode.ErrNotProbability},
		{"a box nobody asks for", []float32{nan, nan, inf, 8, .1, .9, .1}, nil},
		{"rounding", []float32{32, 32, 8, 8, 1.001, 1, .1}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustNew(t, manifest("yolov5"), decode.Info{Name: "out", Shape: []int{1, 1, 7}})
			got, err := d.Decode(one([]int{1, 1, 7}, tt.row), []tensor.Geometry{same}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(got[0].Err, tt.want) {
				t.Errorf("got %v, want %v", got[0].Err, tt.want)
			}
			for _, o := range got[0].Objects {
				if tt.want != nil || o.Score > 1 {
					t.Errorf("published %+v", o)
				}
			}
		})
	}
}

func TestManyCandidatesAreBounded(t *testing.T) {
	// 9,000 separate boxes, the best ones last: the bound must not depend on
	// the order in which they come.
	const n = 9000
	rows := make([]float32, 0, n*6)
	for i := range n {
		rows = append(rows, float32(i%60)+.5, float32(i/60%60)+.5, .5, .5, 1, .3+.5*float32(i)/n)
	}
	m := manifest("yolov5")
	m.Output.MaxObjects = 10
	d := mustNew(t, m, decode.Info{Name: "out", Shape: []int{1, n, 6}})
	got, err := d.Decode(one([]int{1, n, 6}, rows), []tensor.Geometry{same}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0].Objects) != 10 {
		t.Fatalf("%d objects, want 10", len(got[0].Objects))
	}
	for i, o := range got[0].Objects {
		if want := float64(.3 + .5*float32(n-1-i)/n); math.Abs(o.Score-want) > 1e-6 {
			t.Errorf("object %d has score %v, want %v", i, o.Score, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(*models.Manifest)
		outs []decode.Info
		want []string // in the error
	}{
		{"unknown decoder", func(m *models.Manifest) { m.Output.Decoder = "detr" },
			[]decode.Info{{Name: "logits", Shape: []int{1, 100, 92}}},
			[]string{`no decoder "detr"`, `"logits" [1 100 92]`, "yolox [B,N,5+C]", "classify"}},
		{"grid of another size", func(m *models.Manifest) { m.Output.Decoder = "yolox" },
			[]decode.Info{{Name: "out", Shape: []int{1, 3549, 85}}},
			[]string{"64×64 input with strides [8 16 32] has 84 cells, the output has 3549 boxes", `"out" [1 3549 85]`}},
		{"labels do not fit", func(m *models.Manifest) { m.Labels = []string{"a", "b"} },
			[]decode.Info{{Name: "out", Shape: []int{1, 10, 8}}}, []string{"2 labels but the model answers 3 classes"}},
		{"two outputs", func(*models.Manifest) {},
			[]decode.Info{{Name: "a", Shape: []int{1, 10, 8}}, {Name: "b", Shape: []int{-1, 10, 8}}},
			[]string{"2 outputs, not one", `"b" [? 10 8]`}},
		{"no outputs", func(*models.Manifest) {}, nil, []string{"outputs found: none"}},
		{"task", func(m *models.Manifest) { m.Task = models.Classify },
			[]decode.Info{{Name: "a", Shape: []int{1, 10, 8}}}, []string{`decoder "yolov5" answers task "detect"`}},
		{"min_score", func(m *models.Manifest) { m.Output.MinScore = 40 }, nil, []string{"min_score is 40, must be within 0..1"}},
		{"iou", func(m *models.Manifest) { m.Output.IoU = math.NaN() }, nil, []string{"iou is NaN"}},
		{"max_objects", func(m *models.Manifest) { m.Output.MaxObjects = -1 }, nil, []string{"max_objects is -1"}},
		{"stride", func(m *models.Manifest) { m.Output.Strides = []int{8, 0} }, nil, []string{"strides has 0"}},
		{"input size", func(m *models.Manifest) { m.Input.Width = 0 }, nil, []string{"input size is 0×64"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := manifest("yolov5")
			tt.edit(&m)
			_, err := decode.New(m, tt.outs)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
		})
	}
}

func TestDecodeRefusesOtherShapes(t *testing.T) {
	d := mustNew(t, manifest("yolov5"), decode.Info{Name: "out", Shape: []int{1, -1, 7}})
	for name, outs := range map[string][]decode.Tensor{
		"no output":      nil,
		"columns":        one([]int{1, 2, 8}, make([]float32, 16)),
		"axes":           one([]int{2, 7}, make([]float32, 14)),
		"too few values": one([]int{1, 2, 7}, make([]float32, 13)),
		"no picture":     one([]int{0, 2, 7}, nil),
	} {
		if _, err := d.Decode(outs, []tensor.Geometry{same}, nil); !errors.Is(err, decode.ErrLayout) {
			t.Errorf("%s: got %v, want ErrLayout", name, err)
		}
	}
	// No boxes at all is a picture on which nothing was seen.
	got, err := d.Decode(one([]int{1, 0, 7}, nil), []tensor.Geometry{same}, nil)
	if err != nil || len(got[0].Objects) != 0 || got[0].Err != nil {
		t.Errorf("zero rows: %+v, %v", got, err)
	}
}
