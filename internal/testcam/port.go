package testcam

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// port is a TCP port of 127.0.0.1 that stays reserved while nobody listens. A
// socket that is bound and does not listen does that: dialling the port is
// refused, the kernel gives it to nobody else (and to no outgoing connection,
// so that a dialler of the dead port cannot meet itself), and a listener with
// SO_REUSEADDR, as Go's are, may still bind to it.
type port struct {
	addr string
	once sync.Once
	fd   int
}

func reserve() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	p := &port{fd: fd}
	if err := p.bind(); err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	return p, nil
}

func (p *port) bind() error {
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	addr, err := unix.Getsockname(p.fd)
	if err != nil {
		return err
	}
	p.addr = fmt.Sprintf("127.0.0.1:%d", addr.(*unix.SockaddrInet4).Port)
	return nil
}

// listen opens the port. The kernel may need a moment after the last listener,
// and a program that picks any free port may hold this one for as long.
func (p *port) listen() (net.Listener, error) {
	for attempt := 0; ; attempt++ {
		l, err := net.Listen("tcp4", p.addr)
		if !errors.Is(err, unix.EADDRINUSE) || attempt == listenAttempts {
			return l, err
		}
		time.Sleep(listenPause)
	}
}

const (
	listenAttempts = 50
	listenPause    = 20 * time.Millisecond
)

func (p *port) release() {
	// Nothing was written, so that closing cannot lose anything.
	p.once.Do(func() { _ = unix.Close(p.fd) })
}

// udpPair opens two consecutive ports of 127.0.0.1, the first even, as RTP
// (RFC 3550, section 11) wants them.
func udpPair() (rtp, rtcp net.PacketConn, err error) {
	for range 100 {
		if rtp, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		n := rtp.LocalAddr().(*net.UDPAddr).Port
		if n%2 == 0 {
			if rtcp, err = net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", n+1)); err == nil {
				return rtp, rtcp, nil
			}
		}
		rtp.Close()
	}
	return nil, nil, fmt.Errorf("find two consecutive UDP ports: %w", err)
}
