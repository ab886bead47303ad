package vedette_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
)

// sample is a detection with nothing wrong.
func sample() *vedette.Detection {
	at := vedette.At(time.Date(2026, 11, 23, 22, 47, 1, 0, time.UTC))
	return &vedette.Detection{
		Schema: vedette.DetectionSchema, ID: "gate-01jdv8k2zz-000123-yolox-nano", Site: "plant-1",
		Camera: "gate", Epoch: "01jdv8k2zz", Seq: 123, PrevSeq: 118,
		CaptureTime: at, Clock: vedette.ClockHost, PTSMillis: 4920, PublishTime: at,
		Width: 1920, Height: 1080, Status: vedette.StatusOK,
		Model:     vedette.ModelRef{Name: "yolox-nano", SHA256: "ab", Task: "detect", Engine: "onnxruntime", Device: "cpu"},
		Objects:   &[]vedette.Object{{Label: "person", Score: 0.91, Box: vedette.Box{960, 0, 1920, 540}, BoxNorm: vedette.Box{0.5, 0, 1, 0.5}}},
		GapBefore: map[string]uint64{"stale": 4},
	}
}

func TestValidate(t *testing.T) {
	object := func(o vedette.Object) func(d *vedette.Detection) {
		return func(d *vedette.Detection) { d.Objects = &[]vedette.Object{o} }
	}
	classes := func(c ...vedette.Class) func(d *vedette.Detection) {
		return func(d *vedette.Detection) { d.Model.Task, d.Objects, d.Classes = "classify", nil, &c }
	}
	for name, c := range map[string]struct {
		change func(d *vedette.Detection)
		want   string // part of the error; "": valid
	}{
		"as it should be":     {func(*vedette.Detection) {}, ""},
		"nothing there":       {func(d *vedette.Detection) { d.Objects = &[]vedette.Object{} }, ""},
		"first of an epoch":   {func(d *vedette.Detection) { d.PrevSeq = -1; d.GapBefore["gated"] = 119 }, ""},
		"holes of the source": {func(d *vedette.Detection) { d.GapBefore[vedette.GapSource] = 30 }, ""},
		"failed": {func(d *vedette.Detection) {
			d.Status, d.Reason, d.Objects, d.Width, d.Height = vedette.StatusFailed, "no worker", nil, 0, 0
		}, ""},
		"classifier":            {classes(vedette.Class{Label: "cat", Score: 1}, vedette.Class{Label: "dog", Score: 0}), ""},
		"classifier, none":      {classes(), ""},
		"other schema":          {func(d *vedette.Detection) { d.Schema = "x" }, "schema"},
		"bad camera":            {func(d *vedette.Detection) { d.Camera = "a.b" }, "camera"},
		"id of another frame":   {func(d *vedette.Detection) { d.Seq++ }, "id is"},
		"prev_seq not before":   {func(d *vedette.Detection) { d.PrevSeq = 123 }, "prev_seq"},
		"prev_seq below -1":     {func(d *vedette.Detection) { d.PrevSeq = -2 }, "prev_seq"},
		"gap too large":         {func(d *vedette.Detection) { d.GapBefore["stale"] = 5 }, "gap_before counts 5 frames, but only 4"},
		"no gap_before":         {func(d *vedette.Detection) { d.GapBefore = nil }, "gap_before is missing"},
		"no time":               {func(d *vedette.Detection) { d.CaptureTime = vedette.Time{} }, "capture_time"},
		"no clock":              {func(d *vedette.Detection) { d.Clock = "" }, "clock"},
		"failed with objects":   {func(d *vedette.Detection) { d.Status, d.Reason = vedette.StatusFailed, "x" }, "status is failed, but there are objects"},
		"unfit without reason":  {func(d *vedette.Detection) { d.Status, d.Objects = vedette.StatusUnfit, nil }, "unfit without a reason"},
		"ok with reason":        {func(d *vedette.Detection) { d.Reason = "x" }, "there is a reason"},
		"ok without objects":    {func(d *vedette.Detection) { d.Objects = nil }, "objects is missing"},
		"ok without size":       {func(d *vedette.Detection) { d.Width = 0 }, "0×1080"},
		"ok without classes":    {func(d *vedette.Detection) { d.Model.Task, d.Objects = "classify", nil }, "classes is missing"},
		"detector with classes": {func(d *vedette.Detection) { d.Classes = &[]vedette.Class{} }, "do not fit the task"},
		"unknown status":        {func(d *vedette.Detection) { d.Status = "maybe" }, "unknown"},
		"box outside":           {object(vedette.Object{Label: "x", Box: vedette.Box{0, 0, 1921, 1}}), "not inside"},
		"box not a number":      {object(vedette.Object{Label: "x", Box: vedette.Box{0, 0, math.NaN(), 1}}), "not inside"},
		"box upside down":       {object(vedette.Object{Label: "x", Box: vedette.Box{0, 540, 960, 0}, BoxNorm: vedette.Box{0, 0.5, 0.5, 0}}), "not [x1"},
		"box_norm of another":   {object(vedette.Object{Label: "x", Box: vedette.Box{0, 0, 960, 540}, BoxNorm: vedette.Box{0, 0, 0.5, 0.4}}), "box_norm"},
		"no label":              {object(vedette.Object{}), "label"},
		"score above 1":         {object(vedette.Object{Label: "x", Score: 1.01}), "score"},
		"score not a number":    {object(vedette.Object{Label: "x", Score: math.NaN()}), "score"},
		"classes not sorted":    {classes(vedette.Class{Label: "a", Score: 0.1}, vedette.Class{Label: "b", Score: 0.2}), "higher score"},
	} {
		t.Run(name, func(t *testing.T) {
			d := sample()
			c.change(d)
			err := d.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
