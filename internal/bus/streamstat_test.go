package bus_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestStreams(t *testing.T) {
	b := start(t, bus.Config{Prefix: "eu.plant", MaxStore: 1 << 30})
	if all, err := b.Streams(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("before anything: %+v, %v", all, err)
	}
	if err := b.EnsureDetections(t.Context(), bus.Limits{Age: time.Hour, Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("eu.plant.detection.gate.yolox", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	leases(t, b)
	all, err := b.Streams(t.Context())
	for i := 0; err == nil && i < 500 && all[0].Messages == 0; i++ { // it was published without an answer
		time.Sleep(10 * time.Millisecond)
		all, err = b.Streams(t.Context())
	}
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if s := all[0]; s.Name != "EU_PLANT_DETECTIONS" || s.Messages != 1 || s.Bytes < 5 || s.MaxAgeSeconds != 3600 || s.MaxBytes != 1<<20 || s.MaxMessages != 0 || s.Bucket || time.Since(s.Last) > time.Minute {
		t.Errorf("stream %+v", s)
	}
	if s := all[1]; s.Name != "KV_eu_plant_leases" || !s.Bucket || s.MaxBytes != 0 || s.Messages != 0 {
		t.Errorf("bucket %+v", s)
	}
	if used, _, err := b.StoreUse(t.Context()); err != nil || used == 0 {
		t.Errorf("%d bytes are used, %v", used, err)
	}
}

func TestStreamsWithoutJetStream(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	b := start(t, bus.Config{URL: s.ClientURL()})
	const want = "the NATS server has no JetStream for this login: enable it (nats-server --jetstream)"
	if all, err := b.Streams(t.Context()); err == nil || err.Error() != want {
		t.Errorf("%+v, %v", all, err)
	}
	if _, _, err := b.StoreUse(t.Context()); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
