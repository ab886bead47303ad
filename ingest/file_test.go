//go:build cv

package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testkit"
)

func TestVideoFileEveryFrame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file   string
		frames int
		w, h   int
	}{
		{"videos/car-detection.mp4", 377, 768, 432},
		{"videos/gocv_small.mp4", 166, 560, 320},
		{"videos/walk.mkv", 0, 640, 480},
	} {
		t.Run(tc.file, func(t *testing.T) {
			c := newCamera(t, ingest.Config{Delivery: ingest.Every, Source: source(t, testkit.Data(t, tc.file))})
			lastPTS := -1.0
			c.each = func(f *vedette.Frame, pix []byte) {
				if f.End {
					return
				}
				if len(pix) != tc.w*tc.h*3 || f.Width != tc.w || f.Height != tc.h || f.Format != vedette.BGR24 {
					t.Fatalf("seq %d: %d bytes, %dx%d %s", f.Seq, len(pix), f.Width, f.Height, f.Format)
				}
				if f.PTSMillis <= lastPTS {
					t.Errorf("seq %d: presentation time %v after %v", f.Seq, f.PTSMillis, lastPTS)
				}
				lastPTS = f.PTSMillis
			}
			if err := c.run(); err != nil {
				t.Fatal(err)
			}
			want := tc.frames
			if want == 0 {
				want = len(c.pictures())
			}
			c.checkNumbers(want)
			if want < 10 {
				t.Errorf("only %d frames", want)
			}
			if c.states[len(c.states)-1].Phase != ingest.Ended {
				t.Errorf("last state %+v", c.states[len(c.states)-1])
			}
		})
	}
}

func TestVideoFileSampled(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, FPS: 5, Source: source(t, testkit.Data(t, "videos/car-detection.mp4"))})
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	pics := c.pictures()
	if n := len(pics); n != 151 { // 30.16 s at 5 a second
		t.Errorf("%d frames, want 151", n)
	}
	for i, f := range pics {
		if f.Seq != uint64(i)+f.Sampled {
			t.Fatalf("frame %d has seq %d and %d sampled", i, f.Seq, f.Sampled)
		}
	}
	if end := c.end(); end.Seq != 377 || end.Sampled != 377-151 {
		t.Errorf("end notice %+v", end)
	}
}

// A child that is killed in mid-file costs a restart: no seq is lost, none
// comes twice, and the pictures are the same as without.
func TestChildKilledMidFile(t *testing.T) {
	t.Parallel()
	path := testkit.Data(t, "videos/gocv_small.mp4")
	sums := make(map[uint64]uint64)
	whole := newCamera(t, ingest.Config{ID: "whole", Delivery: ingest.Every, Source: source(t, path)})
	whole.each = func(f *vedette.Frame, pix []byte) { sums[f.Seq] = sum(pix) }
	if err := whole.run(); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGSEGV} {
		t.Run(sig.String(), func(t *testing.T) {
			c := newCamera(t, ingest.Config{Delivery: ingest.Every, Source: source(t, path)})
			c.each = func(f *vedette.Frame, pix []byte) {
				if f.End {
					return
				}
				if f.Seq%50 == 20 {
					if err := syscall.Kill(c.child(), sig); err != nil {
						t.Error(err)
					}
				}
				if got := sum(pix); got != sums[f.Seq] {
					t.Errorf("seq %d shows another picture", f.Seq)
				}
			}
			if err := c.run(); err != nil {
				t.Fatal(err)
			}
			c.checkNumbers(166)
			if last := c.states[len(c.states)-1]; last.Restarts != 3 {
				t.Errorf("%d restarts, want 3", last.Restarts)
			}
		})
	}
}

// damaged is the path of a video with noise in its middle third.
func damaged(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(testkit.Data(t, name))
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(1, 1))
	for i := len(data) / 3; i < len(data)*2/3; i += 97 {
		data[i] = byte(noise.Uint32())
	}
	path := filepath.Join(t.TempDir(), "damaged.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Frames that are lost inside a damaged file are counted where they are
// missing, once, though a child dies and another reads the file from its
// beginning, and told at the end.
func TestDamagedInside(t *testing.T) {
	t.Parallel()
	path := damaged(t, "videos/car-detection.mp4")
	for _, kill := range []bool{false, true} {
		c := newCamera(t, ingest.Config{ID: fmt.Sprintf("kill-%v", kill), Delivery: ingest.Every, Source: source(t, path)})
		last := &vedette.Frame{PTSMillis: -80}
		c.each = func(f *vedette.Frame, _ []byte) {
			if f.End {
				return
			}
			missing := uint64(math.Round((f.PTSMillis-last.PTSMillis)/80)) - 1
			if got := f.SourceGap - last.SourceGap; got != missing {
				t.Errorf("seq %d: %d frames missing before it, want %d", f.Seq, got, missing)
			}
			last = f
			if kill && f.Seq%100 == 99 {
				if err := syscall.Kill(c.child(), syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		end := c.end()
		t.Logf("%d frames read, %d missing", end.Seq, end.SourceGap)
		if end.SourceGap == 0 || end.Seq+end.SourceGap != 377 {
			t.Errorf("%d frames and %d missing, want some, 377 in all", end.Seq, end.SourceGap)
		}
		want := fmt.Sprintf("%d of 377 frames could be read", end.Seq)
		if n := strings.Count(c.log.String(), want); n != 1 {
			t.Errorf("%q is said %d times, want 1", want, n)
		}
	}
}

// A whole video has no holes, whatever its container makes of times.
func TestWholeVideosHaveNoHoles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"book.mkv", "bottle-detection.mp4", "car-detection.mp4", "gocv_small.mp4", "no.mkv",
		"one-by-one-person-detection.mp4", "walk.mkv", "yes.mkv"} {
		c := newCamera(t, ingest.Config{Delivery: ingest.Every, FPS: 1, Source: source(t, testkit.Data(t, "videos/"+name))})
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		if end := c.end(); end.Seq < 60 || end.SourceGap != 0 || strings.Contains(c.log.String(), "damaged") {
			t.Errorf("%s: %d frames, %d missing", name, end.Seq, end.SourceGap)
		}
	}
}

func sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(b); i += 7 {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	return h
}

// A frozen child is noticed within Config.Silence and replaced.
func TestChildFrozenMidFile(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Silence: time.Second,
		Source: source(t, testkit.Data(t, "videos/gocv_small.mp4"))})
	var frozen, back time.Time
	c.each = func(f *vedette.Frame, _ []byte) {
		switch {
		case frozen.IsZero() && f.Seq == 30:
			if err := syscall.Kill(c.child(), syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			frozen = time.Now()
		case !frozen.IsZero() && back.IsZero() && time.Since(frozen) > 500*time.Millisecond:
			back = time.Now()
		}
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(166)
	d := back.Sub(frozen)
	t.Logf("the next frame came %v after the child froze", d)
	if d > 20*time.Second { // far above what it takes, for busy machines
		t.Errorf("took %v", d)
	}
}

// A file under latest delivery runs at its own pace.
func TestVideoFilePaced(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Latest, Source: source(t, testkit.Data(t, "videos/gocv_small.mp4"))})
	c.start()
	began := time.Now()
	c.await("30 frames", func() bool { return len(c.frames) >= 30 })
	took := time.Since(began)
	if err := c.stop(); err == nil {
		t.Error("a cancelled run gave no error")
	}
	if took < 900*time.Millisecond { // 29 steps of 33 ms, less the start-up
		t.Errorf("30 frames at 30 fps in %v", took)
	}
}

