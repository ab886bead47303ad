package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestSync(t *testing.T) {
	for _, cfg := range []bus.Config{{SyncAlways: true}, {SyncInterval: time.Second}, {SyncInterval: time.Minute}} {
		b := start(t, cfg)
		if always, interval := b.Sync(); always != cfg.SyncAlways || (!always && interval != cfg.SyncInterval) {
			t.Errorf("%t and %v, want %t and %v", always, interval, cfg.SyncAlways, cfg.SyncInterval)
		}
		mustWrite(t, writer(t, b), "gate", 0)
	}
	if err := refused(t, bus.Config{SyncInterval: -1}); err == nil {
		t.Error("a negative interval")
	}
}

// What a stored detection costs, by how often the store is forced to the disk,
// from one camera that waits for each and from 16 at once.
func BenchmarkSync(b *testing.B) {
	for _, mode := range []struct {
		name string
		cfg  bus.Config
	}{
		{"always", bus.Config{SyncAlways: true}},
		{"1s", bus.Config{SyncInterval: time.Second}},
		{"2m", bus.Config{}},
	} {
		for _, cameras := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", mode.name, cameras), func(b *testing.B) {
				cfg := mode.cfg
				cfg.Store = b.TempDir()
				w := writer(b, start(b, cfg))
				b.ResetTimer()
				var wg sync.WaitGroup
				for c := range cameras {
					wg.Go(func() {
						for seq := range uint64(b.N/cameras + 1) {
							done := make(chan error, 1)
							w.Write(context.Background(), detection(fmt.Sprintf("cam-%d", c), seq), func(err error) { done <- err })
							if err := <-done; err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
