package preprocess

import (
	"context"
	"sync"
)

// credits bounds the requests of one model that are under way. It is a
// semaphore that is first come, first served, so that no camera starves
// another, and whose size changes as workers come and go.
type credits struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting []chan struct{} // each is closed when its turn has come
}

func newCredits(limit int) *credits { return &credits{limit: max(limit, 1)} }

// acquire waits for a credit, or until ctx ends.
func (c *credits) acquire(ctx context.Context) error {
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return context.Cause(ctx)
	}
	if c.used < c.limit && len(c.waiting) == 0 {
		c.used++
		c.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	c.waiting = append(c.waiting, turn)
	c.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.waiting {
		if w == turn {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			return context.Cause(ctx)
		}
	}
	c.used-- // it was given meanwhile: hand it on
	c.serve()
	return context.Cause(ctx)
}

func (c *credits) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used--
	c.serve()
}

// resize changes how many there are. Credits in use beyond the new number are
// not taken back: they are not given again.
func (c *credits) resize(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(limit, 1)
	c.serve()
}

// serve gives free credits to those who wait. mu is held.
func (c *credits) serve() {
	for c.used < c.limit && len(c.waiting) > 0 {
		c.used++
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
	}
}
