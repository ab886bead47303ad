package enginetest_test

import (
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// TestEnginesAgree runs networks of some depth on both engines.
func TestEnginesAgree(t *testing.T) {
	reference, err := ort.New(slog.New(slog.DiscardHandler))
	if err != nil {
		testkit.Missing(t, err.Error())
	}
	for name, c := range map[string]struct {
		onnx  []byte
		size  int
		batch int
	}{
		"convnet":             {onnxtest.ConvNet{Batch: 1, Size: 64, Layers: 12, Channels: 16, Classes: 10}.Marshal(), 64, 1},
		"convnet, batch of 4": {onnxtest.ConvNet{Batch: -1, Size: 32, Layers: 6, Channels: 24, Classes: 10}.Marshal(), 32, 4},
		"bar-code reader":     {onnxtest.BarcodeReader(1), onnxtest.BarcodeSize, 1},
	} {
		t.Run(name, func(t *testing.T) {
			opts := engine.LoadOptions{Input: models.Input{Width: c.size, Height: c.size}}
			a := enginetest.NewRunner(t, enginetest.Load(t, reference, c.onnx, opts), c.batch)
			b := enginetest.NewRunner(t, enginetest.Load(t, gorgonia.New(), c.onnx, opts), c.batch)
			rnd := rand.New(rand.NewPCG(5, 6))
			for range 3 {
				for i := range a.Input().F32 {
					a.Input().F32[i] = 255 * rnd.Float32()
				}
				copy(b.Input().F32, a.Input().F32)
				want, errA := a.Run(t.Context())
				got, errB := b.Run(t.Context())
				if errA != nil || errB != nil {
					t.Fatal(errA, errB)
				}
				for i := range want {
					if err := enginetest.Near(got[i].F32, want[i].F32); err != nil {
						t.Errorf("output %s: %v", want[i].Name, err)
					}
				}
			}
		})
	}
}

// TestFaulty: an engine that is to fail on demand passes the suite as long as it
// is in order.
func TestFaulty(t *testing.T) { enginetest.Run(t, enginetest.NewFaulty(gorgonia.New())) }
