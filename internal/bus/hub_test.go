package bus_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

// hubConfig is a server that takes leaf nodes.
func hubConfig(t *testing.T) bus.Config {
	ports := freePorts(t, 2)
	return bus.Config{
		Listen: fmt.Sprintf("127.0.0.1:%d", ports[0]), Leafs: fmt.Sprintf("127.0.0.1:%d", ports[1]), Store: t.TempDir(),
	}
}

// hostConfig is a camera host of a hub, which it reaches at an address.
func hostConfig(t *testing.T, host, address string, hub bus.Config) bus.Config {
	return bus.Config{
		Host: host, Store: t.TempDir(), Listen: "127.0.0.1:0",
		Hub: bus.Hub{URL: "nats-leaf://" + address, NKey: bus.KeyFile(hub.Store, bus.Leaf)},
	}
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	if os.Getenv("VEDETTE_TEST_LOG") != "" {
		fmt.Fprint(os.Stderr, string(b))
	}
	return len(b), nil
}

func startTold(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Start(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// heard is what somebody hears who listens live.
type heard struct {
	mu   sync.Mutex
	seqs map[string][]uint64
}

func hear(t *testing.T, nc *nats.Conn) *heard {
	t.Helper()
	h := &heard{seqs: map[string][]uint64{}}
	_, err := nc.Subscribe("vedette.detection.>", func(m *nats.Msg) {
		var d vedette.Detection
		if err := json.Unmarshal(m.Data, &d); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.seqs[d.Camera] = append(h.seqs[d.Camera], d.Seq)
		h.mu.Unlock()
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *heard) of(camera string) []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seqs[camera])
}

// What a host stores, and what the hub's own stages store, is in the hub's
// stream once, and heard once by who listens there.
func TestHubCollects(t *testing.T) {
	cfg := hubConfig(t)
	hub := startTold(t, cfg)
	own := writer(t, hub)
	plant := plant{url: hub.Address(), key: hub.KeyFile}
	live := hear(t, plant.connect(t, anonymous))
	var hosts []*bus.Bus
	for _, name := range []string{"east", "west"} {
		hosts = append(hosts, startTold(t, hostConfig(t, name, cfg.Leafs, cfg)))
	}
	cameras := []string{"gate", "yard", "dock"}
	writers := []*bus.DetectionWriter{own, writer(t, hosts[0]), writer(t, hosts[1])}
	patient(t, "hosts that are collected of", func() bool {
		for _, h := range hosts {
			if s := h.HubState(); s == nil || !s.Connected || !s.Collects {
				return false
			}
		}
		return true
	})
	const n = 200
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() {
			for seq := range uint64(n) {
				mustWrite(t, w, cameras[i], seq)
			}
		})
	}
	wg.Wait()
	for i, camera := range cameras {
		patient(t, "everything of "+camera+" at the hub", func() bool { return len(stored(t, hub, camera)) >= n })
		wantStored(t, hub, camera, upTo(n))
		patient(t, "everything of "+camera+" heard", func() bool { return len(live.of(camera)) >= n })
		if got := live.of(camera); !slices.Equal(got, upTo(n)) {
			t.Errorf("heard of %s: %v", camera, got)
		}
		for j, h := range hosts { // each has its own
			want := []uint64(nil)
			if i == j+1 {
				want = upTo(n)
			}
			if got := stored(t, h, camera); !slices.Equal(got, want) {
				t.Errorf("host %d has %d of %s", j, len(got), camera)
			}
		}
	}
	for _, b := range append(hosts, hub) {
		if n := b.Counters().Errors.Load(); n != 0 {
			t.Errorf("%d errors on the bus", n)
		}
		if err := b.Permitted(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
