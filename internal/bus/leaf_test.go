package bus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette/internal/bus"
)

// A server on a camera host stands between its stages and the plant's server.
func TestLeaf(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	key := func(r bus.Role) string { return filepath.Join(keys, string(r)+".nk") }
	seed, err := os.ReadFile(key(bus.Stage))
	if err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 1)[0]
	hub := plant{url: startShipped(t, "server.conf", "", keys, port), key: key}
	t.Setenv("NATS_NAME", "camera-host")
	t.Setenv("NATS_HUB", fmt.Sprintf("nats-leaf://127.0.0.1:%d", port))
	t.Setenv("VEDETTE_STAGE_SEED", strings.TrimSpace(string(seed)))
	leaf := plant{url: startShipped(t, "leaf.conf", "", keys, 0), key: key}
	stage := start(t, bus.Config{URL: leaf.url, NKey: key(bus.Stage), Domain: "hub"})
	patient(t, "the plant's server behind the host's", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return stage.EnsureDetections(ctx, bus.DefaultDetectionLimits()) == nil
	})
	looks := hub.connect(t, "operator")
	frames, err := looks.SubscribeSync("vedette.frame.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := looks.Flush(); err != nil {
		t.Fatal(err)
	}
	testStageWorks(t, stage, hub.bus(t, bus.Stage))
	testWorkerFetches(t, hub)
	testReads(t, hub, "subscriber")
	// A tensor goes to a worker at the plant's server, a frame stays.
	worker := hub.bus(t, bus.Worker)
	stop, err := worker.Serve("vedette.tensor.m.j", "H", func(_ string, body []byte, respond func([]byte) error) { _ = respond(body) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // it fails only with the connection
	nc := leaf.connect(t, "stage", nats.CustomInboxPrefix(bus.Stage.Inbox()))
	patient(t, "a worker's answer", func() bool {
		got, err := nc.Request("vedette.tensor.m.j", []byte("abc"), time.Second)
		return err == nil && string(got.Data) == "abc"
	})
	if err := nc.Publish("vedette.frame.h.gate", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request("vedette.tensor.m.j", nil, 10*time.Second); err != nil { // behind the frame
		t.Fatal(err)
	}
	if err := looks.Flush(); err != nil { // what came is here
		t.Fatal(err)
	}
	if n, _, err := frames.Pending(); err != nil || n != 0 {
		t.Errorf("%d frames came to the plant's server: %v", n, err)
	}
	if err := stage.Permitted(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server on a camera host that stores what the host writes: the plant's server
// collects it, live listeners there hear it at once, and what is the host's stays.
func TestHostServer(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	key := func(r bus.Role) string { return filepath.Join(keys, string(r)+".nk") }
	seed, err := os.ReadFile(key(bus.Leaf))
	if err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 1)[0]
	t.Setenv("NATS_NAME", "east")
	t.Setenv("NATS_HUB", fmt.Sprintf("nats-leaf://127.0.0.1:%d", port))
	t.Setenv("VEDETTE_LEAF_SEED", strings.TrimSpace(string(seed)))
	host := plant{url: startShipped(t, "host.conf", "", keys, 0), key: key}
	// The hub comes later: the host does not wait for it.
	stage := start(t, bus.Config{URL: host.url, NKey: key(bus.Stage), Host: "east", Hub: bus.Hub{Domain: "hub"}})
	const n = 100
	w := writer(t, stage)
	mustWrite(t, w, "gate", upTo(n)...)
	if s := stage.HubState(); s == nil || s.Connected {
		t.Errorf("without a hub: %+v", s)
	}
	hub := plant{url: startShipped(t, "server.conf", "", keys, port), key: key}
	o := hub.bus(t, bus.Operator)
	patient(t, "a hub that collects", func() bool { s := stage.HubState(); return s.Connected && s.Collects && s.Waiting == 0 })
	wantStored(t, o, "gate", upTo(n))
	live, kept := hear(t, hub.connect(t, "subscriber")), hub.connect(t, "operator")
	stays, err := kept.SubscribeSync("vedette.*.*.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Flush(); err != nil {
		t.Fatal(err)
	}
	// A subscription takes a moment to the host's server.
	seq := uint64(n)
	patient(t, "a detection heard at the hub", func() bool { mustWrite(t, w, "gate", seq); seq++; return len(live.of("gate")) > 0 })
	nc := host.connect(t, "stage", nats.CustomInboxPrefix(bus.Stage.Inbox()))
	for _, subject := range []string{"vedette.frame.east.gate", "vedette.store.detection.other.m", "vedette.work.east.gate.m", "vedette.status.ingest.last"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for {
		m, err := stays.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "vedette.status.ingest.last" {
			break
		}
		// What was stored is collected, in its time, as a detection.
		if !strings.HasPrefix(m.Subject, "vedette.detection.") && !strings.HasPrefix(m.Subject, "vedette.gather.") && !strings.HasPrefix(m.Subject, "vedette.pull.") {
			t.Errorf("%s came to the hub", m.Subject)
		}
	}
	patient(t, "everything at the hub", func() bool { return len(stored(t, o, "gate")) >= int(seq) })
	wantStored(t, o, "gate", upTo(seq))
	if err := stage.Permitted(t.Context()); err != nil {
		t.Error(err)
	}
}
