package testcam_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	fps = 25
	gop = 10
)

// oneMinute is a clip that no test gets to the end of.
var oneMinute = sync.OnceValues(func() (*clip.Clip, error) { return encode(width, height, 60*fps) })

func encode(w, h, frames int) (*clip.Clip, error) {
	return clip.Encode(context.Background(), clip.Spec{Width: w, Height: h, FPS: fps, Frames: frames, GOP: gop})
}

func video(t *testing.T) testcam.Video {
	t.Helper()
	c, err := oneMinute()
	if err != nil {
		t.Fatal(err)
	}
	return testcam.Video{Clip: c}
}

func TestEveryFrameOnceAndInOrder(t *testing.T) {
	t.Parallel()
	c, err := encode(width, height, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var sent []int
			cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: c, Once: true}, HoldUntilPlay: true, Sent: func(unit int) {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, unit)
			}})
			began := time.Now()
			frames := read(t, cam.URL(), "-rtsp_transport", transport).end(t)
			mu.Lock()
			defer mu.Unlock()
			for i := range 50 {
				if len(sent) != 50 || sent[i] != i {
					t.Fatalf("units sent: %v", sent)
				}
			}
			if len(frames) != 50 {
				t.Fatalf("%d frames, want 50", len(frames))
			}
			wantRun(t, frames)
			if took := frames[49].at.Sub(began); took < 1900*time.Millisecond {
				t.Errorf("2 s of video came within %v: not in real time", took)
			}
		})
	}
}

func TestTimeStampsGoOnAcrossLoops(t *testing.T) {
	t.Parallel()
	c, err := encode(width, height, 10)
	if err != nil {
		t.Fatal(err)
	}
	cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: c}})
	stamps := packetTimes(t, cam.URL(), 35)
	for i := 1; i < len(stamps); i++ {
		if step := stamps[i] - stamps[i-1]; step < 0.035 || step > 0.045 {
			t.Errorf("step %d is %.3f s, want 0.040", i, step)
		}
	}
}

func packetTimes(t *testing.T, url string, count int) []float64 {
	t.Helper()
	var stamps []float64
	for _, s := range probe(t, url, "packet=pts_time", strconv.Itoa(count)) {
		if v, err := strconv.ParseFloat(strings.Trim(s, ","), 64); err == nil {
			stamps = append(stamps, v)
		}
	}
	if len(stamps) < count/2 {
		t.Fatalf("%d time stamps, want about %d", len(stamps), count)
	}
	return stamps
}

func TestJumpPTS(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
	go func() { // while it is being read
		for cam.Stats().Readers == 0 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		cam.JumpPTS(10 * time.Second)
	}()
	stamps := packetTimes(t, cam.URL(), 80)
	jumps := 0
	for i := 1; i < len(stamps); i++ {
		if step := stamps[i] - stamps[i-1]; step > 9.5 && step < 10.5 {
			jumps++
		}
	}
	if jumps != 1 {
		t.Errorf("%d jumps of 10 s in %v, want one", jumps, stamps)
	}
}

func TestLivePictureIsYoung(t *testing.T) {
	t.Parallel()
	spec := clip.Spec{Width: width, Height: height, FPS: fps, GOP: gop, Paint: clip.Clocked(1 << 20)}
	cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Live: &spec}})
	r := read(t, cam.URL(), "-rtsp_transport", "tcp", "-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "0", "-probesize", "32", "-threads", "1")
	frames := r.take(t, 60)
	wantRun(t, frames[10:])
	var young int
	for _, f := range frames[10:] {
		if !f.hasClock {
			t.Fatalf("frame %d shows no clock", f.number)
		}
		if barcode.Age(f.at, f.clock) < 300*time.Millisecond {
			young++
		}
	}
	t.Logf("age of the last frame: %v", barcode.Age(frames[59].at, frames[59].clock))
	if young < 25 {
		t.Errorf("%d of 50 frames were younger than 300 ms", young)
	}
	if err := cam.Err(); err != nil {
		t.Error(err)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t), User: "viewer", Password: "p@ss word"})
	read(t, cam.URL(), tcp...).join(t, 5)
	for name, url := range map[string]string{
		"wrong": cam.URLFor("viewer", "guess"), "none": cam.URLFor("", ""),
	} {
		r := read(t, url, tcp...)
		if frames := r.end(t); len(frames) != 0 || r.err == nil || !strings.Contains(r.stderr.String(), "401") {
			t.Errorf("%s password: %d frames, error %v: %s", name, len(frames), r.err, r.stderr.String())
		}
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
	r := read(t, cam.URL(), "-rtsp_transport", "tcp")
	last := r.join(t, 10)[9].number
	cam.Freeze()
	r.silent(t, 2*time.Second)
	if readers := cam.Stats().Readers; readers != 1 {
		t.Errorf("%d readers while frozen, want 1", readers)
	}
	cam.Resume()
	// The decoder still holds some frames from before.
	before := r.until(t, "a frame from after the pause", func(f frame) bool { return f.number > last+2*fps })
	wantRun(t, before[:len(before)-1])
	if first := before[len(before)-1].number; first%gop != 0 {
		t.Errorf("resumed with frame %d, which is no key frame", first)
	}
	wantRun(t, r.take(t, 20))
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
	r := read(t, cam.URL(), tcp...)
	r.join(t, 5)
	cam.Kill()
	killed := time.Now()
	r.end(t)
	if took := time.Since(killed); took > 3*time.Second {
		t.Errorf("the reader noticed after %v", took)
	}
	for range 200 {
		if conn, err := net.Dial("tcp", cam.Addr()); err == nil {
			conn.Close()
			t.Fatal("a dead camera accepted a connection")
		}
	}
	if err := cam.Restart(); err != nil {
		t.Fatal(err)
	}
	frames := read(t, cam.URL(), tcp...).join(t, 5)
	if frames[0].number < 5 {
		t.Errorf("frame %d after the restart: the camera's clock stood still", frames[0].number)
	}
	if got := cam.Stats().Connections; got != 2 {
		t.Errorf("%d connections accepted, want 2", got)
	}
}

