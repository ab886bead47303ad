//go:build cv && matprofile

package cv_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// changing writes a stream that changes its resolution after 5 frames and back
// after 5 more, as it comes from a camera.
func changing(t *testing.T) string {
	t.Helper()
	var stream bytes.Buffer
	for _, width := range []int{160, 320, 160} {
		for _, unit := range camtest.Clip(t, clip.Spec{Width: width, Height: 96, FPS: 25, Frames: 5, GOP: 5}).Units {
			for _, nalu := range unit {
				stream.WriteString("\x00\x00\x00\x01")
				stream.Write(nalu)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "changing.h264")
	if err := os.WriteFile(path, stream.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNoMatStaysOpenInCapture takes a capture through its life, also into its
// errors, and counts the Mats left open at each end. It is built with the tag
// matprofile.
func TestNoMatStaysOpenInCapture(t *testing.T) {
	path := changing(t)
	text := filepath.Join(t.TempDir(), "notes.mp4")
	if err := os.WriteFile(text, []byte("this is no video\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := cv.OpenMats()
	most := before
	open := func() *cv.Capture {
		c, err := cv.OpenCapture(path, cv.CaptureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	small, large := make([]byte, 160*96*3), make([]byte, 320*96*3)
	for name, life := range map[string]func(){
		"never read": func() { _ = open().Close() },
		"cannot be opened": func() {
			if _, err := cv.OpenCapture(text, cv.CaptureOptions{}); !errors.Is(err, cv.ErrNotOpened) {
				t.Errorf("text: %v", err)
			}
		},
		"retrieve before grab": func() {
			c := open()
			_, _ = c.Retrieve(large)
			_ = c.Close()
		},
		"to the end, with room":             func() { readAll(t, open(), large, &most) },
		"to the end, and the pictures grow": func() { readAll(t, open(), small, &most) },
		"to the end, without room":          func() { readAll(t, open(), nil, &most) },
		"closed in mid-stream, holding a picture": func() {
			c := open()
			if err := c.Grab(); err != nil {
				t.Error(err)
			}
			if _, err := c.Retrieve(nil); !errors.Is(err, cv.ErrTooSmall) {
				t.Errorf("no memory: %v", err)
			}
			_ = c.Close()
			_ = c.Close() // again
		},
		"no picture": func() {
			if _, err := cv.ReadPicture(text); err == nil {
				t.Error("a text was read as a picture")
			}
		},
	} {
		for range 3 {
			life()
			if after := cv.OpenMats(); after != before {
				t.Fatalf("%s: %d Mats stayed open", name, after-before)
			}
		}
	}
	t.Logf("%d Mats open at most, %d at the end", most-before, cv.OpenMats()-before)
	if most == before {
		t.Error("no Mat was ever open: the count counts nothing")
	}
}

// readAll reads to the end and beyond, and closes.
func readAll(t *testing.T, c *cv.Capture, mem []byte, most *int) {
	t.Helper()
	sizes := map[int]int{}
	for c.Grab() == nil {
		shape, err := c.Retrieve(mem)
		if err != nil && !errors.Is(err, cv.ErrTooSmall) {
			t.Fatal(err)
		}
		sizes[shape.Width]++
		*most = max(*most, cv.OpenMats())
	}
	if len(sizes) != 2 {
		t.Errorf("pictures by width: %v, want two widths", sizes)
	}
	for range 3 {
		if c.Grab() == nil {
			t.Error("a picture behind the end")
		}
		_, _ = c.Retrieve(mem)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
