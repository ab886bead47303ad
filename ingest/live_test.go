//go:build cv

package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// What the test cameras send: a key frame every half second.
const (
	testFPS = 20
	testGOP = testFPS / 2
)

// testClip is longer than any test.
var testClip = sync.OnceValues(func() (*clip.Clip, error) {
	return clip.Encode(context.Background(), clip.Spec{Width: 320, Height: 180, FPS: testFPS, Frames: 90 * testFPS, GOP: testGOP, Kbps: 2000})
})

// rtsp starts a camera that shows the numbers of its pictures.
func rtsp(t *testing.T, opts testcam.Options) *testcam.Camera {
	t.Helper()
	if opts.Clip == nil && opts.Live == nil {
		var err error
		if opts.Clip, err = testClip(); err != nil {
			t.Fatal(err)
		}
	}
	return camtest.RTSP(t, opts)
}

func encode(t *testing.T, w, h, frames int) *clip.Clip {
	t.Helper()
	return camtest.Clip(t, clip.Spec{Width: w, Height: h, FPS: testFPS, Frames: frames, GOP: testGOP, Kbps: 2000})
}

// numbers notes the numbers that the pictures show.
type numbers struct {
	c      *camera
	shown  map[vedette.FrameID]int
	ages   []time.Duration
	misses int
}

func watchNumbers(c *camera) *numbers {
	n := &numbers{c: c, shown: make(map[vedette.FrameID]int)}
	c.each = func(f *vedette.Frame, pix []byte) {
		if pix == nil {
			return
		}
		number, ok := barcode.Read(pix, f.Width, f.Height, f.Ref.Stride)
		clock, hasClock := barcode.ReadClock(pix, f.Width, f.Height, f.Ref.Stride)
		if !c.rd.Valid(f.Ref) {
			c.lost++
			return
		}
		if !ok {
			n.misses++
			return
		}
		n.shown[f.ID()] = int(number)
		if hasClock {
			n.ages = append(n.ages, barcode.Age(time.Now(), clock))
		}
	}
	return n
}

func (c *camera) phases() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return phasesOf(c.states)
}

func (c *camera) lastPhase() ingest.Phase {
	if len(c.states) == 0 {
		return ""
	}
	return c.states[len(c.states)-1].Phase
}

// Each frame of the stream arrives once, in order, whole; seq counts them.
func TestRTSPFrames(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "udp"} {
		for _, delivery := range []ingest.Delivery{ingest.Latest, ingest.Every} {
			t.Run(transport+" "+string(delivery), func(t *testing.T) {
				t.Parallel()
				cam := rtsp(t, testcam.Options{HoldUntilPlay: true})
				c := newCamera(t, ingest.Config{Source: source(t, cam.URL()), Transport: transport, Delivery: delivery, Slots: 62})
				n := watchNumbers(c)
				c.start()
				c.await("50 frames", func() bool { return len(c.frames) >= 50 })
				if err := c.stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("Run: %v", err)
				}
				pics := c.pictures()
				first := n.shown[pics[0].ID()]
				if first > testFPS || delivery == ingest.Every && transport == "tcp" && first != 0 {
					t.Errorf("the first picture is number %d", first)
				}
				for i, f := range pics {
					if f.Seq != uint64(i) || f.Clock != vedette.ClockHost || f.Epoch != pics[0].Epoch {
						t.Fatalf("frame %d: %+v", i, f)
					}
					if shown, ok := n.shown[f.ID()]; !ok || shown != first+i {
						t.Errorf("seq %d shows number %d (%v), want %d", i, shown, ok, first+i)
					}
				}
				if c.lost > 0 || n.misses > 0 {
					t.Errorf("%d overwritten, %d without a number", c.lost, n.misses)
				}
				if end := c.end(); end == nil || end.Reason != "stopped" || end.Seq < uint64(len(pics)) {
					t.Errorf("end notice %+v", end)
				}
				if g := pics[len(pics)-1].SourceGap; g != 0 {
					t.Errorf("%d gaps in a stream without", g)
				}
			})
		}
	}
}

// The pictures are fresh: the clock in them is compared with this one.
func TestRTSPLatency(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{Video: testcam.Video{Live: &clip.Spec{Width: 320, Height: 180, FPS: testFPS, GOP: testFPS, Paint: clip.Clocked(0)}}})
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL())})
	n := watchNumbers(c)
	c.start()
	c.await("60 frames", func() bool { return len(n.ages) >= 60 })
	_ = c.stop()
	ages := slices.Clone(n.ages)
	slices.Sort(ages)
	t.Logf("age of the pictures: first %v, median %v, worst %v", n.ages[0], ages[len(ages)/2], ages[len(ages)-1])
	// 15 frames held back by decoder threads would be 750 ms.
	if ages[len(ages)/2] > 600*time.Millisecond {
		t.Errorf("the median picture is %v old", ages[len(ages)/2])
	}
}

