package eval_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/eval"
)

func openTree(t *testing.T, files map[string]string) (*eval.Dataset, string) {
	t.Helper()
	dir := tree(t, files)
	ds, err := eval.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ds, dir
}

// message is a line as "vedette detect --format jsonl" writes it.
func message(t *testing.T, item string, status vedette.Status, objects ...vedette.Object) string {
	t.Helper()
	d := vedette.Detection{Schema: vedette.DetectionSchema, Item: item, Status: status, Width: 10, Height: 10}
	if status == vedette.StatusOK {
		d.Objects = &objects
		if objects == nil {
			d.Objects = &[]vedette.Object{}
		}
	} else {
		d.Reason = "because"
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// fourPictures is a YOLO folder; two pictures share a file name.
func fourPictures(t *testing.T) map[string]string {
	pic := picture(t, 10, 10)
	return map[string]string{
		"names.yaml": "names: [bolt, traffic light]", "labels/.keep": "",
		"images/a.png": pic, "images/b.png": pic, "images/one/c.png": pic, "images/two/c.png": pic,
	}
}

func TestReadJSONL(t *testing.T) {
	files := fourPictures(t)
	bolt := vedette.Object{Label: "bolt", Score: 0.5, Box: vedette.Box{1, 2, 4, 6}}
	files["d.jsonl"] = message(t, "/somewhere/a.png", vedette.StatusOK, bolt) + "\n" +
		message(t, "two/c.png", vedette.StatusUnfit) +
		message(t, "x/images/one/c.png", vedette.StatusOK) +
		message(t, "stranger.png", vedette.StatusOK)
	ds, dir := openTree(t, files)
	dets, err := eval.ReadDetections(filepath.Join(dir, "d.jsonl"), ds)
	if err != nil {
		t.Fatal(err)
	}
	want := []eval.Outcome{
		{Status: vedette.StatusOK, Found: []eval.Scored{{Label: "bolt", Score: 0.5, Box: eval.Rect{X: 1, Y: 2, W: 3, H: 4}}}},
		{Status: eval.StatusMissing},
		{Status: vedette.StatusOK, Found: []eval.Scored{}},
		{Status: vedette.StatusUnfit, Reason: "because"},
	}
	if d := cmp.Diff(want, dets.Outcomes); d != "" {
		t.Error(d)
	}
	if len(dets.Notes) != 1 || !strings.Contains(dets.Notes[0], "left out: pictures (1) that are not in the data set (stranger.png") {
		t.Errorf("notes: %q", dets.Notes)
	}
}

func TestReadDetectionsErrors(t *testing.T) {
	ok := func(item string) string { return message(t, item, vedette.StatusOK) }
	cocoSet := map[string]string{"x.json": `{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":3,"name":"bolt"}],"annotations":[]}`}
	vocSet := map[string]string{"gts/1.txt": "bolt 1 2 3 4"}
	for _, tc := range []struct {
		name, content string
		set           map[string]string
		want          string
	}{
		{"empty", " \n", nil, "the file is empty"},
		{"not json", "hello", nil, ":1: not a detection message"},
		{"cut", ok("a.png") + ok("b.png")[:50], nil, ":2: not a detection message"},
		{"other schema", `{"schema":"vedette.event.v1"}`, nil, `:1: schema "vedette.event.v1": want lines of vedette.detection.v1`},
		{"a video", ok(""), nil, ":1: it has no item: detections of a video"},
		{"twice", ok("a.png") + "\n" + ok("./a.png"), nil, `:3: item "./a.png" is already on line 1`},
		{"which", ok("c.png"), nil, `:1: item "c.png" could be any of several pictures`},
		{"others", ok("q.png") + ok("r.png"), nil, "none of its 2 pictures (r.png, …) is in the data set (a.png, …)"},
		{"size", strings.Replace(ok("a.png"), `"width":10`, `"width":20`, 1), nil, "picture of 20×10, and the data set's has 10×10"},
		{"classifier", strings.Replace(ok("a.png"), `"objects":[]`, `"classes":[]`, 1), nil, "only detectors can be scored"},
		{"box", message(t, "a.png", vedette.StatusOK, vedette.Object{Box: vedette.Box{5, 5, 1, 1}}), nil, "must not lie before"},
		{"coco for yolo", "[]", nil, "score lines of detections (--format jsonl) instead"},
		{"coco image", `[{"image_id":2,"category_id":3,"bbox":[1,2,3,4],"score":1}]`, cocoSet, "detection 0: the data set has no image with the id 2"},
		{"coco score", `[{"image_id":1,"category_id":3,"bbox":[1,2,3,4]}]`, cocoSet, "detection 0: it has no score"},
		{"coco box", `[{"image_id":1,"category_id":3,"bbox":[1,2,3],"score":1}]`, cocoSet, "detection 0: bbox has 3 numbers"},
		{"coco syntax", "[\n{]", cocoSet, ":2: invalid character"},
		{"jsonl for voc", ok("7"), vocSet, "none of its 1 pictures"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := tc.set
			if set == nil {
				set = fourPictures(t)
			}
			ds, _ := openTree(t, set)
			file := filepath.Join(tree(t, map[string]string{"d": tc.content}), "d")
			_, err := eval.ReadDetections(file, ds)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant …%s…", err, tc.want)
			}
		})
	}
}

