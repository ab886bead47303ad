package eval_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/eval"
)

// answers gives the same objects of class a in each of four pictures: two with
// an object and two without, of each the second with the status given.
func answers(second vedette.Status) (*eval.Dataset, *eval.Detections) {
	one := []eval.Truth{truth(0, 0, 0, 10, 10)}
	found := []eval.Scored{scored("a", 0.9, 0, 0, 10, 10)}
	d := okOutcomes(found, found, found, found)
	for _, i := range []int{1, 3} {
		// What comes along with another status than ok must not count.
		d.Outcomes[i].Status, d.Outcomes[i].Reason = second, "because"
	}
	return dataset([]string{"a"}, one, one, nil, nil), d
}

// A model must not score better by calling pictures unfit, and yet such a
// picture is no escape and no false reject.
func TestUnfit(t *testing.T) {
	ds, dets := answers(vedette.StatusUnfit)
	r := evaluate(t, ds, dets, eval.Options{Score: 0.5})
	wantUnfit := eval.Unfit{Total: 2, WithObjects: 1, Pictures: []eval.NotScoredPicture{{"p1", "unfit", "because"}, {"p3", "unfit", "because"}}}
	if d := cmp.Diff(wantUnfit, r.Unfit); d != "" {
		t.Error(d)
	}
	if r.Judged != 4 || r.Found != 2 || r.NotJudged.Total != 0 {
		t.Errorf("%d judged, %d found, %d not judged; want 4, 2, 0", r.Judged, r.Found, r.NotJudged.Total)
	}
	wantPoint := eval.Point{Score: 0.5, True: 1, False: 1, Missed: 1, Precision: 0.5, Recall: 0.5, F1: 0.5}
	if d := cmp.Diff(wantPoint, r.Chosen); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([][]int{{1, 1}, {1, 0}}, r.Confusion.Matrix); d != "" {
		t.Error(d)
	}
	wantPictures := eval.Pictures{WithObjects: 2, WithoutObjects: 2, FalseRejects: 1, Escaped: []string{}, FalseRejected: []string{"p2"}}
	if d := cmp.Diff(wantPictures, r.Pictures); d != "" {
		t.Error(d)
	}
	// Average precision is that of a detector which found nothing there.
	for _, i := range []int{1, 3} {
		dets.Outcomes[i] = eval.Outcome{Status: vedette.StatusOK}
	}
	silent := evaluate(t, ds, dets, eval.Options{Score: 0.5})
	if got, want := fmt.Sprintf("%+v %+v", r.COCO, r.VOC), fmt.Sprintf("%+v %+v", silent.COCO, silent.VOC); got != want {
		t.Errorf("unfit: %s\nnothing found: %s", got, want)
	}
	if silent.Pictures.Escapes != 1 || silent.Unfit.Total != 0 {
		t.Errorf("nothing found is no escape: %+v", silent.Pictures)
	}
}

// A picture without an answer is in no score.
func TestNoAnswer(t *testing.T) {
	for _, status := range []vedette.Status{vedette.StatusFailed, vedette.StatusExpired, eval.StatusMissing} {
		ds, dets := answers(status)
		r := evaluate(t, ds, dets, eval.Options{Score: 0.5})
		if r.Judged != 2 || r.NotJudged.Total != 2 || r.NotJudged.ByStatus[status] != 2 || r.Unfit.Total != 0 || r.Chosen.Recall != 1 {
			t.Errorf("%s: %d judged, not judged %+v, unfit %+v, %+v", status, r.Judged, r.NotJudged, r.Unfit, r.Chosen)
		}
	}
}

// Stored unfit answers count as those of a model do.
func TestStoredUnfit(t *testing.T) {
	files := fourPictures(t)
	files["labels/a.txt"], files["labels/b.txt"] = "0 .5 .5 .2 .2", "0 .5 .5 .2 .2"
	files["d.jsonl"] = message(t, "a.png", vedette.StatusOK, vedette.Object{Label: "bolt", Score: 0.9, Box: vedette.Box{4, 4, 6, 6}}) +
		message(t, "b.png", vedette.StatusUnfit) + message(t, "one/c.png", vedette.StatusUnfit) + message(t, "two/c.png", vedette.StatusFailed)
	ds, dir := openTree(t, files)
	dets, err := eval.ReadDetections(filepath.Join(dir, "d.jsonl"), ds)
	if err != nil {
		t.Fatal(err)
	}
	r := evaluate(t, ds, dets, eval.Options{})
	if r.Judged != 3 || r.NotJudged.Total != 1 || r.Unfit.Total != 2 || r.Unfit.WithObjects != 1 || r.BestF1.Recall != 0.5 || r.Pictures.Escapes != 0 {
		t.Errorf("%d judged, %+v, %+v, %+v, %+v", r.Judged, r.NotJudged, r.Unfit, r.BestF1, r.Pictures)
	}
}
