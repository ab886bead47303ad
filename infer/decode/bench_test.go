package decode_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// BenchmarkGolden decodes the stored outputs of real networks.
func BenchmarkGolden(b *testing.B) {
	for name, g := range goldens(b) {
		b.Run(name, func(b *testing.B) {
			infos, outs := g.outputs()
			benchmark(b, g.manifest(), infos, outs, g.geometry())
		})
	}
}

// BenchmarkSizes decodes outputs of the common sizes, in which one box in
// twenty is a candidate: a crowd.
func BenchmarkSizes(b *testing.B) {
	for _, bb := range []struct {
		name, decoder string
		size          int
		shape         []int
	}{
		{"yolox_416", "yolox", 416, []int{1, 3549, 85}},
		{"yolox_640", "yolox", 640, []int{1, 8400, 85}},
		{"yolov5_640", "yolov5", 640, []int{1, 25200, 85}},
		{"yolov8_640", "yolov8", 640, []int{1, 84, 8400}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			m := models.Manifest{Input: models.Input{Width: bb.size, Height: bb.size}, Output: models.Output{Decoder: bb.decoder}}
			v := make([]float32, bb.shape[1]*bb.shape[2])
			rng := rand.New(rand.NewPCG(1, 2))
			n, cols := bb.shape[1], bb.shape[2]
			at := func(row, col int) *float32 { return &v[row*cols+col] }
			if bb.decoder == "yolov8" {
				n, cols = cols, n
				at = func(row, col int) *float32 { return &v[col*n+row] }
			}
			for row := range n {
				for col := range cols {
					*at(row, col) = rng.Float32() * .2
				}
				if bb.decoder != "yolox" {
					*at(row, 0), *at(row, 1) = rng.Float32()*640, rng.Float32()*640
					*at(row, 2), *at(row, 3) = rng.Float32()*100, rng.Float32()*100
				}
				if row%20 == 0 {
					*at(row, 4), *at(row, 5+rng.IntN(70)) = 1, .3+.7*rng.Float32()
				}
			}
			benchmark(b, m, []decode.Info{{Shape: bb.shape}}, one(bb.shape, v),
				tensor.Geometry{ScaleX: .5, ScaleY: .5, Width: 2 * bb.size, Height: 2 * bb.size})
		})
	}
}

func benchmark(b *testing.B, m models.Manifest, infos []decode.Info, outs []decode.Tensor, g tensor.Geometry) {
	b.Helper()
	d := mustNew(b, m, infos...)
	geoms := []tensor.Geometry{g}
	var dst []decode.Result
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = d.Decode(outs, geoms, dst); err != nil || dst[0].Err != nil {
			b.Fatal(err, dst[0].Err)
		}
	}
	b.ReportMetric(float64(len(dst[0].Objects)+len(dst[0].Classes)), "answers")
}
