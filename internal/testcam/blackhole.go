package testcam

import (
	"io"
	"net"
)

// BlackHole is a server that accepts every connection, reads what comes and
// never says a word.
type BlackHole struct {
	port *port
	hole *listener
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
func (b *BlackHole) Connections() int { return b.hole.count() }

// Close ends all connections.
func (b *BlackHole) Close() {
	b.hole.close()
	b.port.release()
}

func openHole(p *port) (*listener, error) { return listen(p, swallow) }

// swallow ends when either side closes, which is all there is to know.
func swallow(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
