//go:build cv

package ingest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// sight is a frame and what its picture showed.
type sight struct {
	frame  *vedette.Frame
	number int // -1: no number could be read
	at     time.Time
}

// viewer captures a test camera and reads the codes.
type viewer struct {
	*camera
	sights []sight // guarded by the recorder's mutex
}

func newViewer(t *testing.T, url string, cfg ingest.Config) *viewer {
	t.Helper()
	cfg.Source = source(t, url)
	v := &viewer{camera: newCamera(t, cfg)}
	v.each = func(f *vedette.Frame, pix []byte) {
		if f.End || pix == nil {
			return
		}
		s := sight{frame: f, number: -1, at: time.Now()}
		if n, ok := barcode.Read(pix, f.Width, f.Height, f.Ref.Stride); ok {
			s.number = int(n)
		}
		if !v.rd.Valid(f.Ref) {
			return // overwritten while it was read: dropped, as a stage does
		}
		v.sights = append(v.sights, s)
	}
	return v
}

func (v *viewer) watch() {
	v.start()
	v.t.Cleanup(func() { _ = v.stop() }) // its error is what the test looks at
}

// more waits for n more pictures and returns them.
func (v *viewer) more(n int) []sight {
	v.t.Helper()
	v.mu.Lock()
	have := len(v.sights)
	v.mu.Unlock()
	v.await(fmt.Sprintf("%d more pictures", n), func() bool { return len(v.sights) >= have+n })
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.sights[have : have+n])
}

// fresh waits for the first picture of another epoch.
func (v *viewer) fresh(epoch string) sight {
	v.t.Helper()
	var s sight
	v.await("a picture of a new epoch", func() bool {
		s = v.sights[len(v.sights)-1]
		return s.frame.Epoch != epoch
	})
	return s
}

// phase waits for a state and returns it.
func (v *viewer) phase(p ingest.Phase) ingest.State {
	v.t.Helper()
	var s ingest.State
	v.await("the phase "+string(p), func() bool {
		if len(v.states) == 0 {
			return false
		}
		s = v.states[len(v.states)-1]
		return s.Phase == p
	})
	return s
}

// checkIdentity checks that within an epoch every picture is whole, comes once
// and carries the number that belongs to its seq.
func checkIdentity(t *testing.T, sights []sight) {
	t.Helper()
	first := map[string]sight{}
	for _, s := range sights {
		f, known := first[s.frame.Epoch]
		if !known {
			first[s.frame.Epoch], f = s, s
		}
		if want := f.number + int(s.frame.Seq-f.frame.Seq); s.number != want {
			t.Fatalf("%s shows the number %d, want %d", s.frame.ID(), s.number, want)
		}
	}
}

// A change of resolution loses nothing and mixes nothing up.
func TestRTSPResolutionIdentity(t *testing.T) {
	t.Parallel()
	cam := rtsp(t, testcam.Options{})
	v := newViewer(t, cam.URL(), ingest.Config{})
	v.watch()
	checkIdentity(t, v.more(20))
	for i, size := range [][2]int{{1280, 720}, {176, 144}} {
		base := (i + 1) << 16
		other := camtest.Clip(t, clip.Spec{Width: size[0], Height: size[1], FPS: testFPS, Frames: 10 * testFPS, GOP: testGOP, Paint: clip.Numbered(uint32(base))})
		if err := cam.Show(testcam.Video{Clip: other}); err != nil {
			t.Fatal(err)
		}
		var at int
		v.await("a picture of the new size", func() bool {
			at = slices.IndexFunc(v.sights, func(s sight) bool { return s.number >= base })
			return at >= 0 && len(v.sights) >= at+20
		})
		v.mu.Lock()
		sights := slices.Clone(v.sights[at : at+20])
		v.mu.Unlock()
		checkIdentity(t, sights)
		for _, s := range sights {
			if s.frame.Width != size[0] || s.frame.Height != size[1] {
				t.Fatalf("%s is %dx%d, want %v", s.frame.ID(), s.frame.Width, s.frame.Height, size)
			}
		}
	}
}

// After damage the pictures are those that their seq says, as before.
func TestRTSPIdentityAfterDamage(t *testing.T) {
	for name, spoil := range map[string]func(*testcam.Camera){
		"packets": func(c *testcam.Camera) { c.Garbage(2 * testFPS) },
		"slices":  func(c *testcam.Camera) { c.Corrupt(2 * testFPS) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := rtsp(t, testcam.Options{})
			v := newViewer(t, cam.URL(), ingest.Config{})
			v.watch()
			last := v.more(20)[19].number
			spoil(cam)
			// A picture of after the damage, on which others follow.
			v.await("whole pictures", func() bool {
				n := len(v.sights)
				return n > 20 && v.sights[n-1].number > last+3*testFPS
			})
			checkIdentity(t, v.more(20))
		})
	}
}

func TestMJPEGFreezes(t *testing.T) {
	t.Parallel()
	cam := camtest.MJPEG(t, testcam.MJPEGOptions{Spec: clip.Spec{Width: 320, Height: 180, FPS: 15}, User: "u", Password: "p"})
	v := newViewer(t, cam.URL(), ingest.Config{})
	v.watch()
	rising(t, v.more(40))
	epoch := v.more(1)[0].frame.Epoch
	cam.Kill()
	v.phase(ingest.Offline)
	if err := cam.Restart(); err != nil {
		t.Fatal(err)
	}
	restarted := time.Now()
	took := v.fresh(epoch).at.Sub(restarted)
	t.Logf("back %v after it restarted", took)
	cam.Freeze()
	froze := time.Now()
	v.phase(ingest.Offline)
	if took := time.Since(froze); took > 3*time.Second+busy {
		t.Errorf("noticed the freeze after %v, want 3 s", took)
	}
	cam.Resume()
	rising(t, v.more(20))
}

// rising is the identity of a source that leaves frames out for slow readers.
func rising(t *testing.T, sights []sight) {
	t.Helper()
	last := map[string]int{}
	for _, s := range sights {
		if before, ok := last[s.frame.Epoch]; s.number < 0 || ok && s.number <= before {
			t.Fatalf("%s shows the number %d after %d", s.frame.ID(), s.number, before)
		}
		last[s.frame.Epoch] = s.number
	}
}
