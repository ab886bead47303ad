package bus_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestServices(t *testing.T) {
	url := external(t, nil) // whose users may do everything
	b := start(t, bus.Config{URL: url})
	ctx := t.Context()
	if got, err := b.ServiceStats(ctx, time.Second); err != nil || len(got) != 0 {
		t.Fatalf("with no service: %v, %v", got, err)
	}
	add := func(b *bus.Bus, version, stage string, data any) func() error {
		stop, err := b.AddService(bus.ServiceName, version, map[string]string{"stage": stage, "host": "h"}, func() any { return data })
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	add(b, "v1.2.3-01-dirty", "ingest", map[string]int{"frames": 3})
	stop := add(b, "devel", "infer", []string{"x"})
	elsewhere := start(t, bus.Config{URL: url, Prefix: "other"})
	add(elsewhere, "v9.9.9", "infer", nil) // another site on the same bus

	type seen struct{ Stage, Version, Data string }
	look := func() (all []seen) {
		got, err := b.ServiceStats(ctx, 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got {
			all = append(all, seen{s.Metadata["stage"], s.Version, string(s.Data)})
			if s.ID == "" || time.Since(s.Started) > time.Minute {
				t.Errorf("identity: %+v", s)
			}
		}
		return all
	}
	if diff := cmp.Diff([]seen{{"infer", "devel", `["x"]`}, {"ingest", "v1.2.3-01-dirty", `{"frames":3}`}}, look()); diff != "" {
		t.Error(diff)
	}
	answer, err := b.Conn().Request(b.Subjects().Service(first(t, b, "ingest").ID), nil, time.Second)
	var direct map[string]int
	if err != nil || json.Unmarshal(answer.Data, &direct) != nil || direct["frames"] != 3 {
		t.Errorf("asked directly: %v, %v", answer, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]seen{{"ingest", "v1.2.3-01-dirty", `{"frames":3}`}}, look()); diff != "" {
		t.Error(diff)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.ServiceStats(done, time.Minute); err == nil {
		t.Error("a cancelled question got an answer")
	}
}

func first(t *testing.T, b *bus.Bus, stage string) bus.ServiceStat {
	t.Helper()
	all, err := b.ServiceStats(t.Context(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Metadata["stage"] == stage {
			return s
		}
	}
	t.Fatalf("no %s among %v", stage, all)
	return bus.ServiceStat{}
}
