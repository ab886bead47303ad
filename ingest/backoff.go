package ingest

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is a pause that doubles from min to max.
type backoff struct {
	min, max time.Duration
	last     time.Duration
}

// next is the next pause, jittered so that cameras that were lost together do
// not come back together.
func (b *backoff) next() time.Duration {
	b.last = min(max(b.min, 2*b.last), b.max)
	return jitter(b.last)
}

func (b *backoff) reset() { b.last = 0 }

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
