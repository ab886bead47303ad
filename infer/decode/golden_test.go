package decode_test

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// golden is raw outputs and what the reference makes of them, as
// bench/reference writes them.
type golden struct {
	Manifest struct {
		Decoder       string
		Width, Height int
		MinScore      float64 `json:"min_score"`
		IoU           float64
		MaxObjects    int `json:"max_objects"`
		Softmax       bool
	}
	Geometry *tensor.Geometry
	Metadata map[string]string
	Outputs  []struct {
		Name  string
		Shape []int
		F16   []byte
	}
	Objects [][6]float64 // x1, y1, x2, y2, score, class
	Classes [][2]float64 // class, score
}

func (g golden) manifest() models.Manifest {
	return models.Manifest{
		Input: models.Input{Width: g.Manifest.Width, Height: g.Manifest.Height},
		Output: models.Output{
			Decoder: g.Manifest.Decoder, MinScore: g.Manifest.MinScore, IoU: g.Manifest.IoU,
			MaxObjects: g.Manifest.MaxObjects, Softmax: g.Manifest.Softmax,
		},
	}
}

func (g golden) outputs() ([]decode.Info, []decode.Tensor) {
	var infos []decode.Info
	var outs []decode.Tensor
	for _, o := range g.Outputs {
		v := make([]float32, len(o.F16)/2)
		for i := range v {
			v[i] = halfToFloat(binary.LittleEndian.Uint16(o.F16[2*i:]))
		}
		infos = append(infos, decode.Info{Name: o.Name, Shape: o.Shape})
		outs = append(outs, decode.Tensor{Name: o.Name, Shape: o.Shape, F32: v})
	}
	return infos, outs
}

func (g golden) geometry() tensor.Geometry {
	if g.Geometry == nil {
		return same
	}
	return *g.Geometry
}

// halfToFloat widens a finite IEEE 754 half.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := float64(1), int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	if exponent == 0 {
		return float32(sign * math.Ldexp(fraction, -24))
	}
	return float32(sign * math.Ldexp(1024+fraction, exponent-25))
}

func loadGolden(t testing.TB, path string) golden {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return g
}

func goldens(t testing.TB) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(paths) < 14 {
		t.Fatalf("%d golden files, %v", len(paths), err)
	}
	all := map[string]golden{}
	for _, p := range paths {
		all[strings.TrimSuffix(filepath.Base(p), ".json.gz")] = loadGolden(t, p)
	}
	return all
}

func TestGolden(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			infos, outs := g.outputs()
			d, err := decode.New(g.manifest(), infos)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(outs, []tensor.Geometry{g.geometry()}, nil)
			if err == nil {
				err = got[0].Err
			}
			if err != nil {
				t.Fatal(err)
			}
			compareObjects(t, g, got[0])
			compareClasses(t, g, got[0])
		})
	}
}

// compareObjects wants the same objects: those of equal score may come in
// another order.
func compareObjects(t *testing.T, g golden, got decode.Result) {
	t.Helper()
	if len(got.Objects) != len(g.Objects) {
		t.Errorf("%d objects, the reference has %d", len(got.Objects), len(g.Objects))
	}
	used := make([]bool, len(got.Objects))
next:
	for _, w := range g.Objects {
		for i, o := range got.Objects {
			if used[i] || o.ClassID != int(w[5]) || math.Abs(o.Score-w[4]) > 2e-4 {
				continue
			}
			far := 0.0
			for k, v := range o.Box {
				far = max(far, math.Abs(v-w[k]))
			}
			if far < 0.02 {
				used[i] = true
				continue next
			}
		}
		t.Errorf("no object like the reference's %v", w)
	}
}

func compareClasses(t *testing.T, g golden, got decode.Result) {
	t.Helper()
	if len(got.Classes) != len(g.Classes) {
		t.Fatalf("%d classes, the reference has %d", len(got.Classes), len(g.Classes))
	}
	for i, w := range g.Classes {
		if c := got.Classes[i]; c.ClassID != int(w[0]) || math.Abs(c.Score-w[1]) > 1e-6 {
			t.Errorf("class %d is %+v, the reference has %v", i, c, w)
		}
	}
}
