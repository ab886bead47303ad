//go:build cv

package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// busy is what a loaded machine may add to the times that the log has: they are
// measured here and judged where nothing else runs.
const busy = 5 * time.Second

// onlyToProbes answers what asks whether the camera is there, and never the
// process that would capture it.
func onlyToProbes(r testcam.Request) string {
	if strings.HasPrefix(r.Agent, "vedette") {
		return "200 OK"
	}
	return ""
}

// A camera that accepts and never answers is told of within 3 s.
func TestNoAnswerIsNoticed(t *testing.T) {
	t.Parallel()
	hole, err := testcam.NewBlackHole()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hole.Close)
	late := camtest.Script(t, onlyToProbes)
	half := camtest.Script(t, func(r testcam.Request) string { // and then the stream is never described
		if r.Method == "OPTIONS" || strings.HasPrefix(r.Agent, "vedette") {
			return "200 OK\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY"
		}
		return ""
	})
	for name, tc := range map[string]struct{ source, reason string }{
		"rtsp":                  {"rtsp://" + hole.Addr() + "/s", "accepts connections but does not answer"},
		"rtsps":                 {"rtsps://" + hole.Addr() + "/s", "accepts connections but does not answer"},
		"http":                  {"http://" + hole.Addr() + "/s", "accepts connections but does not answer"},
		"https":                 {"https://" + hole.Addr() + "/s", "accepts connections but does not answer"},
		"rtsp, after the probe": {"rtsp://" + late.Addr() + "/s", "stopped answering"},
		"http, after the probe": {"http://" + late.Addr() + "/s", "stopped answering"},
		"after OPTIONS":         {"rtsp://" + half.Addr() + "/s", "stopped answering"},
		"udp":                   {"rtsp://" + half.Addr() + "/s", "stopped answering"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := ingest.Config{Source: source(t, tc.source)}
			if name == "udp" {
				cfg.Transport = "udp"
			}
			c := newCamera(t, cfg)
			began := time.Now()
			c.start()
			c.await("offline", func() bool { return c.lastPhase() == ingest.Offline })
			took := time.Since(began)
			_ = c.stop()
			t.Logf("noticed after %v (budget 3 s)", took)
			if took > 3*time.Second+busy {
				t.Errorf("noticed after %v", took)
			}
			if reason := c.states[1].Reason; !strings.Contains(reason, tc.reason) {
				t.Errorf("the reason is %q, want … %q", reason, tc.reason)
			}
		})
	}
}

// What happens to a camera that is shown is noticed within 3 s, and it is back
// within 2 s and one key-frame interval (half a second here).
func TestFaultsAreNoticedAndOver(t *testing.T) {
	t.Parallel()
	kill := func(c *testcam.Camera) error { c.Kill(); return nil }
	freeze := func(c *testcam.Camera) error { c.Freeze(); return nil }
	resume := func(c *testcam.Camera) error { c.Resume(); return nil }
	mute, restart := (*testcam.Camera).NeverAnswer, (*testcam.Camera).Restart
	for name, tc := range map[string]struct {
		spoil, heal func(*testcam.Camera) error
		reason      string
		opts        testcam.Options
		transport   string
	}{
		"tcp killed":   {kill, restart, "refused", testcam.Options{}, "tcp"},
		"tcp frozen":   {freeze, resume, "nothing came in time", testcam.Options{User: "viewer", Password: "p@ss"}, "tcp"},
		"tcp silent":   {mute, restart, "does not answer", testcam.Options{}, "tcp"},
		"udp killed":   {kill, restart, "refused", testcam.Options{}, "udp"},
		"udp frozen":   {freeze, resume, "nothing came in time", testcam.Options{}, "udp"},
		"rtsps frozen": {freeze, resume, "nothing came in time", testcam.Options{TLS: true}, "tcp"},
		"rtsps silent": {mute, restart, "does not answer", testcam.Options{TLS: true}, "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := rtsp(t, tc.opts)
			c := newCamera(t, ingest.Config{Source: source(t, cam.URL()), Transport: tc.transport})
			c.start()
			defer func() { _ = c.stop() }()
			c.await("pictures", func() bool { return len(c.frames) > 5 })
			began := time.Now()
			if err := tc.spoil(cam); err != nil {
				t.Fatal(err)
			}
			c.await("offline", func() bool { return c.lastPhase() == ingest.Offline })
			noticed := time.Since(began)
			c.await("the reason", func() bool { return strings.Contains(c.states[len(c.states)-1].Reason, tc.reason) })
			began = time.Now()
			if err := tc.heal(cam); err != nil {
				t.Fatal(err)
			}
			c.await("online", func() bool { return c.lastPhase() == ingest.Online })
			back := time.Since(began)
			t.Logf("noticed after %v (budget 3 s), back after %v (budget 2 s and 0.5 s to a key frame)", noticed, back)
			if noticed > 3*time.Second+busy || back > 2500*time.Millisecond+busy {
				t.Errorf("noticed after %v, back after %v", noticed, back)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.checkEpochs(2)
		})
	}
}

