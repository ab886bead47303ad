package enginetest

import (
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
)

// Benchmark measures runs of a model on one thread.
func Benchmark(b *testing.B, e engine.Engine, onnx []byte, batch int) {
	r := NewRunner(b, Load(b, e, onnx, engine.LoadOptions{Device: "cpu"}), batch)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "pictures/s")
}
