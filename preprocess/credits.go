package preprocess

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// credits bounds the requests of one model that are under way. It is a
// semaphore that is first come, first served, so that no camera starves
// another, and whose size changes as workers come and go.
type credits struct {
	mu    sync.Mutex
	limit int
	// each bounds those of one bounded holder; 0: no more than limit does.
	each    int
	used    int
	waiting []turn
}

// holder has credits.
type holder struct {
	// bounded says that the holder's frames grow old while they wait at a worker,
	// so that it may have few there.
	bounded bool
	used    int
	// gone, where there is one, is closed when the holder needs no more.
	gone chan struct{}
}

// errGone says that a holder needs no credit any more.
var errGone = errors.New("the credit is not needed any more")

// turn waits for a credit.
type turn struct {
	who   *holder
	given chan struct{} // closed when its turn has come
}

func newCredits(limit int) *credits { return &credits{limit: max(limit, 1)} }

// acquire waits for a credit, or until ctx ends or the holder is gone.
func (c *credits) acquire(ctx context.Context, who *holder) error {
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return context.Cause(ctx)
	}
	t := turn{who, make(chan struct{})}
	c.waiting = append(c.waiting, t)
	c.serve()
	c.mu.Unlock()
	var err error
	select {
	case <-t.given:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-who.gone:
		err = errGone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.waiting, t); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	} else { // it was given meanwhile: hand it on
		c.used--
		who.used--
	}
	c.serve()
	return err
}

func (c *credits) release(who *holder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used--
	who.used--
	c.serve()
}

// busy reports whether anybody has one or waits for one.
func (c *credits) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used > 0 || len(c.waiting) > 0
}

// resize changes how many there are, and how many a bounded holder may have.
// Credits in use beyond the new numbers are not taken back: they are not given
// again.
func (c *credits) resize(limit, each int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit, c.each = max(limit, 1), each
	c.serve()
}

// serve gives free credits to those who wait and may have more. mu is held.
func (c *credits) serve() {
	for i := 0; i < len(c.waiting) && c.used < c.limit; {
		t := c.waiting[i]
		if t.who.bounded && c.each > 0 && t.who.used >= c.each {
			i++
			continue
		}
		c.used++
		t.who.used++
		close(t.given)
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}
