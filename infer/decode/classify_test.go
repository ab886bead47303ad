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
)

func TestClassify(t *testing.T) {
	e := math.Exp
	tests := []struct {
		name    string
		shape   []int
		v       []float32
		softmax bool
		min     float64
		top     int
		want    []float64 // class, score, class, score …
		err     error
	}{
		{name: "probabilities", shape: []int{1, 4}, v: []float32{.1, .2, .6, .1}, top: 2, want: []float64{2, .6, 1, .2}},
		{name: "all, a tie in order", shape: []int{1, 4}, v: []float32{.1, .2, .6, .1}, want: []float64{2, .6, 1, .2, 0, .1, 3, .1}},
		{name: "a tie at the end of the list", shape: []int{1, 4}, v: []float32{.1, .1, .7, .1}, top: 2, want: []float64{2, .7, 0, .1}},
		{name: "convolutional", shape: []int{1, 4, 1, 1}, v: []float32{0, 1, 0, 0}, min: .5, want: []float64{1, 1}},
		{name: "channels last", shape: []int{1, 1, 1, 4}, v: []float32{0, 0, 1, 0}, min: .5, want: []float64{2, 1}},
		{name: "logits", shape: []int{1, 3}, v: []float32{1, 3, 2}, softmax: true,
			want: []float64{1, e(3) / (e(1) + e(2) + e(3)), 2, e(2) / (e(1) + e(2) + e(3)), 0, e(1) / (e(1) + e(2) + e(3))}},
		{name: "large logits", shape: []int{1, 2}, v: []float32{1e4, -1e4}, softmax: true, min: .5, want: []float64{0, 1}},
		{name: "one class", shape: []int{1, 1}, v: []float32{.7}, want: []float64{0, .7}},
		{name: "nothing above the threshold", shape: []int{1, 2}, v: []float32{.4, .6}, min: .9, want: []float64{}},
		{name: "logits without softmax", shape: []int{1, 2}, v: []float32{-3, 8}, err: decode.ErrNotProbability},
		{name: "NaN", shape: []int{1, 2}, v: []float32{.5, nan}, err: decode.ErrNotFinite},
		{name: "infinity", shape: []int{1, 2}, v: []float32{.5, float32(math.Inf(-1))}, softmax: true, err: decode.ErrNotFinite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := manifest("classify")
			m.Output.Softmax, m.Output.MinScore, m.Output.MaxObjects = tt.softmax, tt.min, tt.top
			d := mustNew(t, m, decode.Info{Name: "out", Shape: tt.shape})
			got, err := d.Decode(one(tt.shape, tt.v), []tensor.Geometry{same}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(got[0].Err, tt.err) {
				t.Fatalf("got %v, want %v", got[0].Err, tt.err)
			}
			if tt.err != nil {
				return
			}
			want := []vedette.Class{}
			for i := 0; i < len(tt.want); i += 2 {
				id := int(tt.want[i])
				want = append(want, vedette.Class{Label: "class_" + string(rune('0'+id)), ClassID: id, Score: tt.want[i+1]})
			}
			if diff := cmp.Diff(want, got[0].Classes, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
