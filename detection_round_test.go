package vedette_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vedette-io/vedette"
)

func TestRound(t *testing.T) {
	d := &vedette.Detection{
		Width: 640, Height: 426, PTSMillis: 79.99999999999999,
		Timing: vedette.Timing{Capture: 3.1000000000000001, Queue: 16.830999999999996, Total: 20.0004999},
		Objects: &[]vedette.Object{{Label: "a", Score: float64(float32(0.9)),
			Box: vedette.Box{0, 12.344999999, 639.9999, 426}, BoxNorm: vedette.Box{0, 12.344999999 / 426, 639.9999 / 640, 1}}},
	}
	d.Round()
	got, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"pts_ms":80,`, `"capture":3.1,`, `"queue":16.831,`, `"total":20}`, `"score":0.9,`,
		`"box":[0,12.34,640,426]`, `"box_norm":[0,0.028979,1,1]`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	c := &vedette.Detection{Classes: &[]vedette.Class{{Label: "b", Score: float64(float32(0.7))}}}
	c.Round()
	if s := (*c.Classes)[0].Score; s != 0.7 {
		t.Errorf("score of a class is %v", s)
	}
}
