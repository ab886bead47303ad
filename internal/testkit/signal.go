package testkit

import (
	"sync"
	"testing"
	"time"
)

// Signal lets a test wait for what others see, without asking again and again.
type Signal struct{ c chan struct{} }

// NewSignal makes one for one test.
func NewSignal() Signal { return Signal{make(chan struct{}, 1)} }

// Wake says that something was seen. It never blocks.
func (s Signal) Wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// Await waits until seen says yes, and fails the test after patience. seen is
// asked with mu held, now and whenever there was a Wake.
func (s Signal) Await(tb testing.TB, mu sync.Locker, patience time.Duration, what string, seen func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	for {
		mu.Lock()
		ok := seen()
		mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.c:
		case <-deadline:
			tb.Fatalf("timed out waiting for %s", what)
		}
	}
}
