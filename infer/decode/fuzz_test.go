package decode_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// FuzzDecode builds every decoder for outputs of any shape and feeds it any
// numbers: it may refuse, but what it answers must be fit to publish.
func FuzzDecode(f *testing.F) {
	for i := range decode.Kinds() {
		f.Add(uint8(i), []byte{1, 84, 7}, uint64(1), 0.25, false)
		f.Add(uint8(i), []byte{2, 84, 3, 2, 84, 4}, uint64(4), 0.0, true)
		f.Add(uint8(i), []byte{1, 85, 37}, uint64(7), 0.5, false)
		f.Add(uint8(i), []byte{1, 7, 84}, uint64(10), 0.1, false)
		f.Add(uint8(i), []byte{1, 9, 6}, uint64(13), 0.1, false)
		f.Add(uint8(i), []byte{1, 7, 4, 4}, uint64(2), 0.1, false)
		f.Add(uint8(i), []byte{1, 10}, uint64(6), 0.0, true)
		f.Add(uint8(i), []byte{1, 64, 2, 1, 16, 2, 1, 4, 2, 1, 64, 32, 1, 16, 32, 1, 4, 32}, uint64(16), 0.3, false)
		f.Add(uint8(i), []byte{1, 64, 1, 1, 64, 1, 1, 64, 4, 1, 16, 1, 1, 16, 1, 1, 16, 4, 1, 4, 1, 1, 4, 1, 1, 4, 4}, uint64(19), 0.3, false)
	}
	f.Fuzz(func(t *testing.T, kind uint8, dims []byte, seed uint64, minScore float64, flag bool) {
		kinds := decode.Kinds()
		m := manifest(kinds[int(kind)%len(kinds)].Name)
		m.Output.MinScore, m.Output.MaxObjects = minScore, 7
		m.Output.Decoded, m.Output.Normalized, m.Output.Softmax = flag, flag, flag
		if seed%3 == 0 {
			m.Labels = []string{"a", "b"}
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var infos []decode.Info
		var outs []decode.Tensor
		axes := 2 + int(seed%3)
		for len(dims) >= axes && len(outs) < 12 {
			shape, open, n := make([]int, axes), make([]int, axes), 1
			for i := range shape {
				shape[i] = int(dims[i])
				open[i] = shape[i]
				if rng.IntN(8) == 0 {
					open[i] = -1
				}
				n *= shape[i]
			}
			if n > 1<<20 {
				return
			}
			dims = dims[axes:]
			infos = append(infos, decode.Info{Name: "out", Shape: open})
			outs = append(outs, decode.Tensor{Name: "out", Shape: shape, F32: numbers(rng, n)})
		}
		_, _ = decode.Guess(infos, nil, m.Input)
		d, err := decode.New(m, infos)
		if err != nil {
			return
		}
		got, err := d.Decode(outs, []tensor.Geometry{{ScaleX: .5, ScaleY: .25, PadX: 3, PadY: -2, Width: 100, Height: 50}}, nil)
		if err != nil {
			return
		}
		checkResult(t, m, got[0])
	})
}

// numbers are mostly like those of a network, sometimes none that a network
// should give.
func numbers(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	odd := rng.IntN(3) == 0
	for i := range v {
		v[i] = rng.Float32()
		switch {
		case odd && rng.IntN(200) == 0:
			v[i] = []float32{nan, float32(math.Inf(1)), float32(math.Inf(-1)), -1, 1e30, 90, 0}[rng.IntN(7)]
		case rng.IntN(4) == 0:
			v[i] *= 64
		case rng.IntN(4) == 0:
			v[i] = 0
		}
	}
	return v
}

func checkResult(t *testing.T, m models.Manifest, r decode.Result) {
	t.Helper()
	if r.Err != nil && len(r.Objects)+len(r.Classes) > 0 {
		t.Errorf("an answer beside the error %v", r.Err)
	}
	if len(r.Objects) > m.Output.MaxObjects || len(r.Classes) > m.Output.MaxObjects {
		t.Errorf("%d objects, %d classes, more than %d", len(r.Objects), len(r.Classes), m.Output.MaxObjects)
	}
	last := 1.0
	score := func(s float64) {
		if !(s >= m.Output.MinScore-1e-6 && s <= last) {
			t.Errorf("score %v after %v, minimum %v", s, last, m.Output.MinScore)
		}
		last = s
	}
	for _, o := range r.Objects {
		score(o.Score)
		b, n := o.Box, o.BoxNorm
		if !(b[0] >= 0 && b[0] < b[2] && b[2] <= 100 && b[1] >= 0 && b[1] < b[3] && b[3] <= 50) {
			t.Errorf("box %v is not inside the frame", b)
		}
		if !(n[0] >= 0 && n[2] <= 1 && n[1] >= 0 && n[3] <= 1) || o.Label == "" || o.ClassID < 0 {
			t.Errorf("object %+v", o)
		}
	}
	for _, c := range r.Classes {
		score(c.Score)
		if c.Label == "" || c.ClassID < 0 {
			t.Errorf("class %+v", c)
		}
	}
}
