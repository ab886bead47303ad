package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

// An external server is killed again and again, while detections are written,
// lossless frames sent and tensors asked about.
func TestServerKilled(t *testing.T) {
	const total, kills = 2000, 4
	store := t.TempDir()
	srv := spawn(t, store)
	defer func() { srv.kill() }()
	b := start(t, bus.Config{URL: srv.url})
	if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err != nil {
		t.Fatal(err)
	}
	w := b.NewDetectionWriter()
	defer w.Close()

	var frames sequence
	receive(t, b, func(f *vedette.Frame, ack func()) { frames.take(f, nil); ack() })
	s := sender(t, b)
	s.SetAckTimeout(500 * time.Millisecond)

	var wg sync.WaitGroup
	var written, asked atomic.Int64
	slots := make(chan struct{}, 6)
	wg.Go(func() {
		for seq := range uint64(total) {
			slots <- struct{}{}
			send(t, s, seq, func() { <-slots })
		}
	})
	wg.Go(func() {
		for seq := range uint64(total) {
			wg.Add(1)
			w.Write(context.Background(), detection("gate", seq), func(err error) {
				defer wg.Done()
				if err != nil {
					t.Errorf("detection %d: %v", seq, err)
				}
				written.Add(1)
			})
		}
	})
	stop, err := b.Serve("vedette.tensor.m", "H", func(h string, _ []byte, respond func([]byte) error) { _ = respond([]byte(h)) })
	if err != nil {
		t.Fatal(err)
	}
	asking, enough := context.WithCancel(t.Context())
	wg.Go(func() {
		for asking.Err() == nil {
			ctx, cancel := context.WithTimeout(asking, 20*time.Second)
			_, err := b.Request(ctx, "vedette.tensor.m", "H", "x", make([]byte, 100<<10))
			cancel()
			if err == nil {
				asked.Add(1)
			} else if !errors.Is(err, bus.ErrNoResponders) && asking.Err() == nil {
				t.Errorf("request: %v", err) // a time-out would be 20 s of a worker's time
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	for k := range kills {
		mark := written.Load()
		patient(t, "some progress", func() bool {
			return written.Load() >= mark+100 || written.Load() == total
		})
		if written.Load() == total {
			t.Errorf("all was written after %d kills: the test does not test", k)
		}
		srv.kill()
		srv = spawn(t, store)
	}
	patient(t, "everything written and taken", func() bool { return written.Load() == total && len(frames.list()) == total })
	before := asked.Load()
	patient(t, "requests go on", func() bool { return asked.Load() > before })
	enough()
	wg.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
	wantStored(t, b, "gate", upTo(total))
	if diff := cmp.Diff(upTo(total), frames.list()); diff != "" {
		t.Errorf("frames: %s", diff)
	}
	if b.Counters().Reconnects.Load() < kills || w.Degraded() {
		t.Errorf("%d reconnects, degraded %t", b.Counters().Reconnects.Load(), w.Degraded())
	}
}
