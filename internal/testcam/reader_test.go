package testcam_test

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
)

// The size of the pictures a reader gives, whatever the camera sends.
const width, height = 320, 180

// frame is a decoded picture, as far as a test looks at it.
type frame struct {
	number   int // -1: none could be read
	clock    uint32
	hasClock bool
	at       time.Time
}

// reader is an ffmpeg that reads a camera.
type reader struct {
	frames chan frame // closed when ffmpeg ends
	stderr strings.Builder
	err    error // set before frames is closed
}

// read starts ffmpeg; args come before the input.
func read(t *testing.T, url string, args ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	args = append([]string{"-hide_banner", "-nostdin", "-loglevel", "error"}, args...)
	args = append(args, "-i", url, "-vsync", "passthrough", "-vf", "scale=320:180", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1")
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	r := &reader{frames: make(chan frame, 1000)}
	cmd.Stderr = &r.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.frames)
		pix := make([]byte, 3*width*height)
		for {
			if _, err := io.ReadFull(out, pix); err != nil {
				break
			}
			f := frame{number: -1, at: time.Now()}
			if n, ok := barcode.Read(pix, width, height, 3*width); ok {
				f.number = int(n)
			}
			f.clock, f.hasClock = barcode.ReadClock(pix, width, height, 3*width)
			r.frames <- f
		}
		r.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		for range r.frames { // until it is gone
		}
	})
	return r
}

var tcp = []string{"-rtsp_transport", "tcp", "-timeout", "5000000"}

// next waits for a frame; false means that ffmpeg has ended.
func (r *reader) next(t *testing.T) (frame, bool) {
	t.Helper()
	select {
	case f, ok := <-r.frames:
		return f, ok
	case <-time.After(15 * time.Second):
		t.Fatal("no frame and no end within 15 s")
		return frame{}, false
	}
}

// take waits for n frames.
func (r *reader) take(t *testing.T, n int) []frame {
	t.Helper()
	var frames []frame
	for len(frames) < n {
		f, ok := r.next(t)
		if !ok {
			t.Fatalf("ffmpeg ended after %d frames: %v: %s", len(frames), r.err, r.stderr.String())
		}
		frames = append(frames, f)
	}
	return frames
}

// until waits for a frame that ok likes and returns all up to it.
func (r *reader) until(t *testing.T, what string, ok func(frame) bool) []frame {
	t.Helper()
	var frames []frame
	for len(frames) < 500 {
		f, alive := r.next(t)
		if !alive {
			t.Fatalf("ffmpeg ended before %s: %v: %s", what, r.err, r.stderr.String())
		}
		if frames = append(frames, f); ok(f) {
			return frames
		}
	}
	t.Fatalf("500 frames without %s", what)
	return nil
}

// join waits for the first key frame and returns n frames from there on.
// Before it the ffmpeg command also gives what it makes of frames whose
// reference it never got.
func (r *reader) join(t *testing.T, n int) []frame {
	t.Helper()
	seen := r.until(t, "a key frame", func(f frame) bool { return f.number >= 0 && f.number%gop == 0 })
	frames := append(seen[len(seen)-1:], r.take(t, n-1)...)
	wantRun(t, frames)
	return frames
}

// end waits for ffmpeg to end and returns what it gave until then.
func (r *reader) end(t *testing.T) []frame {
	t.Helper()
	var frames []frame
	for {
		f, ok := r.next(t)
		if !ok {
			return frames
		}
		frames = append(frames, f)
	}
}

// silent checks that no frame comes for a while, once those on their way have
// come, and that the reader goes on waiting.
func (r *reader) silent(t *testing.T, d time.Duration) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for settled := false; !settled && time.Now().Before(end); {
		select {
		case _, ok := <-r.frames:
			if !ok {
				t.Fatalf("ffmpeg ended: %v: %s", r.err, r.stderr.String())
			}
		case <-time.After(500 * time.Millisecond):
			settled = true
		}
	}
	select {
	case f, ok := <-r.frames:
		t.Fatalf("a frame %+v (or the end: %t) where silence was due", f, !ok)
	case <-time.After(d):
	}
}

// wantRun checks that frames carry successive numbers.
func wantRun(t *testing.T, frames []frame) {
	t.Helper()
	numbers := make([]int, len(frames))
	for i, f := range frames {
		numbers[i] = f.number
	}
	for i, n := range numbers {
		if n < 0 || i > 0 && n != numbers[i-1]+1 {
			t.Fatalf("the numbers do not follow each other: %v", numbers)
		}
	}
}

// probe asks ffprobe for one field of the first packets or of the stream.
func probe(t *testing.T, url, entries string, packets string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ffprobe", "-loglevel", "error", "-rtsp_transport", "tcp", "-select_streams", "v:0",
		"-show_entries", entries, "-read_intervals", "%+#"+packets, "-of", "csv=p=0", url).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	return strings.Fields(string(out))
}
