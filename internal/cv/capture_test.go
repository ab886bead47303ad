//go:build cv

package cv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testkit"
)

func TestCaptureEveryFrameInPlace(t *testing.T) {
	c := openFile(t, testkit.Data(t, "videos/car-detection.mp4"))
	if n := c.Frames(); n != 377 {
		t.Errorf("the file says it has %d frames, want 377", n)
	}
	if fps := c.FPS(); fps != 12.5 {
		t.Errorf("fps %v, want 12.5", fps)
	}
	slot := make([]byte, 768*432*3)
	last, n := -1.0, 0
	for ; ; n++ {
		if err := c.Grab(); err != nil {
			if !errors.Is(err, ErrNoFrame) {
				t.Fatal(err)
			}
			break
		}
		pts := c.PTSMillis()
		if pts <= last {
			t.Fatalf("frame %d: presentation time %v after %v", n, pts, last)
		}
		last = pts
		slot[0], slot[1], slot[len(slot)-1] = 1, 2, 3
		shape, err := c.Retrieve(slot)
		if err != nil || (shape != Shape{768, 432, 3}) {
			t.Fatalf("frame %d: %v, %v", n, shape, err)
		}
		if n > 0 && c.held {
			t.Fatalf("frame %d was not written in place", n)
		}
	}
	if n != 377 {
		t.Errorf("%d frames, want 377", n)
	}
}

// Retrieving into memory must give the same pixels as into OpenCV's own.
func TestCapturePixels(t *testing.T) {
	path := testkit.Data(t, "videos/gocv_small.mp4")
	a, b := openFile(t, path), openFile(t, path)
	pa, pb := make([]byte, 560*320*3), make([]byte, 560*320*3+777)
	for i := range 20 {
		if a.Grab() != nil || b.Grab() != nil {
			t.Fatal("no frame")
		}
		if _, err := a.Retrieve(pa); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Retrieve(nil); !errors.Is(err, ErrTooSmall) && i == 0 {
			t.Fatalf("no memory: %v, want ErrTooSmall", err)
		}
		if _, err := b.Retrieve(pb); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pa, pb[:len(pa)]) {
			t.Fatalf("frame %d differs", i)
		}
	}
}

