package testcam_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

func startMJPEG(t *testing.T, opts testcam.MJPEGOptions) *testcam.MJPEG {
	t.Helper()
	opts.Spec = clip.Spec{Width: width, Height: height, FPS: fps, Paint: clip.Numbered(5)}
	return camtest.MJPEG(t, opts)
}

// rising checks that no frame came twice or out of order; a slow reader may
// miss some.
func rising(t *testing.T, frames []frame) {
	t.Helper()
	for i, f := range frames {
		if f.number < 0 || i > 0 && f.number <= frames[i-1].number {
			t.Fatalf("frame %d has the number %d", i, f.number)
		}
	}
}

func TestMJPEG(t *testing.T) {
	t.Parallel()
	m := startMJPEG(t, testcam.MJPEGOptions{Quality: 30, User: "u", Password: "secret"})
	rising(t, read(t, m.URL(), "-rw_timeout", "5000000").take(t, 20))
	r := read(t, strings.Replace(m.URL(), "secret", "guess", 1))
	if frames := r.end(t); len(frames) != 0 || !strings.Contains(r.stderr.String(), "401") {
		t.Errorf("wrong password: %d frames: %s", len(frames), r.stderr.String())
	}
}

func TestMJPEGFaults(t *testing.T) {
	t.Parallel()
	m := startMJPEG(t, testcam.MJPEGOptions{})
	r := read(t, m.URL())
	r.take(t, 5)

	m.Freeze()
	r.silent(t, time.Second)
	m.Resume()
	rising(t, r.take(t, 5))

	last := r.take(t, 1)[0].number
	m.Garbage(5)
	r.until(t, "a hole", func(f frame) bool {
		hole := f.number != last+1
		last = f.number
		return hole
	})
	rising(t, r.take(t, 10))

	m.Kill()
	r.end(t)
	if err := m.NeverAnswer(); err != nil {
		t.Fatal(err)
	}
	if frames := read(t, m.URL(), "-rw_timeout", "1000000").end(t); len(frames) != 0 {
		t.Errorf("%d frames from a camera that never answers", len(frames))
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	rising(t, read(t, m.URL()).take(t, 5))
	m.Close()
	m.Close()
	if m.Restart() == nil {
		t.Error("a closed camera can be restarted")
	}
}
