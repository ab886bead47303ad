package pipeline

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// BenchmarkTensorHop is the way of a 416×416 picture from an owner to a worker
// in another process, and of an empty answer back: by memory of one host, as it
// is, and as a JPEG. A NATS server on loopback is between them.
func BenchmarkTensorHop(b *testing.B) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	log := slog.New(slog.DiscardHandler)
	connect := func() *bus.Bus {
		c, err := bus.Start(b.Context(), bus.Config{URL: s.ClientURL()}, log)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		return c
	}
	in := models.Input{Width: 416, Height: 416, Color: models.BGR}
	p := &Pipeline{deps: Deps{Log: log}, tensors: newTensorReader()}
	answer, err := json.Marshal(tensor.Answer{Status: vedette.StatusOK})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := connect().Serve("vedette.tensor.m.w", tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		if r, ok := p.incoming(in, header, body, respond); ok {
			_ = r.Respond(answer)
		}
	}); err != nil {
		b.Fatal(err)
	}
	w := &workers{bus: connect(), self: "owner", host: "here", memory: newTensorMemory(log)}
	body := make([]byte, in.Width*in.Height*3)
	for y := range in.Height { // soft shades and a little noise, as cameras have
		for x := range in.Width {
			for c := range 3 {
				body[(y*in.Width+x)*3+c] = byte(x/4 + y/3 + 40*c + rand.IntN(4))
			}
		}
	}
	req := &tensor.Request{Camera: "cam", SHA256: "x", Geometry: tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: 1, Height: 1}}
	jpeg := &tensorEncoder{quality: 90, log: log, inputs: func(string) (models.Input, bool) { return in, true }}
	for _, c := range []struct {
		name   string
		host   string
		encode *tensorEncoder
	}{{"memory", "here", nil}, {"raw", "there", nil}, {"jpeg", "there", jpeg}} {
		b.Run(c.name, func(b *testing.B) {
			w.encode = c.encode
			m := &member{host: c.host}
			b.ReportAllocs()
			for b.Loop() {
				if a, err := w.ask(b.Context(), "vedette.tensor.m.w", "w", m, req, body); err != nil || a.Status != vedette.StatusOK {
					b.Fatal(a, err)
				}
			}
		})
	}
}