func TestSlowConsumerSlowsTheFile(t *testing.T) {
	t.Parallel()
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Slots: 4, Silence: 3 * time.Second,
		Source: source(t, testkit.Data(t, "videos/gocv_small.mp4"))})
	c.keep = true
	c.start()
	c.await("4 frames", func() bool { return len(c.frames) == 4 })
	time.Sleep(3500 * time.Millisecond) // longer than Silence: waiting for us is not being silent
	c.mu.Lock()
	if n := len(c.frames); n != 4 {
		t.Errorf("%d frames announced with 4 slots and none released", n)
	}
	if n := len(c.states); n != 2 {
		t.Errorf("states %+v", c.states)
	}
	c.hold[2]()
	c.hold[2]() // twice must not count twice
	c.mu.Unlock()
	c.await("a fifth frame", func() bool { return len(c.frames) == 5 })
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	if n := len(c.frames); n != 5 {
		t.Errorf("%d frames after one release", n)
	}
	for _, f := range c.frames {
		if f.Seq != 2 && !valid(t, f) {
			t.Errorf("seq %d was overwritten before it was released", f.Seq)
		}
	}
	c.mu.Unlock()
	_ = c.stop()
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	clip, err := os.ReadFile(testkit.Data(t, "videos/gocv_small.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		source string
		err    error
		text   string
	}{
		"missing file":     {filepath.Join(dir, "none.mp4"), ingest.ErrNotFound, "none.mp4: no such file"},
		"missing picture":  {filepath.Join(dir, "none.jpg"), ingest.ErrNotFound, "no such file"},
		"empty file":       {write("empty.mp4", nil), ingest.ErrEmptyFile, "the file is empty"},
		"text":             {write("notes.mp4", []byte("dear diary\n")), ingest.ErrNotVideo, "looks like a text file"},
		"garbage":          {write("noise.mp4", bytes.Repeat([]byte{0x17, 0xfe, 0x00, 0x81}, 5000)), ingest.ErrNotVideo, "damaged"},
		"no index":         {write("cut.mp4", clip[:len(clip)/2]), nil, ""},
		"folder, nothing":  {empty, ingest.ErrNoPictures, "there are no pictures"},
		"glob, nothing":    {filepath.Join(dir, "*.png"), ingest.ErrNoPictures, "there are no pictures"},
		"no such device":   {"/dev/video97", ingest.ErrNoDevice, "/dev/video97: no such capture device"},
		"missing pipeline": {"gstreamer:nosuchsrc ! appsink", ingest.ErrCapture, "pipeline cannot be started"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCamera(t, ingest.Config{Delivery: ingest.Every, MaxAttempts: 1, Source: source(t, tc.source)})
			err := c.run()
			if tc.err == nil {
				if !errors.Is(err, ingest.ErrNotVideo) && !errors.Is(err, ingest.ErrTruncated) {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v … %q", err, tc.err, tc.text)
			}
			if n := len(c.frames); n != 0 {
				t.Errorf("%d frames", n)
			}
		})
	}
}

func TestNamedDecoderThatIsMissing(t *testing.T) {
	t.Parallel()
	path := testkit.Data(t, "videos/gocv_small.mp4")
	for _, decode := range []string{"vaapi", "cuda"} {
		c := newCamera(t, ingest.Config{Delivery: ingest.Every, Decode: decode, Source: source(t, path)})
		if err := c.run(); !errors.Is(err, ingest.ErrNoDecoder) || !strings.Contains(err.Error(), decode) {
			t.Errorf("%s: %v, want ErrNoDecoder", decode, err)
		}
	}
	c := newCamera(t, ingest.Config{Delivery: ingest.Every, Decode: "auto", Source: source(t, path)})
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	c.checkNumbers(166)
	if n := strings.Count(c.log.String(), "no hardware decoder"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}
