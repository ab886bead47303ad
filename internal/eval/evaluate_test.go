package eval_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/eval"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func truth(class int, x, y, w, h float64) eval.Truth {
	return eval.Truth{Class: class, Box: eval.Rect{X: x, Y: y, W: w, H: h}, Area: w * h}
}

func scored(label string, score, x, y, w, h float64) eval.Scored {
	return eval.Scored{Label: label, Score: score, Box: eval.Rect{X: x, Y: y, W: w, H: h}}
}

// dataset is made of the truth of each picture, which are called p0, p1 …
func dataset(classes []string, pictures ...[]eval.Truth) *eval.Dataset {
	ds := &eval.Dataset{Path: "made", Format: eval.FormatYOLO, Classes: classes, IoU: 0.5}
	for i, t := range pictures {
		ds.Items = append(ds.Items, eval.Item{Name: fmt.Sprintf("p%d", i), Path: "there", Truth: t})
	}
	return ds
}

func okOutcomes(found ...[]eval.Scored) *eval.Detections {
	d := &eval.Detections{}
	for _, f := range found {
		d.Outcomes = append(d.Outcomes, eval.Outcome{Status: vedette.StatusOK, Found: f})
	}
	return d
}

func evaluate(t *testing.T, ds *eval.Dataset, dets *eval.Detections, opts eval.Options) eval.Result {
	t.Helper()
	r, err := eval.EvaluateStored(ds, dets, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// random makes a data set and detections with scores that are all different.
func random(seed uint64) (*eval.Dataset, *eval.Detections) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	classes := []string{"a", "b", "c"}
	var pictures [][]eval.Truth
	var dets [][]eval.Scored
	scores := rnd.Perm(10_000)
	for range 20 {
		var ts []eval.Truth
		var ss []eval.Scored
		for range rnd.IntN(6) {
			tr := truth(rnd.IntN(3), float64(rnd.IntN(500)), float64(rnd.IntN(500)), float64(5+rnd.IntN(200)), float64(5+rnd.IntN(200)))
			tr.Crowd, tr.Ignore = rnd.IntN(10) == 0, rnd.IntN(10) == 0
			ts = append(ts, tr)
			for range rnd.IntN(3) {
				b := tr.Box
				b.X += b.W * (rnd.Float64() - 0.5) / 2
				b.H *= 0.7 + 0.6*rnd.Float64()
				ss = append(ss, eval.Scored{Label: classes[(tr.Class+rnd.IntN(5)/4)%3], Score: float64(scores[0]) / 10_000, Box: b})
				scores = scores[1:]
			}
		}
		pictures, dets = append(pictures, ts), append(dets, ss)
	}
	return dataset(classes, pictures...), okOutcomes(dets...)
}

func TestPerfectDetections(t *testing.T) {
	ds, _ := random(7)
	dets := okOutcomes()
	for _, it := range ds.Items {
		var found []eval.Scored
		for i, tr := range it.Truth {
			if !tr.Crowd && !tr.Ignore {
				found = append(found, eval.Scored{Label: ds.Classes[tr.Class], Score: 0.5 + float64(i)/100, Box: tr.Box})
			}
		}
		dets.Outcomes = append(dets.Outcomes, eval.Outcome{Status: vedette.StatusOK, Found: found})
	}
	for i := range ds.Items { // the COCO scores want what is ignored, too
		ds.Items[i].Truth = slices.DeleteFunc(ds.Items[i].Truth, func(tr eval.Truth) bool { return tr.Ignore && !tr.Crowd })
	}
	r := evaluate(t, ds, dets, eval.Options{})
	c := r.COCO
	for name, v := range map[string]eval.Value{
		"AP": c.AP, "AP50": c.AP50, "AP75": c.AP75, "AR100": c.AR100, "small": c.APSmall, "medium": c.APMedium, "large": c.APLarge,
		"VOC": r.VOC.EveryPoint, "VOC 11": r.VOC.ElevenPoint, "F1": r.BestF1.F1, "precision": r.BestF1.Precision, "recall": r.BestF1.Recall,
	} {
		if v < 1-1e-12 || v > 1 {
			t.Errorf("%s is %v, want 1", name, float64(v))
		}
	}
	if r.BestF1.False != 0 || r.BestF1.Missed != 0 || r.Pictures.Escapes != 0 || r.Pictures.FalseRejects != 0 {
		t.Errorf("best F1 %+v, pictures %+v", r.BestF1, r.Pictures)
	}
}

// Where no scores are equal the order of what is read must not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range uint64(10) {
		ds, dets := random(seed)
		want := evaluate(t, ds, dets, eval.Options{Score: 0.4})
		rnd := rand.New(rand.NewPCG(seed, 2))
		for i := range dets.Outcomes {
			f := dets.Outcomes[i].Found
			rnd.Shuffle(len(f), func(a, b int) { f[a], f[b] = f[b], f[a] })
		}
		rnd.Shuffle(len(ds.Items), func(a, b int) {
			ds.Items[a], ds.Items[b] = ds.Items[b], ds.Items[a]
			dets.Outcomes[a], dets.Outcomes[b] = dets.Outcomes[b], dets.Outcomes[a]
		})
		got := evaluate(t, ds, dets, eval.Options{Score: 0.4})
		for _, r := range []*eval.Result{&want, &got} {
			slices.Sort(r.Pictures.Escaped)
			slices.Sort(r.Pictures.FalseRejected)
		}
		a, b := asJSON(t, want), asJSON(t, got)
		if a != b {
			t.Fatalf("seed %d: %s", seed, cmp.Diff(a, b))
		}
	}
}

