//go:build cv

package stagetest_test

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/tensor"
)

// TestTensorsOnTheirWay: on one host the bus carries references alone; a worker
// elsewhere gets the picture, or a JPEG of it. The results are the same.
func TestTensorsOnTheirWay(t *testing.T) {
	const frames = 100
	for _, c := range []struct {
		name, host, bus string
		encoding        string
		least, most     int // bytes of a message's body
	}{
		{"one host", "here", "", "", 0, 0},
		{"another host", "there", "", "", 1, 1 << 20},
		{"another host, as JPEG", "there", ", jpeg: 90", tensor.JPEG, 1, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t)
			p.busKeys = c.bus
			var mu sync.Mutex
			n, bytes := 0, 0
			if _, err := p.nc.Subscribe("vedette.tensor.>", func(m *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				n, bytes = n+1, bytes+len(m.Data)
				r, err := tensor.ParseRequest(m.Header.Get(tensor.Header))
				if err != nil || (r.Ref != nil) != (c.most == 0) || r.Encoding != c.encoding || len(m.Data) < c.least || len(m.Data) > c.most {
					t.Errorf("%v; a message of %d bytes, encoding %q, reference %+v", err, len(m.Data), r.Encoding, r.Ref)
				}
			}); err != nil {
				t.Fatal(err)
			}
			cfg := p.config("plant.yaml", one(p.clipOf(frames)))
			p.start("infer", cfg, "--host", c.host)
			p.start("preprocess", cfg)
			finished(t, p.start("ingest", cfg))
			p.checkWhole("cam", frames)
			mu.Lock()
			defer mu.Unlock()
			if n < frames {
				t.Errorf("%d messages for %d frames", n, frames)
			}
			t.Logf("%d messages, %d bytes of pictures each", n, bytes/max(n, 1))
		})
	}
}