// A camera that shows nothing for long is back as soon as one that did so for
// a moment, whatever is being tried when it resumes.
func TestLongFreeze(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, 2500, 5000, 7500} {
		later *= time.Millisecond
		t.Run(later.String(), func(t *testing.T) {
			t.Parallel()
			cam := rtsp(t, testcam.Options{})
			c := newCamera(t, ingest.Config{Source: source(t, cam.URL())})
			c.start()
			defer func() { _ = c.stop() }()
			c.await("pictures", func() bool { return len(c.frames) > 5 })
			cam.Freeze()
			// The second child finds nothing; the camera stays offline meanwhile.
			c.await("a vain attempt", func() bool { return len(c.cmds) >= 3 })
			time.Sleep(later)
			cam.Resume()
			began := time.Now()
			c.await("online", func() bool { return c.lastPhase() == ingest.Online })
			back := time.Since(began)
			t.Logf("back after %v (budget 2 s and 0.5 s to a key frame)", back)
			if back > 2500*time.Millisecond+busy {
				t.Errorf("back after %v", back)
			}
		})
	}
}

// Some cameras send a key frame every ten seconds only. The first picture is
// waited for in one go.
func TestSlowKeyFrames(t *testing.T) {
	t.Parallel()
	video := camtest.Clip(t, clip.Spec{Width: 320, Height: 180, FPS: testFPS, Frames: 60 * testFPS, GOP: 8 * testFPS})
	cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: video}})
	for began := time.Now(); cam.Stats().Units < 10; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the camera does not send")
		}
	}
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL()), Silence: 20 * time.Second})
	began := time.Now()
	c.start()
	c.await("pictures", func() bool { return len(c.frames) > 5 })
	t.Logf("first picture after %v", time.Since(began))
	_ = c.stop()
	if phases := c.phases(); phases != "connecting() online() " {
		t.Errorf("phases: %s", phases)
	}
}

// Where there is one attempt only, a camera gets the whole time to answer.
func TestSlowCameraAtTheOnlyAttempt(t *testing.T) {
	t.Parallel()
	cam := camtest.Script(t, func(r testcam.Request) string {
		if !strings.HasPrefix(r.Agent, "vedette") {
			time.Sleep(3 * time.Second)
		}
		return "200 OK\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY"
	})
	c := newCamera(t, ingest.Config{MaxAttempts: 1, Source: source(t, "rtsp://"+cam.Addr()+"/live")})
	if err := c.run(); err == nil || strings.Contains(err.Error(), "stopped answering") {
		t.Errorf("got %v", err) // its answers make no stream
	}
	described := 0
	for _, r := range cam.Asked() {
		if r.Method == "DESCRIBE" && onlyToProbes(r) == "" {
			described++
		}
	}
	if described == 0 {
		t.Error("the camera was given up before it had answered the first question")
	}
}
