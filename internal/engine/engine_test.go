package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/models"
)

func TestParseDevice(t *testing.T) {
	for in, want := range map[string]string{
		"": "auto", "auto": "auto", "cpu": "cpu", "cuda": "cuda:0", "cuda:3": "cuda:3", "tensorrt:1": "tensorrt:1", "openvino": "openvino",
	} {
		if d, err := engine.ParseDevice(in); err != nil || d.String() != want {
			t.Errorf("%q is %v, %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"gpu", "CUDA:0", "cuda:", "cuda:-1", "cuda:x", "cuda:0:0", "cpu:0", "auto:1", "openvino:0", "cuda:256"} {
		if d, err := engine.ParseDevice(in); !errors.Is(err, engine.ErrNoDevice) || !strings.Contains(err.Error(), "allowed are") {
			t.Errorf("%q is %v, %v, want an error", in, d, err)
		}
	}
}

func TestPicture(t *testing.T) {
	in := func(shape ...int) engine.Info {
		return engine.Info{Inputs: []engine.TensorInfo{{Name: "x", Type: "float32", Shape: shape}}}
	}
	gray := models.Input{Width: 8, Height: 6, Color: models.Gray}
	hwc := models.Input{Width: 8, Height: 6, Layout: models.NHWC, Color: models.RGB}
	for name, c := range map[string]struct {
		info  engine.Info
		man   models.Input
		batch int
		shape [3]int
		says  string // of the error
	}{
		"all from the file":     {in(1, 3, 6, 8), models.Input{}, 1, [3]int{3, 6, 8}, ""},
		"open batch":            {in(-1, 3, 6, 8), models.Input{Width: 8, Height: 6}, -1, [3]int{3, 6, 8}, ""},
		"all from the manifest": {in(-1, -1, -1, -1), gray, -1, [3]int{1, 6, 8}, ""},
		"channels last":         {in(2, -1, -1, 3), hwc, 2, [3]int{6, 8, 3}, ""},
		"four channels":         {in(1, 4, 6, 8), models.Input{Width: 8, Height: 6}, 1, [3]int{4, 6, 8}, ""},
		"colour for grey":       {in(1, 3, 6, 8), gray, 0, [3]int{}, "1 channels in layout nchw, but the file's input \"x\" is [1,3,6,8]"},
		"layout":                {in(1, 3, 6, 8), hwc, 0, [3]int{}, "layout nhwc"},
		"width":                 {in(1, 3, 6, 9), models.Input{Width: 8, Height: 6}, 0, [3]int{}, "8 width"},
		"nobody knows":          {in(1, 3, -1, 9), models.Input{Width: 9}, 0, [3]int{}, "height"},
		"empty axis":            {in(1, 3, 0, 9), models.Input{}, 0, [3]int{}, "0 height"},
		"empty batch":           {in(0, 3, 6, 8), models.Input{}, 0, [3]int{}, "0 pictures"},
		"rank":                  {in(3, 6, 8), models.Input{}, 0, [3]int{}, "[3,6,8]"},
		"unknown rank":          {engine.Info{Inputs: []engine.TensorInfo{{Name: "x", Type: "float32"}}}, models.Input{}, 0, [3]int{}, "unknown"},
		"integers":              {engine.Info{Inputs: []engine.TensorInfo{{Name: "x", Type: "int64", Shape: []int{1, 3, 6, 8}}}}, models.Input{}, 0, [3]int{}, "int64"},
		"no input":              {engine.Info{}, models.Input{}, 0, [3]int{}, "0 inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := c.info.Picture(c.man)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || !errors.Is(err, engine.ErrModel) && !errors.Is(err, engine.ErrUnsupported) {
					t.Fatalf("error %v, want one that says %q", err, c.says)
				}
				return
			}
			if err != nil || p.Batch != c.batch || p.Shape != c.shape {
				t.Fatalf("%+v, %v", p, err)
			}
			shape, err := p.BatchShape(p.WarmUpBatch())
			if err != nil || !slices.Equal(shape[1:], c.shape[:]) || len(p.NewInput(shape).F32) != shape[0]*c.shape[0]*c.shape[1]*c.shape[2] {
				t.Errorf("batch shape %v, %v", shape, err)
			}
			if _, err := p.BatchShape(7); (err == nil) != (c.batch < 0) {
				t.Errorf("a batch of 7: %v", err)
			}
		})
	}
}
