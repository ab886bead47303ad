//go:build cv && matprofile

package cv_test

import (
	"testing"

	"gocv.io/x/gocv"

	"github.com/vedette-io/vedette/internal/cv"
)

// TestNoMatStaysOpen runs every picture operation, also into its errors, and
// counts the Mats left open. It is built with the tag matprofile.
func TestNoMatStaysOpen(t *testing.T) {
	before := gocv.MatProfile.Count()
	for _, extra := range []int{0, 5} {
		for _, channels := range []int{1, 3} {
			src := view(20, 10, channels, 20*channels+extra, flat(200))
			dst := view(16, 16, channels, 16*channels+extra, flat(7))
			if err := cv.Resize(dst, src, cv.Area); err != nil {
				t.Fatal(err)
			}
			jpg, err := cv.EncodeJPEG(nil, src, 80)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cv.DecodeImage(jpg); err != nil {
				t.Fatal(err)
			}
			_, _ = cv.DecodeImage(jpg[:40])
			_ = cv.Convert(dst, dst, cv.SwapRB) // an error where channels is 1
			_ = cv.DrawBoxes(dst, []cv.Mark{{Box: [4]float64{0, 0, 5, 5}, Text: "x"}})
		}
	}
	if after := gocv.MatProfile.Count(); after != before {
		t.Errorf("%d Mats stayed open", after-before)
	}
}
