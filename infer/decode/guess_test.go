package decode_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/models"
)

// TestGuessGolden: each stored model is recognised from its shapes and
// metadata alone, and what is proposed builds a decoder.
func TestGuessGolden(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			infos, _ := g.outputs()
			m, err := decode.Guess(infos, g.Metadata, models.Input{Width: g.Manifest.Width, Height: g.Manifest.Height})
			if name == "real_mnist" { // ten numbers: only its hash tells what they are
				if !errors.Is(err, models.ErrTaskUnclear) {
					t.Errorf("guessed %+v, %v", m, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Output.Decoder != g.Manifest.Decoder {
				t.Errorf("guessed %q, is %q", m.Output.Decoder, g.Manifest.Decoder)
			}
			if g.Metadata != nil {
				want := []string{"person", "traffic light", "driver's seat", `a "quoted" one`, "naïve", `back\slash`}
				if !slices.Equal(m.Labels, want) {
					t.Errorf("labels %q, want %q", m.Labels, want)
				}
			}
			if _, err := decode.New(m, infos); err != nil {
				t.Errorf("the proposal does not build: %v", err)
			}
		})
	}
}

func TestGuess(t *testing.T) {
	detect := map[string]string{"author": "Ultralytics", "task": "detect", "names": "{0: 'a', 1: 'b'}", "imgsz": "[64, 96]"}
	tests := []struct {
		name  string
		outs  [][]int
		meta  map[string]string
		size  [2]int
		want  string
		check func(models.Manifest) bool
	}{
		{name: "yolox-s", outs: [][]int{{1, 8400, 85}}, size: [2]int{640, 640}, want: "yolox",
			check: func(m models.Manifest) bool { return m.Input.Color == models.BGR && m.Input.Pad == 114 }},
		{name: "one class of yolox", outs: [][]int{{1, 756, 6}}, size: [2]int{192, 192}, want: "yolox"},
		{name: "yolox with four feature maps", outs: [][]int{{1, 8500, 85}}, size: [2]int{640, 640}, want: "yolox",
			check: func(m models.Manifest) bool { return slices.Equal(m.Output.Strides, []int{8, 16, 32, 64}) }},
		{name: "yolov5 without metadata", outs: [][]int{{-1, 25200, 85}}, size: [2]int{640, 640}, want: "yolov5"},
		{name: "yolov8 without metadata", outs: [][]int{{1, 84, 8400}}, size: [2]int{640, 640}, want: "yolov8",
			check: func(m models.Manifest) bool { return m.Input.Color == models.RGB && m.Input.Resize == models.Letterbox }},
		{name: "yolov8 with open axes", outs: [][]int{{-1, 6, -1}}, meta: detect, want: "yolov8",
			check: func(m models.Manifest) bool { return m.Input.Width == 96 && m.Input.Height == 64 && len(m.Labels) == 2 }},
		{name: "yolov8 transposed", outs: [][]int{{1, 126, 6}}, size: [2]int{96, 64},
			meta: map[string]string{"author": "Ultralytics", "names": "['a', 'b']", "task": "detect"}, want: "yolov8"},
		{name: "end to end", outs: [][]int{{1, 300, 6}}, size: [2]int{640, 640}, want: "end2end"},
		{name: "end to end with two classes", outs: [][]int{{1, 300, 6}}, size: [2]int{96, 64},
			meta: map[string]string{"author": "Ultralytics", "names": "['a', 'b']", "task": "detect", "end2end": "True"}, want: "end2end"},
		{name: "nanodet-plus", outs: [][]int{{1, 3598, 112}}, size: [2]int{416, 416}, want: "nanodet"},
		{name: "nanodet-plus, eight outputs", size: [2]int{416, 416}, want: "nanodet",
			outs: [][]int{{1, 2704, 80}, {1, 2704, 32}, {1, 676, 80}, {1, 676, 32}, {1, 169, 80}, {1, 169, 32}, {1, 49, 80}, {1, 49, 32}}},
		{name: "ultraface", outs: [][]int{{1, 4420, 2}, {1, 4420, 4}}, size: [2]int{320, 240}, want: "ssd",
			check: func(m models.Manifest) bool { return slices.Equal(m.Labels, []string{"face"}) }},
		{name: "classifier", outs: [][]int{{1, 1000}}, size: [2]int{224, 224}, want: "classify"},
		{name: "classifier, convolutional", outs: [][]int{{1, 1000, 1, 1}}, size: [2]int{224, 224}, want: "classify"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var infos []decode.Info
			for _, s := range tt.outs {
				infos = append(infos, decode.Info{Name: "out", Shape: s})
			}
			m, err := decode.Guess(infos, tt.meta, models.Input{Width: tt.size[0], Height: tt.size[1]})
			if err != nil {
				t.Fatal(err)
			}
			if m.Output.Decoder != tt.want || (tt.check != nil && !tt.check(m)) {
				t.Errorf("guessed %+v, want %s", m, tt.want)
			}
			if _, err := decode.New(m, infos); err != nil {
				t.Errorf("the proposal does not build: %v", err)
			}
		})
	}
}