func asJSON(t *testing.T, r eval.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What the numbers of one result say about each other.
func TestConsistent(t *testing.T) {
	for seed := range uint64(20) {
		ds, dets := random(seed)
		for _, threshold := range []float64{0, 0.3, 0.9} {
			r := evaluate(t, ds, dets, eval.Options{Score: threshold})
			n := len(ds.Classes)
			diagonal, found, missed := 0, 0, 0
			for i, row := range r.Confusion.Matrix {
				for j, v := range row {
					if i == j {
						diagonal += v
					}
					if j < n {
						found += v
					} else {
						missed += v
					}
				}
			}
			if diagonal != r.Chosen.True || found != r.Chosen.True+r.Chosen.False || missed > r.Chosen.Missed {
				t.Errorf("confusion: %d on the diagonal, %d found, %d missed; chosen %+v", diagonal, found, missed, r.Chosen)
			}
			for _, p := range r.Curve {
				if p.F1 > r.BestF1.F1 {
					t.Errorf("F1 %v at %g beats the best, %v", p.F1, p.Score, r.BestF1.F1)
				}
			}
			hits, wrong := 0, 0
			for _, c := range r.Classes {
				hits, wrong = hits+c.Chosen.True, wrong+c.Chosen.False
				if c.BestF1 != nil && c.BestF1.F1 < c.Chosen.F1 {
					t.Errorf("class %s: best F1 %+v, chosen %+v", c.Name, c.BestF1, c.Chosen)
				}
			}
			if hits != r.Chosen.True || wrong != r.Chosen.False {
				t.Errorf("classes: %d true, %d false; chosen %+v", hits, wrong, r.Chosen)
			}
		}
	}
}

func TestConfusionAndPictures(t *testing.T) {
	ds := dataset([]string{"a", "b"},
		[]eval.Truth{truth(0, 0, 0, 10, 10), truth(1, 50, 50, 10, 10)}, // a found, b found as a
		[]eval.Truth{truth(0, 0, 0, 10, 10)},                           // escapes: only a low score
		nil,                                                            // falsely rejected
		nil,                                                            // rightly passed
		[]eval.Truth{{Class: 0, Box: eval.Rect{W: 99, H: 99}, Area: 99 * 99, Crowd: true}}, // in a crowd: no matter
	)
	dets := okOutcomes(
		[]eval.Scored{scored("a", 0.9, 0, 0, 10, 10), scored("a", 0.8, 50, 50, 10, 10)},
		[]eval.Scored{scored("a", 0.1, 0, 0, 10, 10)},
		[]eval.Scored{scored("b", 0.7, 5, 5, 5, 5)},
		nil,
		[]eval.Scored{scored("a", 0.95, 5, 5, 5, 5), scored("a", 0.95, 15, 5, 5, 5)},
	)
	r := evaluate(t, ds, dets, eval.Options{Score: 0.5})
	if d := cmp.Diff([][]int{{1, 0, 1}, {1, 0, 0}, {0, 1, 0}}, r.Confusion.Matrix); d != "" {
		t.Error(d)
	}
	want := eval.Pictures{WithObjects: 2, Escapes: 1, WithoutObjects: 3, FalseRejects: 1, Escaped: []string{"p1"}, FalseRejected: []string{"p2"}}
	if d := cmp.Diff(want, r.Pictures); d != "" {
		t.Error(d)
	}
	wantPoint := eval.Point{Score: 0.5, True: 1, False: 2, Missed: 2, Precision: 1. / 3, Recall: 1. / 3, F1: 1. / 3}
	if d := cmp.Diff(wantPoint, r.Chosen); d != "" {
		t.Error(d)
	}
	wantBest := eval.Point{Score: 0.1, True: 2, False: 2, Missed: 1, Precision: .5, Recall: 2. / 3, F1: 4. / 7}
	if d := cmp.Diff(wantBest, r.BestF1); d != "" {
		t.Error(d)
	}
}

func TestIoUOptions(t *testing.T) {
	// Boxes of 100 × 100 that share a third: an overlap of exactly 0.5 × ….
	ds := dataset([]string{"a"}, []eval.Truth{truth(0, 0, 0, 100, 100)})
	dets := okOutcomes([]eval.Scored{scored("a", 1, 0, 0, 100, 50)})
	for _, tc := range []struct{ iou, want float64 }{{0.5, 1}, {eval.Above(0.5), 0}, {0, 1}, {0.4, 1}} {
		r := evaluate(t, ds, dets, eval.Options{IoU: tc.iou})
		if float64(r.VOC.EveryPoint) != tc.want || float64(r.VOC.ElevenPoint) != tc.want || float64(r.BestF1.True) != tc.want {
			t.Errorf("IoU %v: %v, %+v, want %v", tc.iou, r.VOC, r.BestF1, tc.want)
		}
	}
	for _, iou := range []float64{-1, 1.5} {
		if _, err := eval.EvaluateStored(ds, dets, eval.Options{IoU: iou}); err == nil {
			t.Errorf("IoU %g is accepted", iou)
		}
	}
}

func TestLabels(t *testing.T) {
	ds := dataset([]string{"traffic light", "Dog", "dog_", "cat"}, []eval.Truth{truth(0, 0, 0, 9, 9), truth(3, 20, 20, 9, 9)})
	r := evaluate(t, ds, okOutcomes([]eval.Scored{scored("Traffic_Light", 1, 0, 0, 9, 9), scored("DOG", 1, 0, 0, 9, 9), scored("kite", 1, 0, 0, 9, 9), scored("kite", 1, 0, 0, 9, 9)}), eval.Options{})
	if r.Found != 1 || r.BestF1.True != 1 {
		t.Errorf("found %d, %+v", r.Found, r.BestF1)
	}
	want := "left out of the scores: detections (3) of labels that the data set does not have: kite (2), DOG (1)"
	if d := cmp.Diff([]string{want}, r.Notes); d != "" {
		t.Error(d)
	}
	_, err := eval.EvaluateStored(ds, okOutcomes([]eval.Scored{scored("kite", 1, 0, 0, 9, 9)}), eval.Options{})
	if err == nil || !strings.Contains(err.Error(), "no detection has a label of the data set: detected are kite (1); the data set has traffic light, Dog, dog_, cat") {
		t.Errorf("got %v", err)
	}
	// Known labels: finding none of them is a result, not an error.
	r = evaluate(t, ds, okOutcomes([]eval.Scored{scored("kite", 1, 0, 0, 9, 9)}), eval.Options{Labels: []string{"kite", "cat"}})
	if len(r.Notes) != 2 || r.Notes[0] != "the model does not know 3 of the 4 classes, which therefore cannot be found: traffic light, Dog, dog_" {
		t.Errorf("notes %q", r.Notes)
	}
	_, err = eval.EvaluateStored(ds, okOutcomes(nil), eval.Options{Labels: []string{"kite"}})
	if err == nil || !strings.Contains(err.Error(), "no label in common") {
		t.Errorf("got %v", err)
	}
}

func TestEvaluate(t *testing.T) {
	var pictures [][]eval.Truth
	for range 40 {
		pictures = append(pictures, []eval.Truth{truth(0, 0, 0, 10, 10)})
	}
	ds := dataset([]string{"a"}, pictures...)
	detect := func(_ context.Context, it eval.Item) ([]eval.Scored, error) {
		switch it.Name {
		case "p3":
			return nil, fmt.Errorf("frame 3: %w", &eval.NotJudged{Status: vedette.StatusUnfit, Reason: "black"})
		case "p4":
			return nil, &eval.NotJudged{Status: vedette.StatusFailed, Reason: "truncated file"}
		case "p5":
			return nil, nil
		}
		return []eval.Scored{scored("a", 0.5, 0, 0, 10, 10)}, nil
	}
	var results []string
	for _, parallel := range []int{0, 1, 8} {
		calls := 0
		r, err := eval.Evaluate(t.Context(), ds, detect, eval.Options{Parallel: parallel, Progress: func(done, total int) {
			calls++
			if done != calls || total != 40 {
				t.Errorf("progress %d of %d in call %d", done, total, calls)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if calls != 40 || r.Judged != 39 || r.BestF1.True != 37 || r.BestF1.Missed != 2 || r.Pictures.Escapes != 1 {
			t.Errorf("%d calls, %d judged, %+v, %+v", calls, r.Judged, r.BestF1, r.Pictures)
		}
		want := eval.NotScored{Total: 1, ByStatus: map[vedette.Status]int{"failed": 1},
			Pictures: []eval.NotScoredPicture{{"p4", "failed", "truncated file"}}}
		if d := cmp.Diff(want, r.NotJudged); d != "" {
			t.Error(d)
		}
		results = append(results, asJSON(t, r))
	}
	if results[0] != results[1] || results[0] != results[2] {
		t.Error("the result depends on how many pictures are detected at a time")
	}
}

func TestEvaluateErrors(t *testing.T) {
	ds := dataset([]string{"a"}, nil, nil, nil)
	broken := errors.New("engine is gone")
	_, err := eval.Evaluate(t.Context(), ds, func(context.Context, eval.Item) ([]eval.Scored, error) { return nil, broken }, eval.Options{})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "detect in p0") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []eval.Scored{scored("a", 1, 0, 0, -1, 1), {Label: "a", Score: float64(eval.Undefined())}} {
		_, err = eval.Evaluate(t.Context(), ds, func(context.Context, eval.Item) ([]eval.Scored, error) { return []eval.Scored{bad}, nil }, eval.Options{})
		if err == nil || !strings.Contains(err.Error(), "want finite numbers") {
			t.Errorf("%+v: got %v", bad, err)
		}
	}
	_, err = eval.Evaluate(t.Context(), ds, func(context.Context, eval.Item) ([]eval.Scored, error) {
		return nil, &eval.NotJudged{Status: vedette.StatusFailed, Reason: "no GPU"}
	}, eval.Options{})
	if err == nil || !strings.Contains(err.Error(), "none of the 3 pictures was judged (p0: failed: no GPU)") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = eval.Evaluate(ctx, ds, func(context.Context, eval.Item) ([]eval.Scored, error) {
		cancel()
		return nil, nil
	}, eval.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	ds.Items[1].Path = ""
	_, err = eval.Evaluate(t.Context(), ds, nil, eval.Options{})
	if err == nil || !strings.Contains(err.Error(), "the picture p1 was not found") {
		t.Errorf("got %v", err)
	}
}

func TestNothingToFind(t *testing.T) {
	r := evaluate(t, dataset([]string{"a"}, nil, nil), okOutcomes(nil, []eval.Scored{scored("a", 0.9, 0, 0, 1, 1)}), eval.Options{})
	if r.COCO.AP.Defined() || r.VOC.EveryPoint.Defined() || r.BestF1.Recall.Defined() {
		t.Errorf("%+v %+v %+v", r.COCO, r.VOC, r.BestF1)
	}
	if r.Pictures.FalseRejects != 1 || r.Pictures.WithoutObjects != 2 {
		t.Errorf("%+v", r.Pictures)
	}
	var back eval.Result
	if err := json.Unmarshal([]byte(asJSON(t, r)), &back); err != nil {
		t.Fatal(err)
	}
	if asJSON(t, back) != asJSON(t, r) || !strings.Contains(asJSON(t, r), `"ap": null`) {
		t.Error("JSON does not survive a round trip")
	}
}

// The table for the terminal, word for word; UPDATE_GOLDEN=1 writes it anew.
func TestText(t *testing.T) {
	ds, dets := random(3)
	ds.Notes = nil
	dets.Outcomes[2] = eval.Outcome{Status: vedette.StatusUnfit, Reason: "black"}
	dets.Outcomes[5] = eval.Outcome{Status: eval.StatusMissing}
	dets.Outcomes[6].Found = append(dets.Outcomes[6].Found, scored("größer", 0.5, 0, 0, 1, 1))
	ds.Classes = append(ds.Classes, "d")
	var b bytes.Buffer
	r := evaluate(t, ds, dets, eval.Options{IoU: eval.Above(0.33), Score: 0.25})
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // too many classes for a matrix
		ds.Classes = append(ds.Classes, fmt.Sprintf("more %d", i))
	}
	r = evaluate(t, ds, dets, eval.Options{})
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.txt"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}
