package ingest

import (
	"context"
	"sync"

	"github.com/vedette-io/vedette/internal/ring"
)

// rings keeps the memory of a camera's pictures readable: the newest ring
// until the camera is closed, earlier ones until their last frame is released.
type rings struct {
	mu      sync.Mutex
	current *heldRing
	inUse   int           // frames delivered and not released
	idle    chan struct{} // one token when inUse may have become 0
}

// heldRing is one child's ring.
type heldRing struct {
	owner  *rings
	hold   *ring.Hold
	path   string
	number int // in the child
	refs   int // guarded by owner.mu, as is gone
	gone   bool
}

// add makes hold the newest ring.
func (r *rings) add(hold *ring.Hold, number int) *heldRing {
	h := &heldRing{owner: r, hold: hold, path: hold.Path(), number: number}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retire()
	r.current = h
	return h
}

// retire lets go of the current ring, at once or with its last frame.
func (r *rings) retire() {
	if h := r.current; h != nil {
		h.gone = true
		h.closeUnused()
		r.current = nil
	}
}

func (h *heldRing) closeUnused() {
	if h.gone && h.refs == 0 {
		_ = h.hold.Close() // of a file opened for reading: nothing can be lost
	}
}

func (h *heldRing) retain() {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.refs++
	h.owner.inUse++
}

func (h *heldRing) release() {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.refs--
	h.owner.inUse--
	h.closeUnused()
	if h.owner.inUse == 0 {
		select {
		case h.owner.idle <- struct{}{}:
		default:
		}
	}
}

// waitIdle waits until every delivered frame is released.
func (r *rings) waitIdle(ctx context.Context) error {
	for {
		r.mu.Lock()
		busy := r.inUse > 0
		r.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-r.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *rings) closeAll() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return nil
	}
	h := r.current
	r.current = nil
	return h.hold.Close()
}
