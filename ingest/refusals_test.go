package ingest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
)

// says starts a server that answers whatever it is asked with a text, and hangs
// up.
func says(t *testing.T, text string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// What fails here the client sees.
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// What does not speak RTSP is named, by a bounded line without secrets; what a
// server may say before it answers is left to FFmpeg.
func TestAnotherProtocol(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, said string }{
		"HTTP":             {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", `"HTTP/1.1 400 Bad Request"`},
		"SSH":              {"SSH-2.0-OpenSSH_9.2\r\n", `"SSH-2.0-OpenSSH_9.2"`},
		"binary":           {"\x15\x03\x01\x00\x02\x02\xffF", `"???????F"`},
		"no end":           {"220 mail", `"220 mail"`},
		"what was asked":   {"400 no rtsp://u:hidden@h/geheim/s?token=verborgen here\r\n", `"400 no rtsp://***@h/***/s?token=*** here"`},
		"long":             {strings.Repeat("é", 100) + "\r\n", `"` + strings.Repeat("é", 60) + `…"`},
		"very long":        {strings.Repeat("x", 100<<10) + "\r\n", `"` + strings.Repeat("x", 60) + `…"`},
		"a server's own":   {"OPTIONS * RTSP/1.0\r\n\r\n", ""},
		"interleaved data": {"$\x00\x00\x01x\r\n", ""},
		"nothing to see":   {"\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := says(t, tc.text)
			src, err := ParseSource("rtsp://u:hidden@" + addr + "/geheim/s?token=verborgen")
			if err != nil {
				t.Fatal(err)
			}
			err = src.probeRTSP(t.Context(), 20*time.Second)
			if tc.said == "" {
				if errors.Is(err, ErrNotRTSP) {
					t.Error(err)
				}
				return
			}
			want := "rtsp://***@" + addr + "/***/s?token=***: what answers at " + addr + " does not speak RTSP (it said " + tc.said + "): check the port"
			if !errors.Is(err, ErrNotRTSP) || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// attempts is a camera whose pauses take no time, and are noted until there are
// enough of them.
func attempts(t *testing.T, cfg Config, command string, pauses int) (slept []time.Duration, states []State, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := New(cfg, Deps{Output: stateStub(func(s State) { states = append(states, s) }),
		Command: func() *exec.Cmd { return exec.Command("sh", "-c", command) }})
	if err != nil {
		t.Fatal(err)
	}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		if slept = append(slept, d); len(slept) == pauses {
			cancel()
		}
		return ctx.Err()
	}
	err = c.Run(ctx)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return slept, states, err
}

// oneFault checks that a camera that never came was told of once, and is away
// since the start.
func oneFault(t *testing.T, states []State, want error) {
	t.Helper()
	if len(states) != 2 || states[0].Phase != Connecting || states[1].Phase != Offline || !errors.Is(states[1].Err, want) {
		t.Fatalf("states %+v", states)
	}
	if !states[1].Since.Equal(states[0].Since) {
		t.Errorf("away since %v, and started at %v", states[1].Since, states[0].Since)
	}
}

// A camera that answers, with nothing that FFmpeg can open, is told of once and
// tried less and less often.
func TestNotOpened(t *testing.T) {
	t.Parallel()
	cam := camtest.Script(t, func(testcam.Request) string { return "400 Bad Request" })
	src, err := ParseSource("rtsp://" + cam.Addr() + "/live")
	if err != nil {
		t.Fatal(err)
	}
	const pauses = 10
	fails := `read job; echo '{"t":"fail","code":"open","text":"it cannot be opened","ms":20}' >&3`
	slept, states, err := attempts(t, Config{ID: "cam", Source: src}, fails, pauses)
	if !errors.Is(err, context.Canceled) || len(slept) != pauses {
		t.Fatal(err, slept)
	}
	oneFault(t, states, ErrNotOpened)
	want := defaultMinBackoff
	for i, got := range slept {
		if got < want/2 || got > want {
			t.Errorf("pause %d is %v, want %v to %v", i, got, want/2, want)
		}
		want = min(2*want, defaultMaxBackoff)
	}
}

// A server of something else is asked cheaply until it is gone, and told of once.
func TestNotRTSP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	src, err := ParseSource("rtsp://u:hidden@" + server.Listener.Addr().String() + "/live")
	if err != nil {
		t.Fatal(err)
	}
	const pauses = 10
	slept, states, err := attempts(t, Config{ID: "cam", Source: src}, "cat", pauses)
	if !errors.Is(err, context.Canceled) || len(slept) != pauses {
		t.Fatal(err, slept)
	}
	oneFault(t, states, ErrNotRTSP)
	// Who may give up does so at once.
	slept, states, err = attempts(t, Config{ID: "cam", Source: src, MaxAttempts: 3}, "cat", pauses)
	if !errors.Is(err, ErrNotRTSP) || len(slept) > 0 {
		t.Error(err, slept, states)
	}
}
