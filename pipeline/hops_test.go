//go:build cv

package pipeline_test

import (
	"log/slog"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
)

// BenchmarkTensorHop is the request and the answer of a picture of 416 × 416
// with a worker that does nothing: to a worker of the same process, and of
// another one.
func BenchmarkTensorHop(b *testing.B) {
	server, err := bus.Start(b.Context(), bus.Config{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	other, err := bus.Start(b.Context(), bus.Config{URL: server.Address(), NKey: server.KeyFile(bus.Stage)}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	picture := make([]byte, 3*416*416)
	stop, err := server.Serve("bench.tensor", "Header", func(_ string, body []byte, respond func([]byte) error) {
		if len(body) != len(picture) {
			b.Errorf("picture of %d bytes", len(body))
		}
		if err := respond([]byte("{}")); err != nil {
			b.Error(err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	for _, from := range []struct {
		name string
		bus  *bus.Bus
	}{{"same process", server}, {"another process", other}} {
		b.Run(from.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(picture)))
			for b.Loop() {
				if _, err := from.bus.Request(b.Context(), "bench.tensor", "Header", "{}", picture); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
