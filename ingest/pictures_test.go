//go:build cv

package ingest_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
)

func TestPictures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := jpegOf(t, 320, 200)
	write("a.jpg", good)
	write("b-empty.jpg", nil)
	write("c-cut.jpg", good[:len(good)/2])
	write("d-text.jpg", []byte("hello"))
	write("e.png", pngOf(t, 1, 1))
	write("f-long.png", pngOf(t, 20000, 20))
	broken := bytes.Clone(good)
	for i := len(broken) / 2; i < len(broken)/2+200; i++ {
		broken[i] = byte(i * i * 31)
	}
	write("g-broken.jpg", broken)
	write("h.jpg", good)
	write("readme.txt", []byte("no picture"))
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, FPS: 1, Source: source(t, dir)})
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(8)
	want := []struct {
		item   string
		w, h   int
		reason string
	}{
		{"a.jpg", 320, 200, ""}, {"b-empty.jpg", 0, 0, "empty"}, {"c-cut.jpg", 0, 0, "decoded"}, {"d-text.jpg", 0, 0, "decoded"},
		{"e.png", 1, 1, ""}, {"f-long.png", 20000, 20, ""}, {"g-broken.jpg", 0, 0, "damaged"}, {"h.jpg", 320, 200, ""},
	}
	for i, f := range c.pictures() {
		w := want[i]
		if f.Item != w.item || f.Width != w.w || f.Height != w.h || f.Unreadable != (w.reason != "") || !strings.Contains(f.Reason, w.reason) {
			t.Errorf("item %d: %s %dx%d unreadable=%v %q, want %+v", i, f.Item, f.Width, f.Height, f.Unreadable, f.Reason, w)
		}
	}
	if !strings.Contains(c.log.String(), "count=1") {
		t.Error("the file that is no picture was not mentioned")
	}
	if end := c.end(); end == nil || end.Seq != 8 {
		t.Errorf("end notice %+v", end)
	}
}

func TestSingleLateReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.png")
	if err := os.WriteFile(path, pngOf(t, 64, 48), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCamera(t, ingest.Config{Source: source(t, path)})
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	// The run is over, its child gone: the picture must still be there.
	if !valid(t, c.frames[0]) {
		t.Error("the last picture cannot be read after Run")
	}
}

// A picture that kills the decoder costs only itself.
func TestPictureThatKillsTheDecoder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png", "c.png", "d.png", "e.png"} {
		if err := os.WriteFile(filepath.Join(dir, name), pngOf(t, 32, 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Slots: 2, Source: source(t, dir)})
	c.keep = true // two slots: the child waits behind b.png
	c.command = func(n int) *exec.Cmd {
		if n == 1 || n == 2 {
			return exec.Command("sh", "-c", "kill -SEGV $$")
		}
		return nil
	}
	c.each = func(f *vedette.Frame, _ []byte) {
		if f.Seq == 1 && len(c.cmds) == 1 {
			c.keep = false
			if err := syscall.Kill(c.child(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			c.hold[0]()
		}
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(5)
	f := c.frames[2]
	if !f.Unreadable || f.Item != "c.png" || !strings.Contains(f.Reason, "crashed") {
		t.Errorf("the third: %+v", f)
	}
	if f := c.frames[3]; f.Unreadable || f.Item != "d.png" {
		t.Errorf("the fourth: %+v", f)
	}
}

func jpegOf(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, noise(w, h), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, noise(w, h)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func noise(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i >> 3)
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}