func TestNeverAnswer(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
	if err := cam.NeverAnswer(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := read(t, cam.URL(), "-rtsp_transport", "tcp", "-timeout", "1000000")
	if frames := r.end(t); len(frames) != 0 || r.err == nil {
		t.Errorf("%d frames, error %v", len(frames), r.err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("ffmpeg gave up after %v, before its time-out: %s", took, r.stderr.String())
	}
	if err := cam.Restart(); err != nil {
		t.Fatal(err)
	}
	read(t, cam.URL(), tcp...).join(t, 5)
}

func TestShowAnotherResolution(t *testing.T) {
	t.Parallel()
	cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
	r := read(t, cam.URL(), tcp...)
	r.join(t, 10)
	other, err := clip.Encode(t.Context(), clip.Spec{Width: 640, Height: 480, FPS: fps, Frames: 20 * fps, GOP: gop, Paint: clip.Numbered(1 << 16)})
	if err != nil {
		t.Fatal(err)
	}
	if err := cam.Show(testcam.Video{Clip: other}); err != nil {
		t.Fatal(err)
	}
	r.until(t, "the other picture", func(f frame) bool { return f.number >= 1<<16 })
	wantRun(t, r.take(t, 15))
	if got := strings.Join(probe(t, cam.URL(), "stream=width,height", "1"), ""); got != "640,480" {
		t.Errorf("a new reader sees %q, want 640,480", got)
	}
}

func TestFaultsInTheStream(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testcam.Camera){
		"garbage":      func(c *testcam.Camera) { c.Garbage(15) },
		"corrupt":      func(c *testcam.Camera) { c.Corrupt(15) },
		"packets lost": func(c *testcam.Camera) { c.DropPackets(0.5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := camtest.RTSP(t, testcam.Options{Video: video(t)})
			r := read(t, cam.URL(), tcp...)
			last := r.join(t, 10)[9].number
			spoil(cam)
			damaged := func(f frame) bool {
				hurt := f.number != last+1
				last = f.number
				return hurt
			}
			r.until(t, "any damage", damaged)
			cam.DropPackets(0)
			whole := 0
			r.until(t, "twenty whole frames in order", func(f frame) bool {
				if whole++; damaged(f) {
					whole = 0
				}
				return whole == 20
			})
		})
	}
}

// A clip is shared by cameras; what spoils one camera's stream must not spoil
// the clip.
func TestFaultsLeaveTheClipAlone(t *testing.T) {
	t.Parallel()
	c, err := encode(width, height, 20)
	if err != nil {
		t.Fatal(err)
	}
	sum := func() [sha256.Size]byte {
		h := sha256.New()
		for _, unit := range c.Units {
			h.Write(bytes.Join(unit, nil))
		}
		return [sha256.Size]byte(h.Sum(nil))
	}
	before := sum()
	for name, spoil := range map[string]func(*testcam.Camera){
		"garbage": func(c *testcam.Camera) { c.Garbage(1000) },
		"corrupt": func(c *testcam.Camera) { c.Corrupt(1000) },
	} {
		cam := camtest.RTSP(t, testcam.Options{Video: testcam.Video{Clip: c}})
		spoil(cam)
		for deadline := time.Now().Add(10 * time.Second); cam.Stats().Units < 20; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the camera does not send")
			}
		}
		cam.Close()
		if sum() != before {
			t.Fatalf("%s has changed the clip", name)
		}
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	v := video(t)
	count := func() int { return len(testkit.OpenFiles(t)) }
	round := func() {
		cam, err := testcam.New(testcam.Options{Video: v})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", cam.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := cam.NeverAnswer(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(cam.Close)
		}
		wg.Wait()
		if cam.Restart() == nil || cam.NeverAnswer() == nil || cam.Show(v) == nil {
			t.Error("a closed camera can be used")
		}
	}
	round()
	before := count()
	for range 10 {
		round()
	}
	if after := count(); after > before+2 {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func TestCloseBeforeAnybodyPlayed(t *testing.T) {
	t.Parallel()
	cam, err := testcam.New(testcam.Options{Video: video(t), HoldUntilPlay: true})
	if err != nil {
		t.Fatal(err)
	}
	cam.Close()
	if got := cam.Stats().Units; got != 0 {
		t.Errorf("%d units sent to nobody", got)
	}
}

func TestBadVideo(t *testing.T) {
	t.Parallel()
	if _, err := testcam.New(testcam.Options{}); err == nil {
		t.Error("no error without a video")
	}
	if _, err := testcam.New(testcam.Options{Video: testcam.Video{Clip: &clip.Clip{}}}); err == nil {
		t.Error("no error for an empty clip")
	}
	if _, err := testcam.New(testcam.Options{Video: testcam.Video{Live: &clip.Spec{}}}); err == nil {
		t.Error("no error for a picture without a size")
	}
}

func TestBlackHole(t *testing.T) {
	t.Parallel()
	b, err := testcam.NewBlackHole()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("OPTIONS * RTSP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Errorf("it said %d bytes, error %v", n, err)
	}
	if got := b.Connections(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	b.Close()
	if conn, err := net.Dial("tcp", b.Addr()); err == nil {
		conn.Close()
		t.Error("it accepts after Close")
	}
}
