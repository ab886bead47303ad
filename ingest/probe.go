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

// A probe asks a camera whether it would serve its stream, at the cost of one
// request and without a process. It is how a lost camera is noticed to be back
// within a second, also after hours, and how a wrong password is told from a
// dead camera, which OpenCV does not.
//
// Only a clear refusal counts. What a probe does not understand it leaves to
// FFmpeg.

// probeTimeout is for the first question, quickProbe for those while a camera
// is away, of which every fourth takes its time, for slow networks.
const (
	probeTimeout = 4 * time.Second
	quickProbe   = time.Second
)

func (c *Camera) probe(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch c.cfg.Source.kind {
	case RTSP:
		return c.cfg.Source.probeRTSP(ctx)
	case HTTP:
		return c.cfg.Source.probeHTTP(ctx)
	case Device:
		return c.cfg.Source.findDevice()
	}
	return nil
}

func (s Source) probeRTSP(ctx context.Context) error {
	u, err := url.Parse(s.location)
	if err != nil {
		return s.fail(ErrBadSource, "not a valid URL")
	}
	port := "554"
	if u.Scheme == "rtsps" {
		port = "322"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return s.unreachable(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if u.Scheme == "rtsps" {
		// FFmpeg does not check certificates either; cameras sign their own.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: u.Hostname()})
	}
	user := u.User
	bare := *u
	bare.User = nil
	status, challenges, err := describe(conn, 1, bare.String(), "")
	if err == nil && status == http.StatusUnauthorized {
		if user == nil {
			return s.fail(ErrAuth, "it asks for both, and the URL has none")
		}
		password, _ := user.Password()
		answer, ok := authorize(challenges, "DESCRIBE", bare.String(), user.Username(), password)
		if !ok {
			return nil
		}
		status, _, err = describe(conn, 2, bare.String(), answer)
	}
	if err != nil {
		return s.noAnswer(err)
	}
	return s.judge(status)
}

// describe sends one request and returns the answer's status and challenges.
func describe(conn net.Conn, seq int, uri, authorization string) (int, []string, error) {
	req := "DESCRIBE " + uri + " RTSP/1.0\r\nCSeq: " + strconv.Itoa(seq) + "\r\nAccept: application/sdp\r\nUser-Agent: vedette\r\n"
	if authorization != "" {
		req += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(conn, req+"\r\n"); err != nil {
		return 0, nil, err
	}
	const maxHeader = 64 << 10
	r := textproto.NewReader(bufio.NewReader(io.LimitReader(conn, maxHeader)))
	line, err := r.ReadLine()
	if err != nil {
		return 0, nil, err
	}
	_, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(line, "RTSP/") {
		return 0, nil, errNotUnderstood
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return 0, nil, errNotUnderstood
	}
	return status, header.Values("Www-Authenticate"), nil
}

var errNotUnderstood = errors.New("answer not understood")

func (s Source) probeHTTP(ctx context.Context) error {
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // as FFmpeg
	defer transport.CloseIdleConnections()
	status, challenges, u, err := s.get(ctx, transport, "")
	if err == nil && status == http.StatusUnauthorized {
		if u.User == nil {
			return s.fail(ErrAuth, "it asks for both, and the URL has none")
		}
		password, _ := u.User.Password()
		answer, ok := authorize(challenges, http.MethodGet, u.RequestURI(), u.User.Username(), password)
		if !ok {
			return nil
		}
		status, _, _, err = s.get(ctx, transport, answer)
	}
	if err != nil {
		return s.noAnswer(err)
	}
	return s.judge(status)
}

func (s Source) get(ctx context.Context, rt http.RoundTripper, authorization string) (int, []string, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.location, nil)
	if err != nil {
		return 0, nil, nil, errNotUnderstood
	}
	req.Header.Set("User-Agent", "vedette")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	return resp.StatusCode, resp.Header.Values("Www-Authenticate"), req.URL, resp.Body.Close()
}

// judge turns an answer into a refusal, or nil.
func (s Source) judge(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return s.fail(ErrAuth, "")
	case http.StatusNotFound:
		return s.fail(ErrNoStream, "check the path of the URL")
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
