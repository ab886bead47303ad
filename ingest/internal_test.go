package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette"
)

func TestSampler(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fps   float64
		step  float64
		first []int
		of100 int
	}{
		{"all", 0, 40, []int{0, 1, 2, 3}, 100},
		{"half", 12.5, 40, []int{0, 2, 4, 6}, 50},
		{"more than there are", 100, 40, []int{0, 1, 2, 3}, 100},
		{"uneven", 10, 40, []int{0, 3, 5, 8}, 40},
		{"slow", 0.5, 40, []int{0, 50}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := sampler{fps: tc.fps}
			var wanted []int
			for i := range 100 {
				if s.wants(float64(i)*tc.step, time.Time{}) {
					wanted = append(wanted, i)
				}
			}
			if len(wanted) != tc.of100 || !slices.Equal(wanted[:len(tc.first)], tc.first) {
				t.Errorf("%d wanted: %v", len(wanted), wanted)
			}
		})
	}
}

// A source without presentation times is thinned by the clock.
func TestSamplerUntimed(t *testing.T) {
	s := sampler{fps: 5}
	now := time.Now()
	n := 0
	for i := range 100 {
		if s.wants(0, now.Add(time.Duration(i)*40*time.Millisecond)) {
			n++
		}
	}
	if n != 20 {
		t.Errorf("%d of 100 frames in 4 s, want 20", n)
	}
}

func TestGapCounter(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps func(i int) float64
		want  uint64
	}{
		{"steady", func(int) float64 { return 40 }, 0},
		{"jittery", func(i int) float64 { return 40 + float64(i%5-2)*8 }, 0},
		{"one hole of 5", func(i int) float64 {
			if i == 50 {
				return 240
			}
			return 40
		}, 5},
		{"every tenth missing", func(i int) float64 {
			if i%10 == 9 {
				return 80
			}
			return 40
		}, 8}, // the first 15 steps teach the usual one
		{"clock jumps", func(i int) float64 {
			switch i {
			case 40:
				return -3.6e6
			case 60:
				return 3.6e6
			}
			return 40
		}, 0},
		{"no times", func(int) float64 { return 0 }, 0},
		{"not a number", func(i int) float64 { var zero float64; return zero / zero }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var g gapCounter
			pts, got := 1000.0, uint64(0)
			for i := range 100 {
				got = g.add(pts)
				pts += tc.steps(i)
			}
			if got != tc.want {
				t.Errorf("%d missing, want %d", got, tc.want)
			}
		})
	}
}

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{}
		start, alive := time.Now(), 0
		tick := func() error { alive++; return nil }
		for i := range 51 {
			if err := p.wait(500+float64(i)*40, tick); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("2 s of video took %v", took)
		}
		if err := p.wait(500+2000+5000, tick); err != nil {
			t.Fatal(err)
		}
		if alive < 10 {
			t.Errorf("a pause of 5 s gave %d signs of life", alive)
		}
		boom := errors.New("boom")
		if err := p.wait(60_000, func() error { return boom }); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
}

// The examples of RFC 7616 (3.9.1) and RFC 2069.
func TestDigest(t *testing.T) {
	for _, tc := range []struct {
		name, challenge, method, uri, user, password, want string
	}{
		{"no qop", `Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"GET", "/dir/index.html", "Mufasa", "CircleOfLife", `response="1949323746fe6a43ef61f9606e7febea"`},
		{"basic", `Basic realm="WallyWorld"`, "GET", "/", "Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
	} {
		got, ok := authorize([]string{tc.challenge}, tc.method, tc.uri, tc.user, tc.password)
		if !ok || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
	got, ok := authorize([]string{`Digest realm="x", nonce="y", algorithm=SHA-256, qop="auth-int,auth"`}, "GET", "/", "u", "p")
	if !ok || !strings.Contains(got, "qop=auth, nc=00000001") || !strings.Contains(got, "algorithm=SHA-256") {
		t.Errorf("qop: %s", got)
	}
	for _, c := range []string{`Digest realm="x", nonce="y", algorithm=SHA-512-256`, `Digest realm="x", nonce="y", qop="auth-int"`, "Negotiate", ""} {
		if got, ok := authorize([]string{c}, "GET", "/", "u", "p"); ok {
			t.Errorf("%q was answered with %s", c, got)
		}
	}
}

func FuzzParameters(f *testing.F) {
	f.Add(`realm="a,b", nonce=xyz, qop="auth"`)
	f.Add(`="`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range parameters(s) {
			if strings.ContainsAny(v, "\r\n\"") && strings.ContainsAny(v, "\r\n") {
				t.Errorf("value %q breaks a header", v)
			}
		}
		authorize([]string{"Digest " + s}, "GET", "/", "u", "p")
	})
}

// What reaches the child's environment is a short list.
func TestChildEnviron(t *testing.T) {
	c := &Camera{}
	env := c.childEnviron([]string{"GATE_PASSWORD=geheim", "PATH=/bin", "OPENCV_LOG_LEVEL=INFO", "LC_ALL=C", "AWS_SECRET=x", "PATHX=y", "GST_DEBUG=3"})
	want := []string{childEnv + "=" + childRole, "OPENCV_LOG_LEVEL=SILENT", "OPENCV_FFMPEG_LOGLEVEL=-8", "PATH=/bin", "OPENCV_LOG_LEVEL=INFO", "LC_ALL=C", "GST_DEBUG=3"}
	if !slices.Equal(env, want) {
		t.Errorf("got  %v\nwant %v", env, want)
	}
}

func TestCaptureOptions(t *testing.T) {
	for _, tc := range []struct {
		job   job
		codec string
		want  string
	}{
		{job{Kind: File}, "", ""},
		{job{Kind: File}, "h264_cuvid", "video_codec;h264_cuvid"},
		{job{Kind: RTSP, Transport: "tcp", Stall: 2 * time.Second}, "", "rtsp_transport;tcp|timeout;2000000|fflags;nobuffer|flags;low_delay|analyzeduration;500000|probesize;500000"},
		{job{Kind: RTSP, Transport: "udp", Every: true, Patient: true, Stall: time.Second}, "", "rtsp_transport;udp|timeout;1000000|flags;low_delay"},
		{job{Kind: HTTP, Patient: true, Stall: time.Second}, "", "timeout;1000000|fflags;nobuffer|flags;low_delay"},
	} {
		if got := captureOptions(&tc.job, tc.codec); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.job, got, tc.want)
		}
	}
}

// An epoch is ended though the context is gone.
func TestFarewellAfterCancel(t *testing.T) {
	var ended string
	c := &Camera{deps: Deps{Output: outputStub(func(ctx context.Context, reason string) error {
		ended = reason
		return ctx.Err()
	})}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.endEpoch(ctx, "lost"); err != nil || ended != "stopped" {
		t.Errorf("%v, %q", err, ended)
	}
}

type outputStub func(ctx context.Context, reason string) error

func (o outputStub) Frame(ctx context.Context, f *vedette.Frame, _ func()) error {
	return o(ctx, f.Reason)
}

func (o outputStub) State(context.Context, State) {}
