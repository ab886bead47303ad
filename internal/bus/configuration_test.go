package bus_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
)

// TestConfiguration has an operator put a configuration on the bus: stages and
// workers read it, and cannot change it.
func TestConfiguration(t *testing.T) {
	p := embeddedPlant(t)
	operator := p.bus(t, bus.Operator)
	readers := []*bus.Bus{p.bus(t, bus.Stage), p.bus(t, bus.Worker)}
	for _, b := range readers {
		if _, err := b.Configuration(t.Context()); !errors.Is(err, bus.ErrNoConfiguration) {
			t.Errorf("before there is one: %v", err)
		}
		if _, err := b.PutConfiguration(t.Context(), []byte("x")); !errors.Is(err, bus.ErrDenied) {
			t.Errorf("made by one who may not: %v", err)
		}
	}
	for n, text := range []string{"one", "two: ${NAME}"} {
		revision, err := operator.PutConfiguration(t.Context(), []byte(text))
		if err != nil || revision != uint64(n+1) {
			t.Fatalf("revision %d, %v", revision, err)
		}
		for _, b := range readers {
			c, err := b.Configuration(t.Context())
			if err != nil || string(c.Text) != text || c.Revision != revision || c.At.IsZero() {
				t.Errorf("read %+v, %v", c, err)
			}
			if _, err := b.PutConfiguration(t.Context(), []byte("x")); !errors.Is(err, bus.ErrDenied) {
				t.Errorf("written by one who may not: %v", err)
			}
		}
	}
	if _, err := p.bus(t, bus.Subscriber).Configuration(t.Context()); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("read by a subscriber: %v", err)
	}
	js, err := jetstream.New(operator.Conn())
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "vedette_config")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := kv.History(t.Context(), "current"); err != nil || len(all) != 2 || string(all[0].Value()) != "one" {
		t.Errorf("history %v, %v", all, err)
	}
	if name := bus.ConfigurationName(""); name != "nats:vedette_config/current" {
		t.Errorf("it is called %s", name)
	}
}
