//go:build cv

package pipeline_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// How far results may be from the reference's.
const (
	nearBox   = 2.0 // pixels of the picture
	nearScore = 0.02
)

// parity is a golden file of bench/reference/parity.py.
type parity struct {
	File     string  `json:"file"`
	SHA256   string  `json:"model_sha256"`
	MinScore float64 `json:"min_score"`
	Pictures []struct {
		Item    string           `json:"item"`
		Width   int              `json:"width"`
		Height  int              `json:"height"`
		Objects []vedette.Object `json:"objects"`
		Classes []vedette.Class  `json:"classes"`
	} `json:"pictures"`
}

// TestParity shows the pictures of the reference to the whole pipeline, as a
// folder, and compares what is published.
func TestParity(t *testing.T) {
	for _, name := range []string{"yolox-nano", "nanodet-m", "ultraface-rfb-320", "squeezenet"} {
		t.Run(name, func(t *testing.T) {
			reference := filepath.Join("..", "bench", "reference")
			b, err := os.ReadFile(filepath.Join(reference, "golden", "parity_"+name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want parity
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			link(t, testkit.Data(t, want.File), filepath.Join(dir, filepath.Base(want.File)))
			manifest, err := filepath.Abs(filepath.Join(reference, "manifests", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			link(t, manifest, filepath.Join(dir, name+".yaml"))
			pictures := filepath.Join(dir, "pictures")
			if err := os.Mkdir(pictures, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, p := range want.Pictures {
				link(t, picture(t, p.Item), filepath.Join(pictures, p.Item))
			}
			m := load(t, filepath.Join(dir, name+".yaml"))
			if m.Loaded.Report.SHA256 != want.SHA256 {
				t.Fatalf("model has SHA-256 %s, the reference used %s", m.Loaded.Report.SHA256, want.SHA256)
			}
			r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "pictures", pictures, preprocess.Every, m)}})
			if err := r.wait(); err != nil {
				t.Fatal(err)
			}
			r.end()
			want.compare(t, r.of("pictures"))
		})
	}
}

func (p *parity) compare(t *testing.T, out []*vedette.Detection) {
	t.Helper()
	got := map[string]*vedette.Detection{}
	for _, d := range out {
		got[d.Item] = d
	}
	objects, worstBox, worstScore := 0, 0.0, 0.0
	for _, pic := range p.Pictures {
		d := got[pic.Item]
		if d == nil || d.Status != vedette.StatusOK || d.Width != pic.Width || d.Height != pic.Height {
			t.Errorf("%s: published %+v, want ok and %d×%d", pic.Item, d, pic.Width, pic.Height)
			continue
		}
		if pic.Classes != nil {
			for i, c := range pic.Classes {
				have := (*d.Classes)[i]
				objects++
				worstScore = max(worstScore, math.Abs(have.Score-c.Score))
				if have.ClassID != c.ClassID || math.Abs(have.Score-c.Score) > nearScore {
					t.Errorf("%s: class %d is %+v, want %+v", pic.Item, i, have, c)
				}
			}
			continue
		}
		left := append([]vedette.Object(nil), *d.Objects...)
		for _, o := range pic.Objects {
			i, box, score := nearest(left, o)
			if i < 0 {
				if o.Score > p.MinScore+nearScore {
					t.Errorf("%s: nothing like %+v among %+v", pic.Item, o, left)
				}
				continue
			}
			objects, worstBox, worstScore = objects+1, max(worstBox, box), max(worstScore, score)
			left = append(left[:i], left[i+1:]...)
		}
		for _, o := range left {
			if o.Score > p.MinScore+nearScore {
				t.Errorf("%s: %+v is not in the reference", pic.Item, o)
			}
		}
	}
	if objects == 0 || len(out) != len(p.Pictures) {
		t.Errorf("%d results with %d objects of %d pictures", len(out), objects, len(p.Pictures))
	}
	t.Logf("%d pictures, %d objects or classes: boxes within %.3f px, scores within %.5f", len(out), objects, worstBox, worstScore)
}

// nearest finds the object of the same class that is like want.
func nearest(all []vedette.Object, want vedette.Object) (index int, box, score float64) {
	index, box = -1, math.Inf(1)
	for i, o := range all {
		if o.ClassID != want.ClassID || math.Abs(o.Score-want.Score) > nearScore {
			continue
		}
		far := 0.0
		for k := range o.Box {
			far = max(far, math.Abs(o.Box[k]-want.Box[k]))
		}
		if far <= nearBox && far < box {
			index, box, score = i, far, math.Abs(o.Score-want.Score)
		}
	}
	return index, box, score
}

// picture finds a picture of the reference by its name.
func picture(t *testing.T, item string) string {
	t.Helper()
	images := testkit.Data(t, "images")
	found := ""
	err := filepath.WalkDir(images, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Name() == item {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("picture %s is not below %s: %v", item, images, err)
	}
	return found
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}
