package ingest

import (
	"context"
	"crypto/tls"
	"mime"
	"net/http"
	"strings"
	"time"
)

// probeHTTP asks for the stream; its header is the answer.
func (s Source) probeHTTP(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // as FFmpeg
	defer transport.CloseIdleConnections()
	answer, err := s.get(ctx, transport, "")
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		if answer.Request.URL.User == nil {
			return s.fail(ErrAuth, "it asks for both, and the URL has none")
		}
		login, ok := s.login(answer)
		if !ok {
			return nil
		}
		answer, err = s.get(ctx, transport, login)
	}
	if err != nil {
		return s.noAnswer(err)
	}
	if answer.StatusCode == http.StatusOK {
		return s.judgeContent(answer)
	}
	return s.judge(answer.StatusCode)
}

// login is the Authorization that a refusal asks for; ok is false if it asks
// for what is unknown here.
func (s Source) login(refusal *http.Response) (text string, ok bool) {
	u := refusal.Request.URL
	password, _ := u.User.Password()
	return authorize(refusal.Header.Values("Www-Authenticate"), http.MethodGet, u.RequestURI(), u.User.Username(), password)
}

// get asks for the stream and closes the answer's body.
func (s Source) get(ctx context.Context, rt http.RoundTripper, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.location, nil)
	if err != nil {
		return nil, errNotUnderstood
	}
	req.Header.Set("User-Agent", "vedette")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// judgeContent refuses what is a file or a page, of a known type and length. A
// stream has no length, whatever its type: there are cameras that call theirs
// image/jpeg, and servers that call it text or nothing. A playlist, which has
// one, leads to a stream.
func (s Source) judgeContent(answer *http.Response) error {
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	const longest = 60
	if err != nil || answer.ContentLength <= 0 || len(kind) > longest || strings.Contains(kind, "mpegurl") {
		return nil
	}
	switch {
	case strings.HasPrefix(kind, "image/"), strings.HasPrefix(kind, "video/"):
		return s.fail(ErrNotStream, "the address gives "+kind+": download it and give the file")
	case kind == "text/html":
		return s.fail(ErrNotStream, "the address gives a page ("+kind+"): give that of the stream itself")
	}
	return nil
}
