package decode_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// sceneManifest is a detector that also says what its cells show.
func sceneManifest() models.Manifest {
	m := manifest("yolov5", "a", "b")
	m.Output.Scene = &models.Scene{Output: "scene", Classes: []string{"nothing", "board", "inverted"}, Fit: "board", MinShare: 0.25}
	return m
}

// cells are so many cells for which a class wins.
func cells(n ...int) (v []float32) {
	for class, k := range n {
		for range k {
			row := []float32{-1, -1, -1}
			row[class] = 0.5
			v = append(v, row...)
		}
	}
	return v
}

func TestScene(t *testing.T) {
	object := []float32{20, 20, 20, 20, 1, .8, .1}
	for name, tc := range map[string]struct {
		scene []float32
		want  string
	}{
		"a board":                   {cells(0, 8, 0), ""},
		"a board on much belt":      {cells(6, 2, 0), ""},
		"too little of a board":     {cells(7, 1, 0), "nothing"},
		"an empty belt":             {cells(8, 0, 0), "nothing"},
		"an inverted board":         {cells(1, 1, 6), "inverted"},
		"more inverted than board":  {cells(2, 2, 4), "inverted"},
		"less inverted than belt":   {cells(5, 0, 3), "nothing"},
		"as much board as inverted": {cells(2, 3, 3), ""},
	} {
		t.Run(name, func(t *testing.T) {
			infos := []decode.Info{{Name: "scene", Shape: []int{1, 8, 3}}, {Name: "out", Shape: []int{1, 1, 7}}}
			d := mustNew(t, sceneManifest(), infos...)
			outs := []decode.Tensor{{Name: "scene", Shape: []int{1, 8, 3}, F32: tc.scene}, {Name: "out", Shape: []int{1, 1, 7}, F32: object}}
			for range 2 { // results are used again
				got, err := d.Decode(outs, []tensor.Geometry{same}, []decode.Result{{Unfit: "before"}})
				if err != nil || got[0].Err != nil {
					t.Fatal(err, got)
				}
				if got[0].Unfit != tc.want || len(got[0].Objects) != 1 {
					t.Errorf("%q with %d objects, want %q with 1", got[0].Unfit, len(got[0].Objects), tc.want)
				}
			}
		})
	}
}

// A batch has a verdict for each picture; one output may also stand for a
// whole picture.
func TestSceneBatch(t *testing.T) {
	infos := []decode.Info{{Name: "out", Shape: []int{-1, 1, 7}}, {Name: "scene", Shape: []int{-1, 3}}}
	d := mustNew(t, sceneManifest(), infos...)
	nan := float32(math.NaN())
	got, err := d.Decode([]decode.Tensor{
		{Name: "out", Shape: []int{4, 1, 7}, F32: make([]float32, 4*7)},
		{Name: "scene", Shape: []int{4, 3}, F32: []float32{0, 1, 0, 0, 0, 1, 0, nan, 0, 9, 9, 9}},
	}, []tensor.Geometry{same, same, same}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Unfit != "" || got[0].Err != nil || got[1].Unfit != "inverted" || !errors.Is(got[2].Err, decode.ErrNotFinite) {
		t.Errorf("%+v", got)
	}
}

func TestSceneThatDoesNotFit(t *testing.T) {
	out := decode.Info{Name: "out", Shape: []int{1, 1, 7}}
	for name, tc := range map[string]struct {
		change func(*models.Scene)
		outs   []decode.Info
		want   string
	}{
		"no such output": {func(s *models.Scene) { s.Output = "scenery" }, []decode.Info{out}, `output.scene.output is "scenery"; outputs found: "out" [1 1 7]`},
		"other classes":  {func(*models.Scene) {}, []decode.Info{out, {Name: "scene", Shape: []int{1, 8, 4}}}, `"scene" should be [B cells 3] or [B 3], is [1 8 4]`},
		"a map":          {func(*models.Scene) {}, []decode.Info{out, {Name: "scene", Shape: []int{1, 3, 8, 8}}}, `should be`},
		"fit unknown":    {func(s *models.Scene) { s.Fit = "good" }, []decode.Info{out, {Name: "scene", Shape: []int{1, 8, 3}}}, `fit is one of them`},
		"the rest":       {func(*models.Scene) {}, []decode.Info{{Name: "scene", Shape: []int{1, 8, 3}}}, `the model has 0 outputs`},
	} {
		t.Run(name, func(t *testing.T) {
			m := sceneManifest()
			tc.change(m.Output.Scene)
			if _, err := decode.New(m, tc.outs); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}
