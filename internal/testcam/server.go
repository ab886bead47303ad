package testcam

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// server is one life of a camera's RTSP server. Its exported methods are
// called by gortsplib.
type server struct {
	opts   Options
	rtsp   *gortsplib.Server
	played func()
	// ready is closed when stream is set; a connection can come before.
	ready  chan struct{}
	stream *gortsplib.ServerStream

	mu       sync.Mutex
	accepted int
	// answering holds connections whose PLAY is being answered; a reader gets
	// packets from the answer on.
	answering map[*gortsplib.ServerConn]*gortsplib.ServerSession
	readers   map[*gortsplib.ServerSession]struct{}
}

// startServer listens on p; played is called whenever a reader begins to
// receive.
func startServer(p *port, opts Options, desc *description.Session, played func()) (*server, error) {
	s := &server{
		opts: opts, played: played, ready: make(chan struct{}),
		answering: map[*gortsplib.ServerConn]*gortsplib.ServerSession{},
		readers:   map[*gortsplib.ServerSession]struct{}{},
	}
	var secure *tls.Config
	if opts.TLS {
		cert, err := selfSigned()
		if err != nil {
			return nil, err
		}
		secure = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	rtp, rtcp, err := udpPair()
	if err != nil {
		return nil, err
	}
	pair := map[string]net.PacketConn{rtp.LocalAddr().String(): rtp, rtcp.LocalAddr().String(): rtcp}
	s.rtsp = &gortsplib.Server{
		Handler:        s,
		RTSPAddress:    p.addr,
		TLSConfig:      secure,
		UDPRTPAddress:  rtp.LocalAddr().String(),
		UDPRTCPAddress: rtcp.LocalAddr().String(),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   5 * time.Second,
		WriteQueueSize: 4096, // packets: room for a key frame of 1080p
		Listen:         func(string, string) (net.Listener, error) { return p.listen() },
		ListenPacket:   func(_, addr string) (net.PacketConn, error) { return pair[addr], nil },
	}
	if err := s.rtsp.Start(); err != nil {
		rtp.Close()
		rtcp.Close()
		return nil, err
	}
	s.stream = &gortsplib.ServerStream{Server: s.rtsp, Desc: desc}
	err = s.stream.Initialize()
	close(s.ready)
	if err != nil {
		s.rtsp.Close()
		return nil, err
	}
	return s, nil
}

func (s *server) close() {
	s.stream.Close()
	s.rtsp.Close()
}

func (s *server) stats() (accepted, readers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, len(s.readers)
}

// OnConnOpen counts.
func (s *server) OnConnOpen(*gortsplib.ServerHandlerOnConnOpenCtx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
}

// OnDescribe answers with the stream's description.
func (s *server) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.describe(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup prepares a session.
func (s *server) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if _, readers := s.stats(); s.opts.Readers > 0 && readers >= s.opts.Readers {
		return &base.Response{StatusCode: base.StatusNotEnoughBandwidth}, nil, nil
	}
	return s.describe(ctx.Conn, ctx.Request, ctx.Path)
}

func (s *server) describe(conn *gortsplib.ServerConn, req *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	<-s.ready
	if s.opts.User != "" && !conn.VerifyCredentials(req, s.opts.User, s.opts.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	if path != s.opts.Path {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

// OnPlay lets a session play.
func (s *server) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answering[ctx.Conn] = ctx.Session
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnResponse notices when the answer to PLAY goes out: the session is in the
// stream by then, which it is not yet in OnPlay.
func (s *server) OnResponse(conn *gortsplib.ServerConn, _ *base.Response) {
	s.mu.Lock()
	session := s.answering[conn]
	delete(s.answering, conn)
	if session != nil {
		s.readers[session] = struct{}{}
	}
	s.mu.Unlock()
	if session != nil {
		s.played()
	}
}

// OnSessionClose forgets a reader.
func (s *server) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, ctx.Session)
}

// OnConnClose forgets a connection that died before its answer.
func (s *server) OnConnClose(ctx *gortsplib.ServerHandlerOnConnCloseCtx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answering, ctx.Conn)
}

// OnPacketsLost, OnDecodeError and OnStreamWriteError keep gortsplib from
// printing what a test provokes.
func (s *server) OnPacketsLost(*gortsplib.ServerHandlerOnPacketsLostCtx) {}

// OnDecodeError is silent, see OnPacketsLost.
func (s *server) OnDecodeError(*gortsplib.ServerHandlerOnDecodeErrorCtx) {}

// OnStreamWriteError is silent, see OnPacketsLost.
func (s *server) OnStreamWriteError(*gortsplib.ServerHandlerOnStreamWriteErrorCtx) {}
