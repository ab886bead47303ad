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
