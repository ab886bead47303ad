//go:build cv

package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
)

// talkative starts a capture child in which OpenCV and FFmpeg print all they
// can, into a file: the log would leave most of it out.
func talkative(t *testing.T, file string) func(int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(int) *exec.Cmd {
		return exec.Command("sh", "-c", `OPENCV_LOG_LEVEL=VERBOSE OPENCV_FFMPEG_DEBUG=1 OPENCV_FFMPEG_LOGLEVEL=56 OPENCV_VIDEOIO_DEBUG=1 exec "$0" >>"$1" 2>&1`, self, file)
	}
}

// everything is what can be seen of a camera from outside.
func (c *camera) everything() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, s := range c.states {
		fmt.Fprintf(&b, "%+v %v\n", s, s.Err)
	}
	for _, f := range c.frames {
		fmt.Fprintf(&b, "%+v\n", f)
	}
	return b.String() + c.log.String()
}

// addressed is a camera's address with secrets at every place.
func addressed(cam *testcam.Camera, password string) string {
	return cam.URLFor("V13wer", password) + "?channel=1&key=Qu3ry-S3cret&B4reSecret"
}

// secrets are those of addressed.
func secrets(password string) []string {
	return []string{"V13wer", password, "P4th-S3cret", "Qu3ry-S3cret", "B4reSecret"}
}

func noSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s shows in %s: …%s…", secret, where, text[max(0, at-80):min(len(text), at+80)])
		}
	}
}

// What a camera's address has in user part, path and query shows nowhere,
// however much the libraries say.
func TestRTSPSecrets(t *testing.T) {
	t.Parallel()
	const right, wrong = "s3cr3t-Pa55", "wr0ng-Pa55"
	cam := rtsp(t, testcam.Options{User: "V13wer", Password: right, Path: "/live/P4th-S3cret/ch1"})
	t.Run("right", func(t *testing.T) {
		c := newCamera(t, ingest.Config{Source: source(t, addressed(cam, right))})
		said := filepath.Join(t.TempDir(), "said")
		c.command = talkative(t, said)
		c.start()
		c.await("pictures", func() bool { return len(c.frames) > 3 })
		c.mu.Lock()
		pid := c.child()
		c.mu.Unlock()
		for _, file := range []string{"cmdline", "environ", "comm"} {
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
			if err != nil || len(b) == 0 {
				t.Fatal(file, err)
			}
			noSecret(t, file, string(b), secrets(right)...)
		}
		_ = syscall.Kill(pid, syscall.SIGABRT)
		c.await("a crash", func() bool {
			return slices.ContainsFunc(c.states, func(s ingest.State) bool { return s.Phase == ingest.Offline })
		})
		cam.Kill()
		c.await("the camera's death", func() bool { return strings.Contains(c.states[len(c.states)-1].Reason, "refused") })
		_ = c.stop()
		if err := cam.Restart(); err != nil {
			t.Fatal(err)
		}
		noSecret(t, "what is seen", c.everything(), secrets(right)...)
		raw, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets(right)[2:] { // FFmpeg itself leaves out the user part
			if !strings.Contains(string(raw), secret) {
				t.Errorf("the libraries did not print %s: the test sees nothing", secret)
			}
		}
		src, lines := source(t, addressed(cam, right)), 0
		for line := range strings.Lines(string(raw)) {
			lines++
			noSecret(t, "a line of the libraries", src.Redact(line), secrets(right)...)
		}
		t.Logf("%d lines of OpenCV and FFmpeg looked at", lines)
	})
	t.Run("wrong", func(t *testing.T) {
		c := newCamera(t, ingest.Config{MaxAttempts: 1, Source: source(t, addressed(cam, wrong))})
		err := c.run()
		if !errors.Is(err, ingest.ErrAuth) {
			t.Fatalf("got %v, want ErrAuth", err)
		}
		noSecret(t, "error, log and states", fmt.Sprintf("%v %+v", err, err)+c.everything(), secrets(wrong)...)
	})
	t.Run("another path", func(t *testing.T) {
		c := newCamera(t, ingest.Config{MaxAttempts: 1, Source: source(t, strings.Replace(addressed(cam, right), "ch1", "ch2", 1))})
		err := c.run()
		if !errors.Is(err, ingest.ErrNoStream) {
			t.Fatalf("got %v, want ErrNoStream", err)
		}
		noSecret(t, "error, log and states", fmt.Sprintf("%v %+v", err, err)+c.everything(), secrets(right)...)
	})
	t.Run("none", func(t *testing.T) {
		c := newCamera(t, ingest.Config{MaxAttempts: 1, Source: source(t, cam.URLFor("", ""))})
		if err := c.run(); !errors.Is(err, ingest.ErrAuth) || !strings.Contains(err.Error(), "the URL has none") {
			t.Errorf("got %v", err)
		}
	})
}