func TestRTSPSampledAndGaps(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{})
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL()), FPS: 5})
	n := watchNumbers(c)
	c.start()
	c.await("10 frames", func() bool { return len(c.frames) >= 10 })
	c.mu.Lock()
	first, last := c.frames[0], c.frames[len(c.frames)-1]
	if last.Sampled < 20 || last.Seq != last.Sampled+uint64(len(c.frames))-1 {
		t.Errorf("seq %d, %d sampled, %d announced", last.Seq, last.Sampled, len(c.frames))
	}
	if got, want := n.shown[last.ID()]-n.shown[first.ID()], int(last.Seq-first.Seq); got != want {
		t.Errorf("%d pictures on, seq is %d on", got, want)
	}
	c.mu.Unlock()
	cam.Freeze() // shorter than Silence: a hole in the stream, no reconnect
	time.Sleep(time.Second)
	cam.Resume()
	c.await("a gap", func() bool { return c.frames[len(c.frames)-1].SourceGap > 0 })
	c.mu.Lock()
	gap := c.frames[len(c.frames)-1].SourceGap
	if len(c.states) != 2 {
		t.Errorf("states %v", c.states)
	}
	c.mu.Unlock()
	if gap < testFPS/2 || gap > 2*testFPS {
		t.Errorf("a hole of about %d frames was counted as %d", testFPS, gap)
	}
	_ = c.stop()
}

// Damage in the stream costs pictures, not the connection for good.
func TestRTSPGarbage(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{})
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL())})
	n := watchNumbers(c)
	c.start()
	defer func() { _ = c.stop() }()
	c.await("pictures", func() bool { return len(c.frames) > 5 })
	cam.Garbage(10)
	cam.Corrupt(10)
	cam.JumpPTS(-time.Hour)
	c.mu.Lock()
	before := len(n.shown)
	c.mu.Unlock()
	c.await("pictures again", func() bool { return len(n.shown) > before+40 })
}

func TestRTSPResolutionChange(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{})
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL())})
	n := watchNumbers(c)
	c.start()
	defer func() { _ = c.stop() }()
	for _, size := range [][2]int{{320, 180}, {640, 360}, {160, 96}, {800, 448}} {
		if size[0] != 320 {
			if err := cam.Show(testcam.Video{Clip: encode(t, size[0], size[1], 100)}); err != nil {
				t.Fatal(err)
			}
		}
		c.await(fmt.Sprint(size), func() bool {
			if len(c.frames) == 0 {
				return false
			}
			f := c.frames[len(c.frames)-1]
			_, readable := n.shown[f.ID()]
			return readable && f.Width == size[0] && f.Height == size[1]
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkNumbers(len(c.frames))
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	hole, err := testcam.NewBlackHole()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hole.Close)
	for name, tc := range map[string]struct{ source, text string }{
		"refused":   {"rtsp://u:hidden@127.0.0.1:1/s", "connection refused"},
		"mute":      {"rtsp://u:hidden@" + hole.Addr() + "/s", "does not answer"},
		"mute http": {"http://u:hidden@" + hole.Addr() + "/s", "does not answer"},
		"no host":   {"rtsp://u:hidden@no-such-host.invalid/s", "cannot be resolved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCamera(t, ingest.Config{MaxAttempts: 1, Source: source(t, tc.source)})
			err := c.run()
			if !errors.Is(err, ingest.ErrUnreachable) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
			noSecret(t, "error, log and states", fmt.Sprint(err)+c.everything(), "hidden")
		})
	}
}

func TestMJPEG(t *testing.T) {
	t.Parallel()
	cam, err := testcam.NewMJPEG(testcam.MJPEGOptions{Spec: clip.Spec{Width: 320, Height: 180, FPS: testFPS}, User: "u", Password: "s3cr3t"})
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	c := newCamera(t, ingest.Config{Source: source(t, cam.URL())})
	n := watchNumbers(c)
	c.start()
	c.await("20 pictures", func() bool { return len(n.shown) > 20 })
	cam.Kill()
	c.await("offline", func() bool { return c.lastPhase() == ingest.Offline })
	if err := cam.Restart(); err != nil {
		t.Fatal(err)
	}
	c.await("online", func() bool { return c.lastPhase() == ingest.Online })
	_ = c.stop()
	c.checkEpochs(2)
	noSecret(t, "log and states", c.everything(), "s3cr3t")
}
