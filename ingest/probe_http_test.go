package ingest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
)

// A file or a page behind an address is told from a stream, whatever a camera
// calls that.
func TestProbeContent(t *testing.T) {
	t.Parallel()
	const streams = 0 // no length, as of what does not end
	for name, tc := range map[string]struct {
		kind   string
		length int
		want   string // part of the error; "": the stream is left to FFmpeg
	}{
		"picture":                {"image/jpeg", 1000, "not an MJPEG stream: the address gives image/jpeg: download it and give the file"},
		"film":                   {"video/mp4", 1000, "not an MJPEG stream: the address gives video/mp4: download it and give the file"},
		"page":                   {"text/html; charset=utf-8", 1000, "the address gives a page (text/html)"},
		"stream":                 {"multipart/x-mixed-replace; boundary=frame", streams, ""},
		"stream, quoted":         {`multipart/x-mixed-replace;boundary="--my boundary"`, streams, ""},
		"stream without a type":  {"", streams, ""},
		"stream, type of a part": {"image/jpeg", streams, ""},
		"stream, type of a page": {"text/html", streams, ""},
		"stream, odd type":       {"video/x-motion-jpeg", streams, ""},
		"stream, broken type":    {"multipart/x-mixed-replace;boundary=", streams, ""},
		"stream with a length":   {"multipart/x-mixed-replace; boundary=frame", 1_000_000, ""},
		"playlist":               {"application/vnd.apple.mpegurl", 1000, ""},
		"file without a type":    {"", 1000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := httpSource(t, tc.kind, tc.length)
			err := src.probeHTTP(t.Context(), 5*time.Second)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (!errors.Is(err, ErrNotStream) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want … %s", err, tc.want)
			}
		})
	}
}

// httpSource is an address with a login that gives an endless answer, or one of
// a length.
func httpSource(t *testing.T, kind string, length int) Source {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "hidden" {
			w.Header().Set("WWW-Authenticate", `Basic realm="camera"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header()["Content-Type"] = nil // no guess
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		if length > 0 {
			w.Header().Set("Content-Length", strconv.Itoa(length))
		}
		for n := 0; r.Context().Err() == nil && (length == 0 || n < length); n += 1000 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // it fails when the client has gone
		}
	}))
	t.Cleanup(server.Close)
	src, err := ParseSource(strings.Replace(server.URL, "://", "://u:hidden@", 1))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// Who may give up does so at once: a file does not become a stream.
func TestFileBehindAnAddress(t *testing.T) {
	t.Parallel()
	src := httpSource(t, "image/jpeg", 1000)
	tries := 0
	out := stateStub(func(s State) {
		if s.Phase == Connecting || s.Phase == Offline { // before a second attempt it would be offline
			tries++
		}
	})
	c, err := New(Config{ID: "cam", Source: src, MaxAttempts: 3}, Deps{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, ErrNotStream) || strings.Contains(err.Error(), "hidden") || tries != 1 {
		t.Errorf("after %d attempts: %v", tries, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

type stateStub func(State)

func (stateStub) Frame(context.Context, *vedette.Frame, func()) error { return nil }

func (s stateStub) State(_ context.Context, st State) { s(st) }
