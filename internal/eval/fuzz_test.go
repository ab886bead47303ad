package eval

import (
	"bytes"
	"math"
	"testing"

	"github.com/vedette-io/vedette"
)

// checkTruth fails on truth that a parser must not let through.
func checkTruth(t *testing.T, truth []Truth, classes int) {
	t.Helper()
	for _, tr := range truth {
		if tr.Class < 0 || tr.Class >= classes || !tr.Box.valid() || math.IsNaN(tr.Area) {
			t.Errorf("accepted %+v of %d classes", tr, classes)
		}
	}
}

func checkOutcomes(t *testing.T, d *Detections, ds *Dataset) {
	t.Helper()
	if len(d.Outcomes) != len(ds.Items) {
		t.Fatalf("%d outcomes for %d pictures", len(d.Outcomes), len(ds.Items))
	}
	for _, o := range d.Outcomes {
		if o.Status != vedette.StatusOK && o.Found != nil {
			t.Errorf("a picture that is %s has detections", o.Status)
		}
		for _, s := range o.Found {
			if !s.Box.valid() || math.IsNaN(s.Score) {
				t.Errorf("accepted %+v", s)
			}
		}
	}
}

// small is a data set for parsers of detections.
func small(t testing.TB) *Dataset {
	ds, err := parseCOCO("x.json", []byte(`{"images":[{"id":1,"file_name":"a.png","width":10,"height":10},{"id":9,"file_name":"s/b.png"}],
		"categories":[{"id":3,"name":"bolt"},{"id":90,"name":"nut"}],
		"annotations":[{"id":1,"image_id":1,"category_id":90,"bbox":[0,0,4,4],"area":3,"iscrowd":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func FuzzYOLO(f *testing.F) {
	for _, s := range []string{"0 .5 .5 .1 .1\r\n", "2 .5 .5 .1 .1", "0 .5 .5 NaN .1", "x", "", "0 1e-400 .5 .1 .1", "-1 0 0 0 0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		truth, err := parseYOLO("f", data, 640, 480, 2)
		if err == nil {
			checkTruth(t, truth, 2)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"names: [a, b]", "names:\n  0: a\n  1: b\n", "names: {0: a, 5: b}", "names: {-1: a}", "names: &x [*x]", "nc: 1", "names: 7", "["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseNames(data)
		if err == nil && len(names) == 0 {
			t.Error("accepted without names")
		}
	})
}

func FuzzDeepPCB(f *testing.F) {
	for _, s := range []string{"139 61 182 94 1\n", "1 1 2 2 9", "5 5 1 1 1", "1 1 2 2 1.5", "1 1 2 2 1e300", "g/1.jpg g/1.txt", "/g/1.jpg ../1.txt"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if truth, err := parseDeepPCB("f", data); err == nil {
			checkTruth(t, truth, 6)
		}
		if picture, labels, err := deepPCBLine(string(data)); err == nil && (picture == "" || labels == "") {
			t.Errorf("accepted %q as %q, %q", data, picture, labels)
		}
	})
}

func FuzzVOC(f *testing.F) {
	for _, s := range []string{"object 1 2 3 4", "traffic light .5 1 2 3 4", "1 2 3 4", "a 1 2 -3 4", "a Inf 1 2 3 4", "\x00"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, withScore bool) {
		_ = parseVOC("f", data, withScore, func(s Scored) {
			if s.Label == "" || !s.Box.valid() || math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
				t.Errorf("accepted %+v", s)
			}
		})
	})
}

func FuzzCOCO(f *testing.F) {
	f.Add([]byte(`{"images":[{"id":1,"file_name":"a"}],"categories":[{"id":3,"name":"bolt"}],"annotations":[{"image_id":1,"category_id":3,"bbox":[1,2,3,4]}]}`))
	f.Add([]byte(`{"images":[{"id":1,"width":-5}],"categories":[],"annotations":[{"bbox":[1e308,1,1e308,1]}]}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"images":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ds, err := parseCOCO("f", data)
		if err != nil {
			return
		}
		for _, it := range ds.Items {
			checkTruth(t, it.Truth, len(ds.Classes))
			if it.Width < 0 || it.Height < 0 {
				t.Errorf("%s is %d×%d", it.Name, it.Width, it.Height)
			}
		}
	})
}

func FuzzCOCOResults(f *testing.F) {
	f.Add([]byte(`[{"image_id":1,"category_id":3,"bbox":[1,2,3,4],"score":0.5}]`))
	f.Add([]byte(`{"categories":[{"id":3,"name":"nut"}],"annotations":[{"image_id":9,"category_id":3,"bbox":[1,2,3,4],"score":0.5}]}`))
	f.Add([]byte(`[{"image_id":1}]`))
	f.Add([]byte(`[null]`))
	ds := small(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(bytes.TrimSpace(data)) == 0 {
			return // refused before
		}
		_ = isCOCOResults(data)
		if d, err := parseCOCOResults("f", data, ds); err == nil {
			checkOutcomes(t, d, ds)
			if _, err := EvaluateStored(ds, d, Options{Labels: ds.Classes}); err != nil {
				t.Errorf("accepted, but not scored: %v", err)
			}
		}
	})
}

func FuzzJSONL(f *testing.F) {
	f.Add([]byte(`{"schema":"vedette.detection.v1","item":"a.png","status":"ok","width":10,"height":10,"objects":[{"label":"bolt","score":0.5,"box":[1,2,3,4]}]}`))
	f.Add([]byte("{\"schema\":\"vedette.detection.v1\",\"item\":\"b.png\",\"status\":\"unfit\"}\n\n{\"schema\":\"vedette.detection.v1\",\"item\":\"zzz\",\"status\":\"ok\"}"))
	f.Add([]byte(`{"schema":"vedette.detection.v1","item":"a.png","status":"ok","objects":[{"box":[9,9,1,1]}]}`))
	f.Add([]byte(`null`))
	ds := small(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := parseJSONL("f", data, ds); err == nil {
			checkOutcomes(t, d, ds)
		}
	})
}

func FuzzEXIF(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Add([]byte("\xff\xd8\xff\xff\xff\xe1\x00\x10Exif\x00\x00MM\x00*\xff\xff\xff\xff"))
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := exifOrientation(data); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}

// BenchmarkScore is about the size of COCO val2017: 5,000 pictures, 80
// classes, 35,000 objects, 100 detections a picture.
func BenchmarkScore(b *testing.B) {
	ds := &Dataset{IoU: 0.5}
	for range 80 {
		ds.Classes = append(ds.Classes, string(rune('A'+len(ds.Classes))))
	}
	d := &Detections{}
	state := uint32(1)
	next := func(n int) int {
		state = state*1664525 + 1013904223
		return int(state>>8) % n
	}
	for range 5000 {
		var it Item
		o := Outcome{Status: vedette.StatusOK}
		for range 7 {
			box := Rect{float64(next(500)), float64(next(400)), float64(5 + next(200)), float64(5 + next(200))}
			tr := Truth{Class: next(80), Box: box, Area: box.Area()}
			it.Truth = append(it.Truth, tr)
			for range 14 {
				box.X += float64(next(9) - 4)
				o.Found = append(o.Found, Scored{Label: ds.Classes[(tr.Class+next(3))%80], Score: float64(next(1000)) / 1000, Box: box})
			}
		}
		ds.Items, d.Outcomes = append(ds.Items, it), append(d.Outcomes, o)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EvaluateStored(ds, d, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
