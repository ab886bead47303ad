package eval_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/eval"
	"github.com/vedette-io/vedette/internal/testkit"
)

// tree writes files below a new folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	writeTree(t, dir, files)
	return dir
}

// writeTree writes files below dir.
func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// picture is a PNG file of the given size.
func picture(t testing.TB, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// turned is a JPEG file with an EXIF orientation.
func turned(t testing.TB, width, height, orientation int, order binary.AppendByteOrder) string {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	mark := "II*\x00"
	if order.String() == "BigEndian" {
		mark = "MM\x00*"
	}
	tiff := order.AppendUint32([]byte(mark), 8)
	tiff = order.AppendUint16(tiff, 2) // entries
	for _, e := range [][2]uint16{{0x010f, 1}, {0x0112, uint16(orientation)}} {
		tiff = order.AppendUint16(tiff, e[0])
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, e[1])
		tiff = order.AppendUint16(tiff, 0)
	}
	exif := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xff, 0xe1}, uint16(len(exif)+2))
	return string(segment) + string(exif) + b.String()[2:]
}

func TestOpenYOLO(t *testing.T) {
	dir := tree(t, map[string]string{
		"names.yaml":         "path: .\nnames:\n  0: bolt\n  1: nut\n",
		"images/b.png":       picture(t, 200, 100),
		"images/a.jpg":       turned(t, 30, 20, 6, binary.LittleEndian),
		"images/sub/c.jpg":   turned(t, 30, 20, 8, binary.BigEndian),
		"images/d.jpg":       turned(t, 30, 20, 3, binary.BigEndian),
		"images/notes.md":    "not a picture",
		"labels/b.txt":       "1 0.5 0.5 0.25 0.5\r\n\n0 0 0 0 0\n",
		"labels/sub/c.txt":   "0 0.5 0.5 1 1\n",
		"labels/classes.txt": "bolt\nnut\n",
	})
	ds, err := eval.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	type size struct {
		Name          string
		Width, Height int
		Truth         []eval.Truth
	}
	var got []size
	for _, it := range ds.Items {
		got = append(got, size{it.Name, it.Width, it.Height, it.Truth})
	}
	want := []size{
		{"a.jpg", 20, 30, nil},
		{"b.png", 200, 100, []eval.Truth{{Class: 1, Box: eval.Rect{X: 75, Y: 25, W: 50, H: 50}, Area: 2500}, {}}},
		{"d.jpg", 30, 20, nil},
		{"sub/c.jpg", 20, 30, []eval.Truth{{Box: eval.Rect{W: 20, H: 30}, Area: 600}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"bolt", "nut"}, ds.Classes); d != "" {
		t.Error(d)
	}
	if len(ds.Notes) != 1 || !strings.HasPrefix(ds.Notes[0], "pictures without a label file, taken to show no object: 2 of 4 (") {
		t.Errorf("notes: %q", ds.Notes)
	}
	if err := ds.HasPictures(); err != nil {
		t.Error(err)
	}
}

func TestOpenShared(t *testing.T) {
	for _, tc := range []struct {
		path, first      string
		pictures, boxes  int
		classes          int
		iou              float64
		format           eval.Format
		width, hasImages bool
	}{
		{"images/coco64", "000000000139.jpg", 64, 440, 80, 0.5, eval.FormatYOLO, true, true},
		{"defects/deeppcb/trainval.txt", "group20085/20085/20085000_test.jpg", 1000, 6873, 6, eval.Above(0.33), eval.FormatDeepPCB, true, true},
		{"defects/deeppcb", "group20085/20085/20085000_test.jpg", 1000, 6873, 6, eval.Above(0.33), eval.FormatDeepPCB, true, true},
		{"golden/coco_eval/gts", "COCO_val2014_000000000042.jpg", 100, 830, 80, 0.5, eval.FormatCOCO, true, false},
		{"golden/voc_ap_case1", "00001", 7, 15, 1, 0.5, eval.FormatVOC, false, false},
	} {
		t.Run(tc.path, func(t *testing.T) {
			ds, err := eval.Open(testkit.Data(t, tc.path))
			if err != nil {
				t.Fatal(err)
			}
			boxes := 0
			for _, it := range ds.Items {
				boxes += len(it.Truth)
				if (it.Width > 0 && it.Height > 0) != tc.width {
					t.Fatalf("%s is %d×%d", it.Name, it.Width, it.Height)
				}
			}
			if len(ds.Items) != tc.pictures || boxes != tc.boxes || len(ds.Classes) != tc.classes || ds.IoU != tc.iou || ds.Format != tc.format {
				t.Errorf("%d pictures, %d boxes, %d classes, IoU %g, %s", len(ds.Items), boxes, len(ds.Classes), ds.IoU, ds.Format)
			}
			if ds.Items[0].Name != tc.first {
				t.Errorf("first is %s", ds.Items[0].Name)
			}
			if err := ds.HasPictures(); (err == nil) != tc.hasImages {
				t.Errorf("pictures: %v", err)
			}
		})
	}
}

func TestOpenCOCOFindsPictures(t *testing.T) {
	const js = `{"images":[{"id":7,"file_name":"b.png"},{"id":2,"file_name":"../../etc/a.png"}],"categories":[{"id":9,"name":"x"}],"annotations":[]}`
	for _, at := range []string{"val2017/b.png", "annotations/images/b.png", "annotations/b.png", "images/val2017/b.png"} {
		dir := tree(t, map[string]string{"annotations/instances_val2017.json": js, at: picture(t, 1, 1)})
		ds, err := eval.Open(filepath.Join(dir, "annotations"))
		if err != nil {
			t.Fatal(err)
		}
		if ds.Items[1].Path != filepath.Join(dir, filepath.FromSlash(at)) {
			t.Errorf("%s: found at %q", at, ds.Items[1].Path)
		}
		if ds.Items[0].Path != "" {
			t.Errorf("%s: a picture outside of the folders was taken: %s", at, ds.Items[0].Path)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	pic := picture(t, 10, 10)
	yolo := func(label string) map[string]string {
		return map[string]string{"names.yaml": "names: [a, b]", "images/p.png": pic, "labels/p.txt": label}
	}
	coco := func(body string) map[string]string { return map[string]string{"x.json": body} }
	board := func(list, label string) map[string]string {
		return map[string]string{"trainval.txt": list, "g/1.txt": label, "g/1_test.jpg": turned(t, 4, 4, 1, binary.BigEndian)}
	}
	for _, tc := range []struct {
		name  string
		files map[string]string
		open  string
		want  string
	}{
		{"nothing", nil, "absent", "no such file"},
		{"no format", map[string]string{"a.md": "x"}, "", "not a data set this program knows; known are"},
		{"no format file", map[string]string{"a.csv": "x"}, "a.csv", "not a data set this program knows"},
		{"no names", map[string]string{"images/p.png": pic, "labels/p.txt": ""}, "", "names.yaml is missing"},
		{"names hole", map[string]string{"names.yaml": "names: {0: a, 2: b}", "images/p.png": pic, "labels/p.txt": ""}, "", "no class 1"},
		{"names twice", map[string]string{"data.yaml": "names: [a, a]", "images/p.png": pic, "labels/p.txt": ""}, "", `classes 0 and 1 are both called "a"`},
		{"names empty", map[string]string{"names.yaml": "nc: 3", "images/p.png": pic, "labels/p.txt": ""}, "", "missing or empty"},
		{"no pictures", map[string]string{"names.yaml": "names: [a]", "images/.keep": "", "labels/.keep": ""}, "", "it has no pictures"},
		{"bad picture", map[string]string{"names.yaml": "names: [a]", "images/p.png": "text", "labels/p.txt": ""}, "", "read the size of picture"},
		{"yolo class", yolo("0 .5 .5 .1 .1\n2 .5 .5 .1 .1"), "", "p.txt:2: class 2: the names file has the classes 0 to 1"},
		{"yolo few", yolo("0 .5 .5 .1"), "", "p.txt:1: want class cx cy w h"},
		{"yolo many", yolo("0 .5 .5 .1 .1 .2 .3"), "", `p.txt:1: want class cx cy w h`},
		{"yolo word", yolo("0 .5 .5 x .1"), "", `p.txt:1: "x" is not a number; want class cx cy w h`},
		{"yolo nan", yolo("0 .5 .5 NaN .1"), "", `"NaN" is not a number`},
		{"yolo pixels", yolo("0 .5 .5 12 .1"), "", "p.txt:1: w is 12: positions and sizes are parts of the picture"},
		{"json syntax", coco("{\"images\":[],\n\"categories\":[}"), "x.json", "x.json:2: invalid character"},
		{"json type", coco("{\n\"images\":[{\"id\":\"one\"}],\"categories\":[]}"), "x.json", "x.json:2: images.id is a string, want a int64"},
		{"json other", coco(`{"hello":1}`), "x.json", "not a COCO data set"},
		{"json image", coco(`{"images":[{"id":1}],"categories":[{"id":1,"name":"a"}],"annotations":[{"id":5,"image_id":2}]}`), "x.json", "annotations[0] (id 5): no image has the id 2"},
		{"json category", coco(`{"images":[{"id":1}],"categories":[{"id":1,"name":"a"}],"annotations":[{"id":5,"image_id":1,"category_id":4}]}`), "x.json", "no category has the id 4"},
		{"json bbox", coco(`{"images":[{"id":1}],"categories":[{"id":1,"name":"a"}],"annotations":[{"id":5,"image_id":1,"category_id":1,"bbox":[1,2]}]}`), "x.json", "bbox has 2 numbers"},
		{"json negative", coco(`{"images":[{"id":1}],"categories":[{"id":1,"name":"a"}],"annotations":[{"id":5,"image_id":1,"category_id":1,"bbox":[1,2,-3,4]}]}`), "x.json", "negative size"},
		{"json twice", coco(`{"images":[{"id":1},{"id":1}],"categories":[]}`), "x.json", "two images have the id 1"},
		{"json crowd", coco(`{"images":[],"categories":[],"annotations":[{"iscrowd":7}]}`), "x.json", "want 0 or 1"},
		{"json empty", coco(`{"images":[],"categories":[]}`), "x.json", "it has no pictures"},
		{"pcb list", board("just text", ""), "trainval.txt", "trainval.txt:1: want a picture and its label file"},
		{"pcb outside", board("../g/1.jpg g/1.txt", ""), "trainval.txt", "../g/1.jpg is outside"},
		{"pcb twice", board("g/1.jpg g/1.txt\ng/1.jpg g/1.txt", ""), "trainval.txt", "trainval.txt:2: g/1_test.jpg is already on line 1"},
		{"pcb no labels", board("g/1.jpg g/2.txt", ""), "trainval.txt", "trainval.txt:1: open"},
		{"pcb type", board("g/1.jpg g/1.txt", "1 1 2 2 7"), "trainval.txt", "1.txt:1: type 7: want 1 to 6"},
		{"pcb fields", board("g/1.jpg g/1.txt", "1 1 2 2"), "trainval.txt", "1.txt:1: want x1 y1 x2 y2 type"},
		{"pcb order", board("g/1.jpg g/1.txt", "1 1 2 2 1\n5 1 2 2 1"), "trainval.txt", "1.txt:2: x2 y2 must not lie before x1 y1"},
		{"voc fields", map[string]string{"gts/1.txt": "1 2 3 4"}, "", "1.txt:1: has 4 fields; want label x y w h"},
		{"voc size", map[string]string{"gts/1.txt": "a 1 2 -3 4"}, "", "1.txt:1: width and height must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := eval.Open(filepath.Join(tree(t, tc.files), tc.open))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant …%s…", err, tc.want)
			}
			if err != nil && strings.Count(err.Error(), "\n") > 8 {
				t.Errorf("the error is too long: %v", err)
			}
		})
	}
}

func TestCOCOIgnore(t *testing.T) {
	dir := tree(t, map[string]string{"x.json": `{"images":[{"id":1,"file_name":"a.png","width":9,"height":8}],
		"categories":[{"id":1,"name":"a"}],
		"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[0,0,4,4],"area":3,"iscrowd":true},
		               {"id":2,"image_id":1,"category_id":1,"bbox":[0,0,4,4],"ignore":1}]}`})
	ds, err := eval.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	box := eval.Rect{W: 4, H: 4}
	want := []eval.Truth{{Box: box, Area: 3, Crowd: true}, {Box: box, Area: 16, Ignore: true}}
	if d := cmp.Diff(want, ds.Items[0].Truth); d != "" {
		t.Error(d)
	}
	if len(ds.Notes) != 1 || !strings.HasPrefix(ds.Notes[0], "objects marked ignore without iscrowd: 1;") {
		t.Errorf("notes: %q", ds.Notes)
	}
}

func ExampleAbove() {
	fmt.Println(0.33 >= eval.Above(0.33), 0.3300001 >= eval.Above(0.33))
	// Output: false true
}
