package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/testkit"
)

// reference is bench/reference/golden/coco64_ap.json: what the COCO API says of
// the detections of straight-line Python.
type reference struct {
	SHA256  string `json:"model_sha256"`
	Objects int
	Results []struct {
		MinScore   float64 `json:"min_score"`
		IoU        float64
		Detections int
		Scores     map[string]float64
	}
}

func readReference(t *testing.T) (r reference) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "bench", "reference", "golden", "coco64_ap.json"))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || len(r.Results) < 3 {
		t.Fatalf("%d results, %v", len(r.Results), err)
	}
	return r
}

// apOf names the scores of eval as the COCO API does.
func apOf(t *testing.T, o outcome, data int) map[string]float64 {
	t.Helper()
	var s struct {
		Data  struct{ Objects int }
		Found int
		COCO  map[string]float64
	}
	if err := json.Unmarshal([]byte(o.stdout), &s); err != nil || o.code != 0 {
		t.Fatalf("%v; exit code %d; %s", err, o.code, o.stderr)
	}
	if s.Data.Objects != data {
		t.Errorf("%d objects in the data set, the reference has %d", s.Data.Objects, data)
	}
	scores := map[string]float64{"found": float64(s.Found)}
	for name, v := range s.COCO {
		if rest, ok := strings.CutPrefix(name, "ap"); ok {
			scores["AP"+rest] = v
		} else if rest, ok := strings.CutPrefix(name, "ar_"); ok {
			if _, err := strconv.Atoi(rest); err != nil {
				rest = "_" + rest
			}
			scores["AR"+rest] = v
		}
	}
	return scores
}

// yoloxManifest writes the reference's manifest with another overlap, beside a
// link to the model.
func yoloxManifest(t *testing.T, iou float64) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "bench", "reference", "manifests", "yolox-nano.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "iou: 0.45", fmt.Sprintf("iou: %v", iou), 1)
	path := file(t, "yolox-nano.yaml", []byte(text))
	if err := os.Symlink(testkit.Data(t, "models/yolox_nano_416.onnx"), filepath.Join(filepath.Dir(path), "yolox_nano_416.onnx")); err != nil {
		t.Fatal(err)
	}
	return path
}

// nearReference is how far the scores of "vedette eval --model" may be from the
// reference's. YOLOX's own code divides boxes by the scale it asked for, ours by
// the scale that the whole pixels of the resized picture have; that alone makes
// 0.003 of AP and up to 0.008 of the scores of few objects. TestEvalAsReference
// leaves that out.
const nearReference = 0.01

// openCVScore is what the program with OpenCV gives; without it, pictures are
// decoded in Go, whose colours differ by 3 of 255 at most.
const (
	openCVScore = 0.349205
	nearOpenCV  = 0.002
)

// TestEvalReference scores the model with either build.
func TestEvalReference(t *testing.T) {
	t.Parallel()
	data := testkit.Data(t, "images/coco64")
	library(t)
	want := readReference(t)
	for _, r := range want.Results {
		if r.MinScore != 0.01 { // that of eval
			continue
		}
		scores := apOf(t, run(t, "eval", "--data", data, "--model", yoloxManifest(t, r.IoU), "--format", "json"), want.Objects)
		for name, v := range r.Scores {
			if got, ok := scores[name]; !ok || math.Abs(got-v) > nearReference {
				t.Errorf("iou %v: %s is %.6f, the reference has %.6f", r.IoU, name, got, v)
			}
		}
		if got := scores["AP"]; r.IoU == 0.45 && math.Abs(got-openCVScore) > nearOpenCV {
			t.Errorf("AP is %.6f, with OpenCV it is %.6f", got, openCVScore)
		}
	}
}

// TestEvalAsReference sends the pictures through the whole pipeline, maps the
// boxes as the reference does, and scores them: nothing but rounding is left.
func TestEvalAsReference(t *testing.T) {
	t.Parallel()
	const near = 0.0005
	data := testkit.Data(t, "images/coco64")
	library(t)
	want := readReference(t)
	if buildTags == "" {
		want.Results = want.Results[:1] // one is enough to see that Go's decoding of pictures is near
	}
	for _, r := range want.Results {
		stored := run(t, "detect", filepath.Join(data, "images"), "--model", yoloxManifest(t, r.IoU),
			"--min-score", fmt.Sprint(r.MinScore), "--format", "jsonl")
		if stored.code != 0 {
			t.Fatalf("exit code %d; %s", stored.code, stored.stderr)
		}
		mapped := file(t, "stored.jsonl", mapAsReference(t, stored.stdout, want.SHA256))
		scores := apOf(t, run(t, "eval", "--data", data, "--detections", mapped, "--format", "json"), want.Objects)
		allowed := near
		if buildTags == "" {
			allowed = nearReference
		} else if int(scores["found"]) != r.Detections {
			t.Errorf("iou %v, score %v: %v detections, the reference has %d", r.IoU, r.MinScore, scores["found"], r.Detections)
		}
		for _, name := range []string{"AP", "AP50", "AP75", "AR1", "AR10", "AR100"} {
			if got, ok := scores[name]; !ok || math.Abs(got-r.Scores[name]) > allowed {
				t.Errorf("iou %v, score %v: %s is %.6f, the reference has %.6f", r.IoU, r.MinScore, name, got, r.Scores[name])
			}
		}
	}
}

// mapAsReference undoes the scale that the whole pixels of the resized picture
// have and divides by the one that was asked for.
func mapAsReference(t *testing.T, jsonl, sha256 string) []byte {
	t.Helper()
	const side = 416.0
	var out []byte
	lines := bufio.NewScanner(strings.NewReader(jsonl))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d vedette.Detection
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if d.Model.SHA256 != sha256 || d.Objects == nil {
			t.Fatalf("the model is %s and found %v, the reference's is %s", d.Model.SHA256, d.Objects, sha256)
		}
		w, h := float64(d.Width), float64(d.Height)
		r := min(side/w, side/h)
		for i := range *d.Objects {
			o := &(*d.Objects)[i]
			for k, length := range []float64{w, h, w, h} {
				o.Box[k] = min(o.Box[k]*math.Floor(length*r)/length/r, length)
			}
		}
		b, err := json.Marshal(&d)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, b...), '\n')
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
