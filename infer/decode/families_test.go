package decode_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// found is an object without its label and normalised box.
type found struct {
	Class int
	Score float64
	Box   vedette.Box
}

// TestFamilies covers the variants for which there is no golden file.
func TestFamilies(t *testing.T) {
	ln := func(v float64) float32 { return float32(math.Log(v)) }
	tests := []struct {
		name  string
		edit  func(*models.Manifest)
		outs  []decode.Tensor
		open  bool // the file leaves the number of boxes open
		width int
		want  []found
	}{
		{name: "yolox decoded", edit: func(m *models.Manifest) { m.Output.Decoder, m.Output.Decoded = "yolox", true },
			outs: one([]int{1, 1, 6}, []float32{32, 24, 16, 8, .8, .5}),
			want: []found{{0, .4, vedette.Box{24, 20, 40, 28}}}},
		{name: "yolox raw, the last cell", edit: func(m *models.Manifest) { m.Output.Decoder = "yolox" }, open: true,
			outs: one([]int{1, 84, 7}, lastRow(84, .5, -.5, ln(.5), ln(.25), 1, .1, .75)), // cell 1, 1 at stride 32
			want: []found{{1, .75, vedette.Box{40, 12, 56, 20}}}},
		{name: "yolov5 normalised", edit: func(m *models.Manifest) { m.Output.Normalized = true },
			outs: one([]int{1, 1, 6}, []float32{.5, .5, .25, .125, 1, .9}),
			want: []found{{0, .9, vedette.Box{24, 28, 40, 36}}}},
		{name: "yolov8 by row", edit: func(m *models.Manifest) { m.Output.Decoder = "yolov8" }, open: true,
			outs: one([]int{1, 7, 6}, append([]float32{32, 24, 16, 8, .1, .6}, make([]float32, 36)...)),
			want: []found{{1, .6, vedette.Box{24, 20, 40, 28}}}},
		{name: "yolov8 normalised", edit: func(m *models.Manifest) { m.Output.Decoder, m.Output.Normalized = "yolov8", true },
			outs: one([]int{1, 6, 7}, column(7, 3, .5, .375, .25, .125, .3, .7)),
			want: []found{{1, .7, vedette.Box{24, 20, 40, 28}}}},
		{name: "end2end keeps overlaps", edit: func(m *models.Manifest) { m.Output.Decoder = "end2end" }, open: true,
			outs: one([]int{1, 3, 6}, []float32{10, 10, 20, 20, .5, 1, 10, 10, 20, 20, .9, 1, 1, 1, 2, 2, .1, 0}),
			want: []found{{1, .9, vedette.Box{10, 10, 20, 20}}, {1, .5, vedette.Box{10, 10, 20, 20}}}},
		{name: "end2end normalised", edit: func(m *models.Manifest) { m.Output.Decoder, m.Output.Normalized = "end2end", true },
			outs: one([]int{1, 1, 6}, []float32{.25, .5, .75, 1, .5, 0}),
			want: []found{{0, .5, vedette.Box{16, 32, 48, 64}}}},
		{name: "ssd, boxes first, a box of two classes", edit: func(m *models.Manifest) { m.Output.Decoder = "ssd" }, open: true,
			outs: []decode.Tensor{
				{Name: "boxes", Shape: []int{1, 2, 4}, F32: []float32{.25, .25, .5, .5, 0, 0, 1, 1}},
				{Name: "scores", Shape: []int{1, 2, 3}, F32: []float32{.1, .5, .4, .9, .1, 0}}},
			want: []found{{0, .5, vedette.Box{16, 16, 32, 32}}, {1, .4, vedette.Box{16, 16, 32, 32}}}},
		{name: "ssd, as many classes as corners", edit: func(m *models.Manifest) { m.Output.Decoder = "ssd" },
			outs: []decode.Tensor{
				{Name: "boxes", Shape: []int{1, 1, 4}, F32: []float32{.25, .25, .5, .5}},
				{Name: "scores", Shape: []int{1, 1, 4}, F32: []float32{.1, 0, 0, .9}}},
			want: []found{{2, .9, vedette.Box{16, 16, 32, 32}}}},
		{name: "yunet 2023", edit: func(m *models.Manifest) { m.Output.Decoder = "yunet" },
			outs: yunet2023(ln),
			want: []found{{0, .8, vedette.Box{40, 12, 56, 20}}}},
		{name: "nanodet-plus with an output per stride", edit: func(m *models.Manifest) { m.Output.Decoder = "nanodet" },
			outs: nanodetPlusOutputs(),
			want: []found{{1, .8, vedette.Box{0, 0, 64, 64}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := manifest("yolov5")
			tt.edit(&m)
			var infos []decode.Info
			for _, o := range tt.outs {
				shape := append([]int(nil), o.Shape...)
				shape[0] = -1
				if tt.open {
					shape[1] = -1
				}
				if m.Output.Decoder == "yolov8" && tt.open {
					m.Labels = []string{"a", "b"} // else it cannot know which axis is which
				}
				infos = append(infos, decode.Info{Name: o.Name, Shape: shape})
			}
			d := mustNew(t, m, infos...)
			got, err := d.Decode(tt.outs, []tensor.Geometry{same}, nil)
			if err == nil {
				err = got[0].Err
			}
			if err != nil {
				t.Fatal(err)
			}
			var have []found
			for _, o := range got[0].Objects {
				have = append(have, found{o.ClassID, o.Score, o.Box})
			}
			if diff := cmp.Diff(tt.want, have, cmpopts.EquateApprox(0, 1e-5)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// lastRow is n rows of which only the last is not zero.
func lastRow(n int, row ...float32) []float32 {
	return append(make([]float32, (n-1)*len(row)), row...)
}

// column is len(values) planes of n, zero but at position at.
func column(n, at int, values ...float32) []float32 {
	v := make([]float32, n*len(values))
	for i, x := range values {
		v[i*n+at] = x
	}
	return v
}

// yunet2023 has one face in the last cell of stride 32.
func yunet2023(ln func(float64) float32) []decode.Tensor {
	var outs []decode.Tensor
	for _, name := range []string{"cls", "obj", "bbox", "kps"} {
		for _, cells := range []int{64, 16, 4} {
			cols := map[string]int{"cls": 1, "obj": 1, "bbox": 4, "kps": 10}[name]
			row := make([]float32, cols)
			if cells == 4 {
				row = map[string][]float32{
					"cls": {.64}, "obj": {1}, "bbox": {.5, -.5, ln(.5), ln(.25)}, "kps": make([]float32, 10),
				}[name]
			}
			outs = append(outs, decode.Tensor{Name: name, Shape: []int{1, cells, cols}, F32: lastRow(cells, row...)})
		}
	}
	return outs
}

// nanodetPlusOutputs has one object in the only cell of stride 64: its corner
// is the picture's, and the distances to the right and below are one stride.
func nanodetPlusOutputs() []decode.Tensor {
	var outs []decode.Tensor
	for _, cells := range []int{64, 16, 4, 1} {
		cls, box := make([]float32, 2), make([]float32, 32)
		if cells == 1 {
			cls[1] = .8
			box[0], box[8], box[17], box[25] = 50, 50, 50, 50
		}
		outs = append(outs,
			decode.Tensor{Name: "cls", Shape: []int{1, cells, 2}, F32: lastRow(cells, cls...)},
			decode.Tensor{Name: "dis", Shape: []int{1, cells, 32}, F32: lastRow(cells, box...)})
	}
	return outs
}

func TestBadAnswersFailThePicture(t *testing.T) {
	end := func(row ...float32) []decode.Tensor { return one([]int{1, 1, 6}, row) }
	tests := []struct {
		name, decoder string
		labels        []string
		outs          []decode.Tensor
		want          error
	}{
		{"class beyond the labels", "end2end", []string{"a"}, end(1, 1, 9, 9, .9, 1), decode.ErrLayout},
		{"class below zero", "end2end", nil, end(1, 1, 9, 9, .9, -1), decode.ErrLayout},
		{"class between two", "end2end", nil, end(1, 1, 9, 9, .9, .5), decode.ErrLayout},
		{"class NaN", "end2end", nil, end(1, 1, 9, 9, .9, nan), decode.ErrLayout},
		{"class infinite", "end2end", nil, end(1, 1, 9, 9, .9, float32(math.Inf(1))), decode.ErrLayout},
		{"score NaN", "end2end", nil, end(1, 1, 9, 9, nan, 0), decode.ErrNotFinite},
		{"first class NaN", "yolov8", nil, one([]int{1, 6, 7}, column(7, 3, 9, 9, 9, 9, nan, .7)), decode.ErrNotFinite},
		{"last class NaN", "yolov8", nil, one([]int{1, 6, 7}, column(7, 3, 9, 9, 9, 9, .7, nan)), decode.ErrNotFinite},
		{"pixels for scores", "yolov8", nil, one([]int{1, 6, 7}, column(7, 3, 9, 9, 9, 9, 300, 2)), decode.ErrNotProbability},
		{"w overflows", "yolox", nil, one([]int{1, 84, 6}, lastRow(84, 0, 0, 100, 0, 1, 1)), decode.ErrNotFinite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustNew(t, manifest(tt.decoder, tt.labels...), decode.Info{Name: "out", Shape: tt.outs[0].Shape})
			got, err := d.Decode(tt.outs, []tensor.Geometry{same}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(got[0].Err, tt.want) || len(got[0].Objects) != 0 {
				t.Errorf("got %+v, want %v", got[0], tt.want)
			}
		})
	}
}

func TestEnd2EndWithoutLabels(t *testing.T) {
	d := mustNew(t, manifest("end2end"), decode.Info{Name: "out", Shape: []int{1, 1, 6}})
	got, err := d.Decode(one([]int{1, 1, 6}, []float32{1, 1, 9, 9, .9, 41}), []tensor.Geometry{same}, nil)
	if err != nil || len(got[0].Objects) != 1 || got[0].Objects[0].Label != "class_41" {
		t.Errorf("got %+v, %v", got, err)
	}
}
