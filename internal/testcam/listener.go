package testcam

import (
	"net"
	"sync"
)

// listener serves each connection to a port in a goroutine of its own, and can
// end them all.
type listener struct {
	ln    net.Listener
	serve func(net.Conn)
	wg    sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	accepted int
	conns    map[net.Conn]struct{}
}

// listen opens a port; when serve returns its connection is closed.
func listen(p *port, serve func(net.Conn)) (*listener, error) {
	ln, err := p.listen()
	if err != nil {
		return nil, err
	}
	l := &listener{ln: ln, serve: serve, conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

func (l *listener) accept() {
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		if l.closed {
			conn.Close()
		} else {
			l.accepted++
			l.conns[conn] = struct{}{}
			l.wg.Go(func() { l.handle(conn) })
		}
		l.mu.Unlock()
	}
}

func (l *listener) handle(conn net.Conn) {
	l.serve(conn)
	conn.Close()
	l.mu.Lock()
	delete(l.conns, conn)
	l.mu.Unlock()
}

// count is how many connections were accepted.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

func (l *listener) close() {
	l.mu.Lock()
	l.closed = true
	for conn := range l.conns {
		conn.Close()
	}
	l.mu.Unlock()
	l.ln.Close()
	l.wg.Wait()
}