func TestCaptureShapeChange(t *testing.T) {
	c := openFile(t, testkit.Data(t, "videos/gocv_small.mp4"))
	mem := make([]byte, 560*320*3)
	if err := c.Grab(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Retrieve(mem); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(mem)
	// As if the frames before had been smaller: the picture must not be cut.
	c.shape, c.held = Shape{320, 200, 3}, false
	clear(mem)
	shape, err := c.Retrieve(mem)
	if err != nil || (shape != Shape{560, 320, 3}) {
		t.Fatalf("%v, %v", shape, err)
	}
	if !bytes.Equal(mem, want) {
		t.Error("the picture differs after a change of shape")
	}
	// And too small a slot says so and loses nothing.
	c.shape, c.held = Shape{320, 200, 3}, false
	if shape, err = c.Retrieve(mem[:320*200*3]); !errors.Is(err, ErrTooSmall) || (shape != Shape{560, 320, 3}) {
		t.Fatalf("%v, %v, want ErrTooSmall", shape, err)
	}
	clear(mem)
	if _, err = c.Retrieve(mem); err != nil || !bytes.Equal(mem, want) {
		t.Errorf("the picture is lost after ErrTooSmall: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "notes.mp4")
	if err := os.WriteFile(text, []byte("this is no video\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{text, "/does/not/exist.mp4", ""} {
		c, err := OpenCapture(source, CaptureOptions{})
		if err == nil {
			_ = c.Close()
		}
		if !errors.Is(err, ErrNotOpened) {
			t.Errorf("%q: %v, want ErrNotOpened", source, err)
		}
	}
}

func TestNamedAccelerationThatIsMissing(t *testing.T) {
	if _, err := os.Stat("/dev/dri"); err == nil {
		t.Skip("this machine has a video decoder")
	}
	path := testkit.Data(t, "videos/gocv_small.mp4")
	if c, err := OpenCapture(path, CaptureOptions{Acceleration: VAAPI}); err == nil {
		used := c.Accelerated()
		_ = c.Close()
		t.Errorf("VAAPI on a machine without it opened, accelerated=%v", used)
	}
	c, err := OpenCapture(path, CaptureOptions{Acceleration: Any})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Accelerated() {
		t.Error("says it is accelerated")
	}
}

func TestReadPicture(t *testing.T) {
	jpeg, err := os.ReadFile(testkit.Data(t, "images/coco64/images/"+firstImage(t)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	decode := func(data []byte) (*Picture, error) {
		path := filepath.Join(dir, "p.jpg")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadPicture(path)
	}
	plain, err := decode(jpeg)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	turned, err := decode(withOrientation(jpeg, 6)) // quarter turn
	if err != nil {
		t.Fatal(err)
	}
	defer turned.Close()
	p, q := plain.Shape(), turned.Shape()
	if p.Width == p.Height || p.Width != q.Height || p.Height != q.Width {
		t.Fatalf("EXIF rotation: %v became %v", p, q)
	}
	a, b := make([]byte, p.Bytes()), make([]byte, q.Bytes())
	if plain.CopyTo(a) != nil || turned.CopyTo(b) != nil {
		t.Fatal("copy")
	}
	// The top left corner of the turned picture is the bottom left of the plain.
	if got, want := b[:3], a[(p.Height-1)*p.Stride():][:3]; !bytes.Equal(got, want) {
		t.Errorf("corner is %v, want %v", got, want)
	}
	if err := plain.CopyTo(a[:10]); !errors.Is(err, ErrTooSmall) {
		t.Errorf("%v, want ErrTooSmall", err)
	}
	for name, bad := range map[string][]byte{"empty": nil, "text": []byte("hello"), "header only": jpeg[:20]} {
		if _, err := decode(bad); !errors.Is(err, ErrNotAPicture) {
			t.Errorf("%s: %v, want ErrNotAPicture", name, err)
		}
	}
}

const decoderThreadsEnv = "VEDETTE_TEST_DECODER_THREADS"

// TestDecoderThreads asks for decoder threads on a host that says it has 16
// CPUs: an object preloaded before libc answers for it.
func TestDecoderThreads(t *testing.T) {
	path := testkit.Data(t, "videos/car-detection.mp4")
	if n := os.Getenv(decoderThreadsEnv); n != "" {
		reportThreads(t, path, n)
		return
	}
	dir := t.TempDir()
	src := "#include <unistd.h>\nlong sysconf(int n) { return n == _SC_NPROCESSORS_ONLN ? 16 : n == _SC_PAGESIZE ? 4096 : -1; }\n"
	if err := os.WriteFile(filepath.Join(dir, "cpus.c"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(dir, "cpus.so")
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", lib, filepath.Join(dir, "cpus.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for asked, want := range map[string]int{"0": 16, "1": 0, "3": 3} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestDecoderThreads$")
		cmd.Env = append(os.Environ(), decoderThreadsEnv+"="+asked, "LD_PRELOAD="+lib)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "decoder threads: ")
		count, _, _ := strings.Cut(rest, ".")
		// Go may start a thread or two of its own meanwhile.
		if n, err := strconv.Atoi(count); err != nil || n < want || n > want+2 {
			t.Errorf("asked for %s decoder threads on 16 CPUs: want %d, got %s", asked, want, out)
		}
	}
}

func reportThreads(t *testing.T, path, asked string) {
	n, err := strconv.Atoi(asked)
	if err != nil {
		t.Fatal(err)
	}
	SetDecoderThreads(n)
	before := tasks(t)
	c := openFile(t, path)
	if err := c.Grab(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("decoder threads: %d.\n", tasks(t)-before)
}

func tasks(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func openFile(t *testing.T, path string) *Capture {
	t.Helper()
	c, err := OpenCapture(path, CaptureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func firstImage(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(testkit.Data(t, "images/coco64/images"))
	if err != nil || len(entries) == 0 {
		t.Fatal("no images", err)
	}
	return entries[0].Name()
}

// withOrientation puts an EXIF segment with the orientation into a JPEG.
func withOrientation(jpeg []byte, orientation byte) []byte {
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	exif[4+6+8+2+8+1] = orientation
	return append(append(bytes.Clone(jpeg[:2]), exif...), jpeg[2:]...)
}

func BenchmarkCapture(b *testing.B) {
	path := testkit.Data(b, "videos/car-detection.mp4")
	SetDecoderThreads(1)
	defer SetDecoderThreads(0)
	slot := make([]byte, 768*432*3)
	var c *Capture
	b.ReportAllocs()
	for b.Loop() {
		if c == nil || c.Grab() != nil {
			if c != nil {
				_ = c.Close()
			}
			var err error
			if c, err = OpenCapture(path, CaptureOptions{}); err != nil {
				b.Fatal(err)
			}
			continue
		}
		if _, err := c.Retrieve(slot); err != nil {
			b.Fatal(err)
		}
	}
	_ = c.Close()
}
