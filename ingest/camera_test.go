package ingest_test

import (
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
)

func TestSyntheticEveryFrame(t *testing.T) {
	c := newCamera(t, ingest.Config{Delivery: ingest.Every,
		Source: source(t, "synthetic://bars?width=320&height=180&fps=20&frames=200&seed=3")})
	c.each = c.readsItsNumber
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(200)
	if c.lost > 0 {
		t.Errorf("%d frames were overwritten", c.lost)
	}
	end := c.end()
	if end == nil || end.Reason != "eof" || end.Seq != 200 {
		t.Fatalf("end notice %+v", end)
	}
	f := c.frames[10]
	if f.PTSMillis != 500 || f.Clock != vedette.ClockFile || f.CaptureMillis <= 0 ||
		f.CaptureTime.Sub(c.frames[0].CaptureTime.Time).Milliseconds() != 500 || f.CapturedAt.IsZero() {
		t.Errorf("times of frame 10: %+v", f)
	}
}
