package ingest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/proc"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
)

// Any answer to OPTIONS is a sign of life; what is refused is the stream, and
// only clearly.
func TestProbeOddAnswers(t *testing.T) {
	t.Parallel()
	const ok = "200 OK\nPublic: OPTIONS, DESCRIBE"
	for name, tc := range map[string]struct {
		options, describe string
		err               error
	}{
		"usual":                      {ok, "200 OK", nil},
		"OPTIONS needs a login":      {"401 Unauthorized\nWWW-Authenticate: Basic realm=\"x\"", "200 OK", nil},
		"OPTIONS is not allowed":     {"405 Method Not Allowed", "200 OK", nil},
		"OPTIONS is not implemented": {"501 Not Implemented", "200 OK", nil},
		"OPTIONS needs a session":    {"454 Session Not Found", "200 OK", nil},
		"OPTIONS makes no sense":     {"what?", "200 OK", nil},
		"hangs up on OPTIONS":        {testcam.HangUp, "200 OK", ErrUnreachable},
		"silent":                     {"", "", ErrUnreachable},
		"thinks about the stream":    {ok, "", nil},
		"hangs up on DESCRIBE":       {ok, testcam.HangUp, nil},
		"no such stream":             {ok, "404 Not Found", ErrNoStream},
		"forbidden":                  {ok, "403 Forbidden", ErrAuth},
		"needs a login":              {ok, "401 Unauthorized\nWWW-Authenticate: Basic realm=\"x\"", ErrAuth},
		"unknown kind of login":      {ok, "401 Unauthorized\nWWW-Authenticate: Magic", nil},
		"starts":                     {ok, "503 Service Unavailable", ErrUnreachable},
		"odd status":                 {ok, "461 Unsupported Transport", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := camtest.Script(t, func(r testcam.Request) string {
				if r.Method == "OPTIONS" {
					return tc.options
				}
				return tc.describe
			})
			src, err := ParseSource("rtsp://u:p@" + cam.Addr() + "/live")
			if err != nil {
				t.Fatal(err)
			}
			limit := 10 * time.Second
			if tc.describe == "" || tc.options == "" { // it says nothing
				limit = 300 * time.Millisecond
			}
			began := time.Now()
			err = src.probeRTSP(t.Context(), limit)
			if !errors.Is(err, tc.err) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
			t.Logf("%v after %v", err, time.Since(began))
			for _, r := range cam.Asked() {
				if r.Method != "OPTIONS" && r.Method != "DESCRIBE" {
					t.Errorf("asked %s: a probe starts nothing", r.Method)
				}
			}
		})
	}
}

// A probe ends with its context, whatever it waits for.
func TestProbeIsCancelled(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"rtsp", "rtsps", "http", "https"} {
		for _, silent := range []string{"OPTIONS", "DESCRIBE"} {
			cam := camtest.Script(t, func(r testcam.Request) string {
				if r.Method == silent || strings.HasPrefix(scheme, "http") {
					return ""
				}
				return "200 OK"
			})
			src, err := ParseSource(scheme + "://" + cam.Addr() + "/live")
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(Config{ID: "cam", Source: src}, Deps{Output: outputStub(nil)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			began := time.Now()
			_ = c.probe(ctx, time.Minute)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, silent at %s: the probe went on for %v", scheme, silent, took)
			}
		}
	}
}

// A camera behind a slow network is waited for beside the quick questions that
// it does not answer in time.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	cam := camtest.Script(t, func(testcam.Request) string {
		time.Sleep(1500 * time.Millisecond)
		return "200 OK"
	})
	src, err := ParseSource("rtsp://" + cam.Addr() + "/live")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{ID: "cam", Source: src}, Deps{Output: outputStub(nil)})
	if err != nil {
		t.Fatal(err)
	}
	c.launcher = proc.NewLauncher()
	defer c.launcher.Close()
	defer c.dismiss()
	began := time.Now()
	asked, err := c.await(t.Context(), &backoff.Backoff{}, src.fail(ErrUnreachable, ""), began)
	if err != nil || !asked {
		t.Fatal(asked, err)
	}
	t.Logf("a camera that takes 1.5 s to answer was heard after %v", time.Since(began))
}
