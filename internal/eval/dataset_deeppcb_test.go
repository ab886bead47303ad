package eval_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/eval"
	"github.com/vedette-io/vedette/internal/testkit"
)

// threeBoards is a DeepPCB list of three boards in two groups, their pictures
// 8 × 6, without templates.
func threeBoards(t *testing.T) map[string]string {
	pic := picture(t, 8, 6)
	return map[string]string{
		"trainval.txt":        "groupA/1/1.png groupA/1_not/1.txt\ngroupB/2/2.png groupB/2_not/2.txt\ngroupA/3/3.png groupA/3_not/3.txt\n",
		"test.txt":            "groupB/2/2.png groupB/2_not/2.txt\n",
		"groupA/1/1_test.png": pic, "groupB/2/2_test.png": pic, "groupA/3/3_test.png": pic,
		"groupA/1_not/1.txt": "1 1 3 3 2\n", "groupB/2_not/2.txt": "0 0 2 2 6\n", "groupA/3_not/3.txt": "4 1 6 5 1\n",
	}
}

func itemNames(ds *eval.Dataset) (names []string) {
	for _, it := range ds.Items {
		names = append(names, it.Name)
	}
	return names
}

func TestDeepPCBGroups(t *testing.T) {
	const one, two, three = "groupA/1/1_test.png", "groupB/2/2_test.png", "groupA/3/3_test.png"
	for _, tc := range []struct {
		open string
		want []string
	}{
		{"", []string{one, two, three}},
		{"@groupA", []string{one, three}},
		{"@groupB,groupA", []string{one, two, three}},
		{"/trainval.txt@groupB", []string{two}},
		{"/test.txt@groupB", []string{two}},
	} {
		t.Run(tc.open, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "boards@home") // an @ of its own
			writeTree(t, dir, threeBoards(t))
			ds, err := eval.Open(dir + tc.open)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, itemNames(ds)); d != "" {
				t.Error(d)
			}
			if ds.Path != dir+tc.open {
				t.Errorf("the data set calls itself %s", ds.Path)
			}
		})
	}
}

// Labels of groups that were not asked for need not be there.
func TestDeepPCBGroupAlone(t *testing.T) {
	files := threeBoards(t)
	delete(files, "groupA/1_not/1.txt")
	dir := tree(t, files)
	if _, err := eval.Open(dir); err == nil {
		t.Fatal("a missing label file is accepted")
	}
	if _, err := eval.Open(dir + "@groupB"); err != nil {
		t.Error(err)
	}
}

func TestDeepPCBGroupErrors(t *testing.T) {
	files := threeBoards(t)
	flat := map[string]string{"trainval.txt": "1.png 1.txt", "1.txt": "", "1_test.png": picture(t, 8, 6)}
	voc := map[string]string{"gts/1.txt": "a 1 2 3 4"}
	for _, tc := range []struct {
		name, open string
		files      map[string]string
		want       string
	}{
		{"unknown", "@groupA,groupC", files, `trainval.txt: no board is of the group "groupC"; the groups there are: groupA, groupB`},
		{"in no folder", "@1_test.png", flat, `no board is of the group "1_test.png"; the groups there are: none`},
		{"none", "@", files, "want names of groups after the @, with commas between them"},
		{"comma", "@groupA,", files, "want names of groups after the @"},
		{"other format", "@groupA", voc, "only a DeepPCB list has groups to choose with @, and this is a data set of the format voc-txt"},
		{"no such folder", "x@groupA", files, "x@groupA: no such file"},
		{"no such folder of an @", "@home/boards", files, "@home/boards: no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := eval.Open(tree(t, tc.files) + tc.open)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant …%s…", err, tc.want)
			}
		})
	}
}

func TestDeepPCBTemplates(t *testing.T) {
	files := threeBoards(t)
	files["groupA/1/1_temp.png"], files["groupA/3/3_temp.png"] = picture(t, 7, 5), picture(t, 8, 6)
	dir := tree(t, files)
	boards, err := eval.Open(dir + "@groupA")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := boards.WithTemplates()
	if err != nil {
		t.Fatal(err)
	}
	template := func(name string, width, height int) eval.Item {
		return eval.Item{Name: name, Path: filepath.Join(dir, filepath.FromSlash(name)), Width: width, Height: height}
	}
	want := []eval.Item{boards.Items[0], template("groupA/1/1_temp.png", 7, 5), boards.Items[1], template("groupA/3/3_temp.png", 8, 6)}
	if d := cmp.Diff(want, ds.Items); d != "" {
		t.Error(d)
	}
	if len(boards.Items) != 2 || len(boards.Notes) != 0 {
		t.Errorf("the data set without templates has changed: %d pictures, notes %q", len(boards.Items), boards.Notes)
	}
	if d := cmp.Diff([]string{"the templates of the boards are in it, as pictures without objects: 2 of 4 pictures"}, ds.Notes); d != "" {
		t.Error(d)
	}

	boards, err = eval.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = boards.WithTemplates()
	if want := "the template of the board groupB/2/2_test.png is missing: " + filepath.Join(dir, "groupB/2/2_temp.png"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a missing template: got %v, want …%s", err, want)
	}
	voc, _ := openTree(t, map[string]string{"gts/1.txt": ""})
	if _, err := voc.WithTemplates(); err == nil || !strings.Contains(err.Error(), "only boards of a DeepPCB list have templates, and this is a data set of the format voc-txt") {
		t.Errorf("another format: got %v", err)
	}
}

// The groups that pcb-defects was not trained on, as models/pcb-defects/README.md
// counts them.
func TestDeepPCBShared(t *testing.T) {
	boards, err := eval.Open(testkit.Data(t, "defects/deeppcb") + "@group50600,group77000")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := boards.WithTemplates()
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	for _, it := range ds.Items {
		objects += len(it.Truth)
	}
	if len(ds.Items) != 300 || objects != 807 {
		t.Errorf("%d pictures and %d objects, want 300 and 807", len(ds.Items), objects)
	}
	if err := ds.HasPictures(); err != nil {
		t.Error(err)
	}
}