func TestGuessRefuses(t *testing.T) {
	segment := map[string]string{"author": "Ultralytics", "task": "segment"}
	tests := []struct {
		name string
		outs []decode.Info
		meta map[string]string
		want []string
	}{
		{"segmentation", []decode.Info{{Name: "ResizeBilinear_3", Shape: []int{1, 257, 257, 21}}}, nil,
			[]string{`"ResizeBilinear_3" [1 257 257 21]`, "64×64", "decoders: nanodet", "yolox [B,N,5+C]"}},
		{"Ultralytics segmentation", []decode.Info{{Name: "o", Shape: []int{1, 116, 84}}}, segment, []string{`task "segment"`, "decoders:"}},
		{"broken names", []decode.Info{{Name: "o", Shape: []int{1, 84, 84}}},
			map[string]string{"author": "Ultralytics", "names": "{0: person}"}, []string{"names: at byte 4: expected a quoted name"}},
		{"nothing", nil, nil, []string{"outputs none"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode.Guess(tt.outs, tt.meta, models.Input{Width: 64, Height: 64})
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
	if _, err := decode.Guess([]decode.Info{{Shape: []int{1, 84, 84}}}, nil, models.Input{}); !errors.Is(err, decode.ErrLayout) ||
		!strings.Contains(err.Error(), "input.width") {
		t.Errorf("open input size: %v", err)
	}
}

// TestGuessTellsClassifiersFromEmbeddings: a vector is only taken for scores
// where something says so.
func TestGuessTellsClassifiersFromEmbeddings(t *testing.T) {
	for _, tt := range []struct {
		shape []int
		op    string
		meta  map[string]string
		want  bool
	}{
		{shape: []int{1, 256}, op: "Gemm"},
		{shape: []int{1, 256}},
		{shape: []int{-1, 512, 1, 1}, op: "Conv"},
		{shape: []int{1, -1}, op: "MatMul"},
		{shape: []int{1, 10}, op: "Softmax", want: true},
		{shape: []int{1, 10}, op: "LogSoftmax", want: true},
		{shape: []int{1, 10}, op: "Sigmoid", want: true},
		{shape: []int{1, 1000}, op: "Gemm", want: true},
		{shape: []int{1, 2}, op: "Gemm", meta: map[string]string{"author": "Ultralytics", "names": "{0: 'a', 1: 'b'}"}, want: true},
	} {
		m, err := decode.Guess([]decode.Info{{Name: "o", Shape: tt.shape, Op: tt.op}}, tt.meta, models.Input{Width: 128, Height: 256})
		if (err == nil) != tt.want || (err != nil && !errors.Is(err, models.ErrTaskUnclear)) {
			t.Errorf("%v behind %q: %+v, %v", tt.shape, tt.op, m, err)
		}
	}
}

func TestGuessTellsLogitsFromProbabilities(t *testing.T) {
	named := map[string]string{"author": "Ultralytics", "task": "classify", "names": "{0: 'a', 1: 'b'}"}
	for op, want := range map[string]bool{"": false, "Softmax": false, "Sigmoid": false, "Gemm": true, "Add": true} {
		m, err := decode.Guess([]decode.Info{{Name: "o", Shape: []int{1, 2}, Op: op}}, named, models.Input{Width: 28, Height: 28})
		if err != nil || m.Output.Softmax != want {
			t.Errorf("behind %q: softmax %v, %v, want %v", op, m.Output.Softmax, err, want)
		}
	}
}
