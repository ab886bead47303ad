package clip_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbers decodes a video with ffmpeg and reads the bar code of each frame,
// -1 where there is none.
func numbers(t *testing.T, input string, stdin []byte, w, h int) []int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", input,
		"-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("decode: %v: %s", err, stderr.String())
	}
	var out []int
	for ; len(raw) >= 3*w*h; raw = raw[3*w*h:] {
		n, ok := barcode.Read(raw, w, h, 3*w)
		if !ok {
			out = append(out, -1)
			continue
		}
		out = append(out, int(n))
	}
	return out
}

func wantCount(t *testing.T, got []int, first, count int) {
	t.Helper()
	if len(got) != count {
		t.Fatalf("%d frames, want %d", len(got), count)
	}
	for i, n := range got {
		if n != first+i {
			t.Fatalf("frame %d has the number %d, want %d", i, n, first+i)
		}
	}
}

// annexB joins access units with start codes.
func annexB(units []clip.Unit) []byte {
	var b []byte
	for _, u := range units {
		for _, nalu := range u {
			b = append(append(b, 0, 0, 0, 1), nalu...)
		}
	}
	return b
}

func TestEncode(t *testing.T) {
	for _, s := range []clip.Spec{
		{Width: 320, Height: 180, FPS: 25, Frames: 60, GOP: 10},
		{Width: 320, Height: 180, FPS: 25, Frames: 60, Kbps: 60},
		{Width: 640, Height: 480, FPS: 10, Frames: 25, Kbps: 200},
		{Width: 1920, Height: 1080, FPS: 15, Frames: 6, GOP: 3, Kbps: 1500},
	} {
		t.Run(fmt.Sprintf("%dx%d %d kbps", s.Width, s.Height, s.Kbps), func(t *testing.T) {
			s.Paint = clip.Numbered(1000)
			c, err := clip.Encode(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			gop := s.GOP
			if gop == 0 {
				gop = s.FPS
			}
			for i, u := range c.Units {
				if key := i%gop == 0; u.Key() != key || (u.SPS() != nil) != key || (u.PPS() != nil) != key {
					t.Errorf("unit %d: key %t, SPS %d and PPS %d bytes", i, u.Key(), len(u.SPS()), len(u.PPS()))
				}
			}
			wantCount(t, numbers(t, "pipe:0", annexB(c.Units), s.Width, s.Height), 1000, s.Frames)
		})
	}
}

func TestWriteFile(t *testing.T) {
	for _, name := range []string{"clip.mp4", "clip.mkv"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			s := clip.Spec{Width: 320, Height: 180, FPS: 10, Frames: 30}
			if err := clip.WriteFile(t.Context(), path, s); err != nil {
				t.Fatal(err)
			}
			wantCount(t, numbers(t, path, nil, 320, 180), 0, 30)
		})
	}
}

func TestBadSpecs(t *testing.T) {
	for want, s := range map[string]clip.Spec{
		"size 321x180": {Width: 321, Height: 180, FPS: 25, Frames: 1},
		"size 0x0":     {FPS: 25, Frames: 1},
		"fps 0":        {Width: 320, Height: 180, Frames: 1},
		"frames -1":    {Width: 320, Height: 180, FPS: 25, Frames: -1},
	} {
		if _, err := clip.Encode(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", s, err, want)
		}
	}
}

func TestErrorsSayWhatFFmpegSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clip.nosuchformat")
	err := clip.WriteFile(t.Context(), path, clip.Spec{Width: 320, Height: 180, FPS: 25, Frames: 5})
	if err == nil || !strings.Contains(err.Error(), "nosuchformat") {
		t.Errorf("error %v, want ffmpeg's own about the format", err)
	}
}

func TestEncodeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := clip.Spec{Width: 320, Height: 180, FPS: 25, Frames: 1 << 30}
	paint := clip.Numbered(0)
	s.Paint = func(p clip.Picture, i int) {
		if i == 50 {
			cancel()
		}
		paint(p, i)
	}
	if _, err := clip.Encode(ctx, s); err == nil {
		t.Error("no error from an encoding that was cancelled")
	}
}

// TestLive checks that each frame comes out before the next is painted, and
// how old the clock in it is then.
func TestLive(t *testing.T) {
	const w, h, frames = 320, 180, 40
	l, err := clip.StartLive(clip.Spec{Width: w, Height: h, FPS: 20, GOP: 10, Paint: clip.Clocked(7)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var units []clip.Unit
	var at []time.Time
	for len(units) < frames {
		select {
		case u, ok := <-l.Units():
			if !ok {
				t.Fatalf("ended: %v", l.Err())
			}
			units, at = append(units, u), append(at, time.Now())
		case <-time.After(10 * time.Second):
			t.Fatalf("no unit after %d", len(units))
		}
	}
	l.Close()
	if err := l.Err(); err != nil {
		t.Errorf("error after Close: %v", err)
	}
	wantCount(t, numbers(t, "pipe:0", annexB(units), w, h), 7, frames)
	ages := clockAges(t, units, at, w, h)
	t.Logf("age of a frame when it is encoded: %v", ages)
	late := 0
	for _, age := range ages {
		if age > 50*time.Millisecond {
			late++
		}
	}
	if late > frames*9/10 { // on a busy machine some do
		t.Errorf("%d of %d frames came out later than a frame's time: the encoder holds them back", late, frames)
	}
}

func clockAges(t *testing.T, units []clip.Unit, at []time.Time, w, h int) []time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-loglevel", "error", "-i", "pipe:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1")
	cmd.Stdin = bytes.NewReader(annexB(units))
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var ages []time.Duration
	for i := range at {
		ms, ok := barcode.ReadClock(raw[i*3*w*h:], w, h, 3*w)
		if !ok {
			t.Fatalf("frame %d shows no clock", i)
		}
		ages = append(ages, barcode.Age(at[i], ms))
	}
	return ages
}
