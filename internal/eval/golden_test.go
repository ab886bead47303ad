package eval_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette/internal/eval"
	"github.com/vedette-io/vedette/internal/testkit"
)

// stored opens a data set and detections and scores them.
func stored(t *testing.T, data, detections string, opts eval.Options) eval.Result {
	t.Helper()
	ds, err := eval.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	dets, err := eval.ReadDetections(detections, ds)
	if err != nil {
		t.Fatal(err)
	}
	r, err := eval.EvaluateStored(ds, dets, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantValues compares the JSON fields of got with want.
func wantValues(t *testing.T, name string, got any, want map[string]*float64, tolerance float64) {
	t.Helper()
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for key, w := range want {
		var g *float64
		if err := json.Unmarshal(fields[key], &g); err != nil {
			t.Fatalf("%s %s: %v", name, key, err)
		}
		switch {
		case (g == nil) != (w == nil):
			t.Errorf("%s %s: got %s, want %v", name, key, fields[key], w)
		case g != nil && math.Abs(*g-*w) > tolerance:
			t.Errorf("%s %s: got %.9f, want %.9f", name, key, *g, *w)
		}
	}
}

// The scores that the COCO API itself gave for 100 pictures, as published with
// the data (https://github.com/rafaelpadilla/review_object_detection_metrics).
func TestCOCOGolden(t *testing.T) {
	dir := testkit.Data(t, "golden/coco_eval")
	want := map[string]*float64{}
	for key, v := range map[string]float64{
		"ap": 0.503647, "ap50": 0.696973, "ap75": 0.571667,
		"ap_small": 0.593252, "ap_medium": 0.557991, "ap_large": 0.489363,
		"ar_1": 0.386813, "ar_10": 0.593680, "ar_100": 0.595353,
		"ar_small": 0.654764, "ar_medium": 0.603130, "ar_large": 0.553744,
	} {
		want[key] = &v
	}
	for _, detections := range []string{"dets/sampled_bbox_results.json", "cocoapi_results.json"} {
		t.Run(detections, func(t *testing.T) {
			r := stored(t, filepath.Join(dir, "gts", "sampled_gts_bbox_area.json"), filepath.Join(dir, detections), eval.Options{})
			wantValues(t, "COCO", r.COCO, want, 1e-6)
		})
	}
}

// A made-up data set with everything that is awkward, and what pycocotools
// says of it; testdata/coco_made/make.py makes it.
func TestCOCOMade(t *testing.T) {
	dir := "testdata/coco_made"
	r := stored(t, filepath.Join(dir, "gt.json"), filepath.Join(dir, "dets.json"), eval.Options{})
	data, err := os.ReadFile(filepath.Join(dir, "want.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		COCO    map[string]*float64            `json:"coco"`
		Classes map[string]map[string]*float64 `json:"classes"`
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	wantValues(t, "COCO", r.COCO, want.COCO, 1e-12)
	if len(r.Classes) != len(want.Classes) {
		t.Errorf("got %d classes, want %d", len(r.Classes), len(want.Classes))
	}
	for _, c := range r.Classes {
		wantValues(t, c.Name, c, want.Classes[c.Name], 1e-12)
	}
}

func TestVOCGolden(t *testing.T) {
	dir := testkit.Data(t, "golden/voc_ap_case1")
	// Eleven points: 26.84 % at 0.3 is what the authors of the sample give.
	for _, tc := range []struct{ iou, every, eleven float64 }{
		{0.1, 0.3371980676, math.NaN()},
		{0.3, 0.2456866804, 0.2684},
		{0.5, 0.0222222222, math.NaN()},
		{0.75, 0, 0},
	} {
		r := stored(t, dir, filepath.Join(dir, "dets"), eval.Options{IoU: tc.iou})
		if got := float64(r.VOC.EveryPoint); math.Abs(got-tc.every) > 1e-6 {
			t.Errorf("IoU %g: every point %.10f, want %.10f", tc.iou, got, tc.every)
		}
		if got := float64(r.VOC.ElevenPoint); !math.IsNaN(tc.eleven) && math.Abs(got-tc.eleven) > 5e-5 {
			t.Errorf("IoU %g: eleven points %.6f, want %.4f", tc.iou, got, tc.eleven)
		}
	}
}