func TestReadVOCDetections(t *testing.T) {
	ds, dir := openTree(t, map[string]string{
		"gts/1.txt": "red bolt 1 2 3 4", "gts/2.txt": "", "gts/3.txt": "",
		"dets/1.txt": "red bolt .5 1 2 3 4\n", "dets/2.txt": "",
		"bad/1.txt": "bolt 1 2 3 4", "extra/9.txt": "", "none/.keep": "",
	})
	dets, err := eval.ReadDetections(filepath.Join(dir, "dets"), ds)
	if err != nil {
		t.Fatal(err)
	}
	want := []eval.Outcome{
		{Status: vedette.StatusOK, Found: []eval.Scored{{Label: "red bolt", Score: 0.5, Box: eval.Rect{X: 1, Y: 2, W: 3, H: 4}}}},
		{Status: vedette.StatusOK},
		{Status: eval.StatusMissing},
	}
	if d := cmp.Diff(want, dets.Outcomes); d != "" {
		t.Error(d)
	}
	for folder, want := range map[string]string{
		"bad": `1.txt:1: "bolt" is not a number; want label score x y w h`, "extra": "no picture called 9", "none": "no .json, .jsonl or .txt file is in it",
	} {
		if _, err := eval.ReadDetections(filepath.Join(dir, folder), ds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want …%s…", folder, err, want)
		}
	}
}

// A detector's own category ids are translated by its own names.
func TestCOCODetectionsWithCategories(t *testing.T) {
	ds, dir := openTree(t, map[string]string{
		"set/x.json": "", "x.json": `{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":3,"name":"bolt"},{"id":5,"name":"nut"}],"annotations":[]}`,
		"d/own.json": `{"categories":[{"id":3,"name":"nut"}],"annotations":[{"image_id":1,"category_id":3,"bbox":[1,2,3,4],"score":1},{"image_id":1,"category_id":77,"bbox":[1,2,3,4],"score":1}]}`,
	})
	for _, path := range []string{"d/own.json", "d"} { // the file, or its folder
		dets, err := eval.ReadDetections(filepath.Join(dir, path), ds)
		if err != nil {
			t.Fatal(err)
		}
		var labels []string
		for _, s := range dets.Outcomes[0].Found {
			labels = append(labels, s.Label)
		}
		if d := cmp.Diff([]string{"nut", "category 77"}, labels); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	_, dir = openTree(t, map[string]string{"x.json": `{"images":[{"id":1,"file_name":"a.png"}],"categories":[],"annotations":[]}`, "d/a.json": "[]", "d/b.jsonl": ""})
	if _, err := eval.ReadDetections(filepath.Join(dir, "d"), ds); err == nil || !strings.Contains(err.Error(), "d: 2 files may be the detections, name the one: a.json") {
		t.Errorf("of two files: %v", err)
	}
}

func TestObjects(t *testing.T) {
	var unjudged *eval.NotJudged
	_, err := eval.Objects(&vedette.Detection{Status: vedette.StatusFailed, Reason: "decode"})
	if !errors.As(err, &unjudged) || unjudged.Error() != "failed: decode" {
		t.Errorf("failed: %v", err)
	}
	_, err = eval.Objects(&vedette.Detection{Status: vedette.StatusOK})
	if err == nil || errors.As(err, &unjudged) {
		t.Errorf("no objects: %v", err)
	}
}

// A picture of a name that a shell could expand is found all the same.
func TestOddFolderName(t *testing.T) {
	dir := tree(t, map[string]string{"odd [1]*/x.json": `{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":3,"name":"bolt"}],"annotations":[]}`})
	if _, err := eval.Open(filepath.Join(dir, "odd [1]*")); err != nil {
		t.Error(err)
	}
}

func ExampleNotJudged() {
	fmt.Println(&eval.NotJudged{Status: vedette.StatusUnfit, Reason: "black"})
	// Output: unfit: black
}
