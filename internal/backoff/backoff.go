// Package backoff spaces attempts: pauses double up to a bound, and are jittered
// so that those who failed together do not try again together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a pause that doubles from Min to Max.
type Backoff struct {
	Min, Max time.Duration
	last     time.Duration
}

// Next is the next pause, jittered.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(b.Min, 2*b.last), b.Max)
	return Jitter(b.last)
}

// Reset begins with Min again.
func (b *Backoff) Reset() { b.last = 0 }

// Jitter is between half of d and d.
func Jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// Sleep waits for d, or until ctx ends, whose error it returns then.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
