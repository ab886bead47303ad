// Package camtest starts test cameras for the length of a test. It is apart
// from testcam so that a program which uses cameras for a benchmark does not
// link package testing.
package camtest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// RTSP starts a camera that ends with the test.
func RTSP(t testing.TB, opts testcam.Options) *testcam.Camera {
	t.Helper()
	needFFmpeg(t)
	c, err := testcam.New(opts)
	if err != nil {
		t.Fatalf("test camera: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// MJPEG starts a camera that ends with the test.
func MJPEG(t testing.TB, opts testcam.MJPEGOptions) *testcam.MJPEG {
	t.Helper()
	m, err := testcam.NewMJPEG(opts)
	if err != nil {
		t.Fatalf("test camera: %v", err)
	}
	t.Cleanup(m.Close)
	return m
}

// Script starts a server that ends with the test.
func Script(t testing.TB, answer func(testcam.Request) string) *testcam.Script {
	t.Helper()
	s, err := testcam.NewScript(answer)
	if err != nil {
		t.Fatalf("test camera: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Clip encodes a video.
func Clip(t testing.TB, s clip.Spec) *clip.Clip {
	t.Helper()
	needFFmpeg(t)
	c, err := clip.Encode(t.Context(), s)
	if err != nil {
		t.Fatalf("encode a clip: %v", err)
	}
	return c
}

// File encodes a video into a file that goes with the test, and returns its
// path. It has no sound.
func File(t testing.TB, s clip.Spec) string {
	t.Helper()
	needFFmpeg(t)
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := clip.WriteFile(t.Context(), path, s); err != nil {
		t.Fatalf("encode a clip: %v", err)
	}
	return path
}

func needFFmpeg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("test cameras need the ffmpeg command (package ffmpeg)")
	}
}
