package ingest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A probe asks a camera whether it would serve its stream, at the cost of two
// requests and without a process. It is how a camera that accepts connections
// and never answers is found out before a process waits for it, how a lost one
// is noticed to be back within a second, also after hours, and how a wrong
// password is told from a dead camera, which OpenCV does not.
//
// Only a clear refusal counts. What a probe does not understand it leaves to
// FFmpeg.

// firstProbe is how long a camera may take to give any answer before it is
// told to be away, quickProbe the same for one that is; beside those, one that
// takes its time goes on for slow networks. slowAnswer is for what a camera may
// have to think about (DESCRIBE starts the encoder of some).
const (
	firstProbe = 2 * time.Second
	quickProbe = time.Second
	slowAnswer = 2 * time.Second
)

// probe returns why the camera would not serve its stream, if it does not
// answer within limit or refuses.
func (c *Camera) probe(ctx context.Context, limit time.Duration) error {
	switch c.cfg.Source.kind {
	case RTSP:
		return c.cfg.Source.probeRTSP(ctx, limit)
	case HTTP:
		return c.cfg.Source.probeHTTP(ctx, limit)
	case Device:
		return c.cfg.Source.findDevice()
	}
	return nil
}

// probeRTSP asks for the server's OPTIONS, to which any answer is one, and
// then for the stream. FFmpeg asks the same two.
func (s Source) probeRTSP(ctx context.Context, limit time.Duration) error {
	u, err := url.Parse(s.location)
	if err != nil {
		return s.fail(ErrBadSource, "not a valid URL")
	}
	ctx, cancel := context.WithTimeout(ctx, limit+slowAnswer)
	defer cancel()
	quick, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := dialRTSP(quick, u)
	if err != nil {
		return s.unreachable(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	bare := *u
	bare.User = nil
	until(quick, conn)
	if _, err := conn.ask("OPTIONS", bare.String(), ""); err != nil {
		var other *otherProtocol
		if errors.As(err, &other) {
			return s.notRTSP(u, other)
		}
		return s.noAnswer(err)
	}
	until(ctx, conn)
	answer, err := conn.ask("DESCRIBE", bare.String(), "")
	if err == nil && answer.status == http.StatusUnauthorized {
		if u.User == nil {
			return s.fail(ErrAuth, "it asks for both, and the URL has none")
		}
		password, _ := u.User.Password()
		login, ok := authorize(answer.challenges, "DESCRIBE", bare.String(), u.User.Username(), password)
		if !ok {
			return nil
		}
		answer, err = conn.ask("DESCRIBE", bare.String(), login)
	}
	if err != nil {
		return nil // it is alive, and slow or odd
	}
	return s.judge(answer.status)
}

// until gives conn the time that ctx leaves. It fails on a closed connection
// only, as will its use.
func until(ctx context.Context, conn net.Conn) {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if ctx.Err() != nil { // what ended it may have come before
		_ = conn.SetDeadline(time.Unix(1, 0))
	}
}

// rtspConn is a connection to ask questions on.
type rtspConn struct {
	net.Conn
	r     *textproto.Reader
	asked int
}

type rtspAnswer struct {
	status     int
	challenges []string
}

// rtspAddress is a server's host and port.
func rtspAddress(u *url.URL) string {
	port := "554"
	if strings.EqualFold(u.Scheme, "rtsps") {
		port = "322"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func dialRTSP(ctx context.Context, u *url.URL) (*rtspConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", rtspAddress(u))
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(u.Scheme, "rtsps") {
		// FFmpeg does not check certificates either; cameras sign their own.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: u.Hostname()})
	}
	const maxAnswer = 256 << 10
	return &rtspConn{Conn: conn, r: textproto.NewReader(bufio.NewReader(io.LimitReader(conn, maxAnswer)))}, nil
}

// ask sends one request and returns the answer.
func (c *rtspConn) ask(method, uri, authorization string) (rtspAnswer, error) {
	c.asked++
	req := method + " " + uri + " RTSP/1.0\r\nCSeq: " + strconv.Itoa(c.asked) + "\r\nUser-Agent: vedette\r\n"
	if method == "DESCRIBE" {
		req += "Accept: application/sdp\r\n"
	}
	if authorization != "" {
		req += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(c, req+"\r\n"); err != nil {
		return rtspAnswer{}, err
	}
	line, err := c.r.ReadLine()
	if err != nil {
		return rtspAnswer{}, err
	}
	// A server may send data ($), or requests of its own, before it answers.
	if line != "" && line[0] != '$' && !strings.Contains(line, "RTSP/") {
		return rtspAnswer{}, &otherProtocol{line}
	}
	_, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(line, "RTSP/") {
		return rtspAnswer{}, errNotUnderstood
	}
	header, err := c.r.ReadMIMEHeader()
	if err != nil {
		return rtspAnswer{}, errNotUnderstood
	}
	if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 32); err == nil && n > 0 {
		if _, err := io.CopyN(io.Discard, c.r.R, n); err != nil {
			return rtspAnswer{}, errNotUnderstood
		}
	}
	return rtspAnswer{status: status, challenges: header.Values("Www-Authenticate")}, nil
}

// otherProtocol is an answer that no RTSP server gives.
type otherProtocol struct{ line string }

func (*otherProtocol) Error() string { return ErrNotRTSP.Error() }

// notRTSP says who speaks what else. The answer can be anything, binary data and
// what it was asked among it.
func (s Source) notRTSP(u *url.URL, other *otherProtocol) error {
	const most = 60
	line := s.Redact(other.line[:min(len(other.line), stderrRead)])
	if len(other.line) > stderrRead { // its end may be half a secret
		line = line[:max(0, len(line)-s.longestSecret())]
	}
	shown := []rune(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(line, "?")))
	if len(shown) > most {
		shown = append(shown[:most], '…')
	}
	at := rtspAddress(u)
	if shown := s.String(); !strings.Contains(shown, "@"+u.Host) && !strings.Contains(shown, "://"+u.Host) {
		at = mask // it may be half a password
	}
	return s.fail(fmt.Errorf("what answers at %s %w (it said %q)", at, ErrNotRTSP, string(shown)), "check the port")
}

var errNotUnderstood = errors.New("answer not understood")

// judge turns an answer into a refusal, or nil.
func (s Source) judge(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return s.fail(ErrAuth, "")
	case http.StatusNotFound:
		return s.fail(ErrNoStream, "check the path of the URL")
	}
	if status >= http.StatusInternalServerError { // as many do while they start
		return s.fail(ErrUnreachable, fmt.Sprintf("it answers that it cannot serve the stream now (status %d)", status))
	}
	return nil
}

// noAnswer judges an error after the connection was made.
func (s Source) noAnswer(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, errNotUnderstood):
		return nil
	case errors.As(err, &op) && op.Op == "dial":
		return s.unreachable(err)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return s.fail(ErrUnreachable, "it accepts connections but does not answer")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return s.fail(ErrUnreachable, "it closes the connection without an answer")
	}
	return nil
}

func (s Source) unreachable(err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return s.fail(ErrUnreachable, "connection refused")
	case errors.As(err, &dns):
		return s.fail(ErrUnreachable, fmt.Sprintf("the host name %q cannot be resolved", redactor{}.authority(dns.Name)))
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return s.fail(ErrUnreachable, "no answer from the network")
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return s.fail(ErrUnreachable, errno.Error())
	}
	return s.fail(ErrUnreachable, s.Redact(err.Error()))
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
