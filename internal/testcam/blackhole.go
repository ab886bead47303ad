package testcam

import (
	"io"
	"net"
	"sync"
)

// BlackHole is a server that accepts every connection, reads what comes and
// never says a word.
type BlackHole struct {
	port *port
	hole *hole
}

// NewBlackHole opens one on a free port.
func NewBlackHole() (*BlackHole, error) {
	p, err := reserve()
	if err != nil {
		return nil, err
	}
	h, err := openHole(p)
	if err != nil {
		p.release()
		return nil, err
	}
	return &BlackHole{port: p, hole: h}, nil
}

// Addr is its host and port.
func (b *BlackHole) Addr() string { return b.port.addr }

// Connections is the number of connections it has accepted.
func (b *BlackHole) Connections() int {
	b.hole.mu.Lock()
	defer b.hole.mu.Unlock()
	return b.hole.accepted
}

// Close ends all connections.
func (b *BlackHole) Close() {
	b.hole.close()
	b.port.release()
}

// hole is the listening part of a black hole.
type hole struct {
	ln net.Listener
	wg sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	accepted int
	conns    map[net.Conn]struct{}
}

func openHole(p *port) (*hole, error) {
	ln, err := p.listen()
	if err != nil {
		return nil, err
	}
	h := &hole{ln: ln, conns: map[net.Conn]struct{}{}}
	h.wg.Go(h.accept)
	return h, nil
}

func (h *hole) accept() {
	for {
		conn, err := h.ln.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			conn.Close()
			return
		}
		h.accepted++
		h.conns[conn] = struct{}{}
		h.wg.Go(func() { h.swallow(conn) })
		h.mu.Unlock()
	}
}

func (h *hole) swallow(conn net.Conn) {
	// It ends when either side closes, which is all there is to know.
	_, _ = io.Copy(io.Discard, conn)
	conn.Close()
	h.mu.Lock()
	delete(h.conns, conn)
	h.mu.Unlock()
}

func (h *hole) close() {
	h.mu.Lock()
	h.closed = true
	for conn := range h.conns {
		conn.Close()
	}
	h.mu.Unlock()
	h.ln.Close()
	h.wg.Wait()
}
