package ingest

import (
	"sync"
	"time"
)

// slots is what the child knows of its ring's slots: which are free to be
// written under every delivery, and whether the parent holds the ring.
type slots struct {
	mu   sync.Mutex
	ring int // commands for another one come too late
	free chan int
	held chan struct{}
	busy []bool
}

func newSlots(int) *slots { return &slots{held: make(chan struct{}, 1)} }

// reset frees all slots, of a new ring.
func (s *slots) reset(ring, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = ring
	s.free = make(chan int, count) // room for every slot, so that obey never blocks
	s.busy = make([]bool, count)
	for i := range count {
		s.free <- i
	}
	select {
	case <-s.held:
	default:
	}
}

// take waits for a free slot, at most for d.
func (s *slots) take(d time.Duration) (int, bool) {
	s.mu.Lock()
	free := s.free
	select {
	case i := <-free: // the usual case needs no timer
		s.busy[i] = true
		s.mu.Unlock()
		return i, true
	default:
	}
	s.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case i := <-free:
		s.mu.Lock()
		s.busy[i] = true
		s.mu.Unlock()
		return i, true
	case <-timer.C:
		return 0, false
	}
}

func (s *slots) obey(cmd command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cmd.Ring != s.ring {
		return
	}
	if cmd.Held {
		select {
		case s.held <- struct{}{}:
		default:
		}
		return
	}
	if cmd.Slot >= 0 && cmd.Slot < len(s.busy) && s.busy[cmd.Slot] {
		s.busy[cmd.Slot] = false
		s.free <- cmd.Slot
	}
}

// awaitHeld waits until the parent holds the ring.
func (s *slots) awaitHeld() { <-s.held }
