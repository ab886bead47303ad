package bus_test

import (
	"net"
	"sync"
	"testing"
)

// wire is a network connection to a server, which a test can cut: so that both
// ends notice, or so that they do not, as when a cable is pulled.
type wire struct {
	address string

	mu    sync.Mutex
	open  bool
	still chan struct{} // closed when it carries nothing
	conns map[net.Conn]bool
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String(), open: true, still: make(chan struct{}), conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		w.cut(false)
		wg.Wait()
	})
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil || !w.add(near, far) {
				near.Close()
				if far != nil {
					far.Close()
				}
				continue
			}
			wg.Go(func() { w.carry(near, far) })
			wg.Go(func() { w.carry(far, near) })
		}
	})
	return w
}

func (w *wire) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	if !w.open {
		for _, c := range conns {
			delete(w.conns, c)
		}
	}
	return w.open
}

func (w *wire) carry(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		w.mu.Lock()
		delete(w.conns, from)
		w.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		still := w.still
		w.mu.Unlock()
		select {
		case <-still:
			continue // what is on the wire is lost
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends what goes over the wire, silently or not.
func (w *wire) cut(silently bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	if silently {
		close(w.still)
		return
	}
	for c := range w.conns {
		c.Close()
	}
}

// mend lets new connections through. Those from before are gone.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	w.open, w.still = true, make(chan struct{})
}
