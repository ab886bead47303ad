//go:build cv

package pipeline_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// live is a camera that paints a number and a clock into each picture.
func live(t *testing.T, fps int) *testcam.Camera {
	t.Helper()
	return camtest.RTSP(t, testcam.Options{Video: testcam.Video{
		Live: &clip.Spec{Width: 320, Height: 180, FPS: fps, GOP: 10, Paint: clip.Clocked(0)},
	}})
}

// count is how many results a camera has. Call it from an await.
func (r *rig) count(camera, epoch string) (n int) {
	for _, d := range r.out {
		if d.Camera == camera && (epoch == "" || d.Epoch == epoch) {
			n++
		}
	}
	return n
}

// TestRTSPShowsItsNumbers looks at two cameras in both ways of delivery, and
// crashes the capture of one in mid-stream, twice. That camera begins a new
// epoch; the other one does not notice.
func TestRTSPShowsItsNumbers(t *testing.T) {
	for _, delivery := range []preprocess.Delivery{preprocess.Every, preprocess.Latest} {
		t.Run(string(delivery), func(t *testing.T) {
			victim, beside := live(t, 30), live(t, 30)
			m := reader()
			r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{
				camera(t, "victim", victim.URL(), delivery, m), camera(t, "beside", beside.URL(), delivery, m),
			}})
			for epochs, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, 0} {
				r.await(fmt.Sprintf("epoch %d of both", epochs), func() bool {
					seen := map[string]int{}
					for _, d := range r.out {
						if d.Camera == "victim" {
							seen[d.Epoch]++
						}
					}
					enough := 0
					for _, n := range seen {
						if n >= 30 {
							enough++
						}
					}
					return enough > epochs && r.count("beside", "") >= 30*(epochs+1)
				})
				if sig != 0 {
					if err := syscall.Kill(captureOf(t, victim), sig); err != nil {
						t.Fatal(err)
					}
				}
			}
			r.end()
			a, b := r.of("victim"), r.of("beside")
			checkChain(t, a)
			checkChain(t, b)
			if epochs := checkNumbers(t, a); len(epochs) != 3 {
				t.Errorf("%d epochs after two crashes: %v", len(epochs), epochs)
			}
			if epochs := checkNumbers(t, b); len(epochs) != 1 {
				t.Errorf("the camera beside it has %d epochs: %v", len(epochs), epochs)
			}
			if delivery == preprocess.Every {
				for _, d := range b {
					if len(d.GapBefore) != 0 {
						t.Errorf("lossless, seq %d: gap_before %v", d.Seq, d.GapBefore)
					}
				}
			}
		})
	}
}

// captureOf finds the capture process that is connected to a camera.
func captureOf(t *testing.T, c *testcam.Camera) int {
	t.Helper()
	_, port, err := net.SplitHostPort(c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	remote := fmt.Sprintf("0100007F:%04X", n)
	var sockets []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && f[2] == remote {
			sockets = append(sockets, "socket:["+f[9]+"]")
		}
	}
	for _, pid := range captures(t) {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); slices.Contains(sockets, to) {
				return pid
			}
		}
	}
	t.Fatalf("no capture process is connected to port %s", port)
	return 0
}

// TestLosslessRTSP sends a clip once: every frame has one result, with its
// number.
func TestLosslessRTSP(t *testing.T) {
	const frames = 300
	c := camtest.RTSP(t, testcam.Options{HoldUntilPlay: true, Video: testcam.Video{
		Once: true, Clip: camtest.Clip(t, clip.Spec{Width: 320, Height: 180, FPS: 100, Frames: frames}),
	}})
	m := reader()
	cam := camera(t, "cam", c.URL(), preprocess.Every, m)
	cam.Ingest.Slots = 30
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{cam}})
	r.await("all frames", func() bool { return len(r.out) >= frames })
	r.end()
	out := r.of("cam")
	first := slices.DeleteFunc(slices.Clone(out), func(d *vedette.Detection) bool { return d.Epoch != out[0].Epoch })
	if len(first) != frames {
		t.Fatalf("%d results of %d frames", len(first), frames)
	}
	checkChain(t, first)
	for epoch, off := range checkNumbers(t, first) {
		if off != 0 {
			t.Errorf("%s: seq 0 shows number %d", epoch, off)
		}
	}
}

// TestChangeOfResolution changes the size of the picture in mid-stream.
func TestChangeOfResolution(t *testing.T) {
	sizes := [][2]int{{320, 180}, {640, 360}, {160, 96}}
	video := func(i int) testcam.Video {
		return testcam.Video{Live: &clip.Spec{Width: sizes[i][0], Height: sizes[i][1], FPS: 30, GOP: 10, Paint: clip.Numbered(uint32(10000 * i))}}
	}
	c := camtest.RTSP(t, testcam.Options{Video: video(0)})
	m := reader()
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "cam", c.URL(), preprocess.Latest, m)}})
	for i, size := range sizes {
		if i > 0 {
			if err := c.Show(video(i)); err != nil {
				t.Fatal(err)
			}
		}
		r.await(fmt.Sprintf("pictures of %v", size), func() bool {
			n := 0
			for _, d := range r.out {
				if d.Width == size[0] && d.Height == size[1] && d.Status == vedette.StatusOK {
					n++
				}
			}
			return n >= 20
		})
	}
	r.end()
	out := r.of("cam")
	checkChain(t, out)
	shown := map[uint32]bool{}
	for _, d := range out {
		read := read(d)
		if !read.HasNumber || shown[read.Number] {
			t.Errorf("%s seq %d, %d×%d: %+v, shown before: %v", d.Epoch, d.Seq, d.Width, d.Height, read, shown[read.Number])
			continue
		}
		shown[read.Number] = true
		if i := int(read.Number / 10000); d.Width != sizes[i][0] || d.Height != sizes[i][1] {
			t.Errorf("number %d in a picture of %d×%d", read.Number, d.Width, d.Height)
		}
		for _, o := range *d.Objects {
			if o.Box[2] > float64(d.Width) || o.Box[3] > float64(d.Height) {
				t.Errorf("box %v in a picture of %d×%d", o.Box, d.Width, d.Height)
			}
		}
	}
}

// TestAgeOfWhatIsPublished reads the clock that the camera painted. The budget
// is a p99 of 300 ms; how far a busy machine is from it is logged, and only
// what no machine explains fails.
func TestAgeOfWhatIsPublished(t *testing.T) {
	c := live(t, 25)
	m := reader()
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "cam", c.URL(), preprocess.Latest, m)}})
	r.await("100 results", func() bool { return len(r.out) >= 100 })
	r.end()
	var ages []time.Duration
	for _, d := range r.of("cam") {
		if read := read(d); read.HasClock {
			ages = append(ages, barcode.Age(d.PublishTime.Time, read.Clock))
		}
	}
	if len(ages) < 90 {
		t.Fatalf("%d clocks read of %d pictures", len(ages), len(r.of("cam")))
	}
	first := ages[0]
	slices.Sort(ages)
	p50, p99 := ages[len(ages)/2], ages[len(ages)*99/100]
	t.Logf("glass → published over RTSP: first %v, p50 %v, p99 %v (budget 300 ms)", first, p50, p99)
	if p50 > time.Second || ages[0] < 0 {
		t.Errorf("ages %v … %v", ages[0], ages[len(ages)-1])
	}
}

// TestSameOverRTSP serves a video file over RTSP: the same pictures give the
// same objects as from the file.
func TestSameOverRTSP(t *testing.T) {
	const frames, fps = 230, 25
	path, m := testkit.Data(t, "videos/car-detection.mp4"), yolox(t)
	v, err := clip.Read(t.Context(), path, fps, frames)
	if err != nil {
		t.Fatal(err)
	}
	c := camtest.RTSP(t, testcam.Options{HoldUntilPlay: true, Video: testcam.Video{Clip: v, Once: true}})
	over := camera(t, "rtsp", c.URL(), preprocess.Every, m)
	over.Ingest.Slots = 60 // a machine that is slower than 25 fps for a while
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{over}})
	r.await("all frames", func() bool { return len(r.out) >= frames })
	r.end()
	file := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "file", path, preprocess.Every, m)}})
	if err := file.wait(); err != nil {
		t.Fatal(err)
	}
	want, objects := file.of("file"), 0
	for i, d := range r.of("rtsp")[:frames] {
		if d.Seq != uint64(i) || d.Status != vedette.StatusOK {
			t.Fatalf("result %d has seq %d: %s %s", i, d.Seq, d.Status, d.Reason)
		}
		if got, want := fmt.Sprint(*d.Objects), fmt.Sprint(*want[i].Objects); got != want {
			t.Errorf("frame %d over RTSP shows %s, in the file %s", i, got, want)
		}
		objects += len(*d.Objects)
	}
	if objects < 100 {
		t.Errorf("only %d objects were compared", objects)
	}
	t.Logf("%d objects on %d frames are the same", objects, frames)
}

// TestPasswordStaysSecret looks for the password of a camera that is asked
// wrongly and rightly in everything that comes out.
func TestPasswordStaysSecret(t *testing.T) {
	c := camtest.RTSP(t, testcam.Options{User: "viewer", Password: "s3cr3t-pw", Video: testcam.Video{
		Live: &clip.Spec{Width: 320, Height: 180, FPS: 30, GOP: 10},
	}})
	m := reader()
	right := camera(t, "right", c.URL(), preprocess.Latest, m)
	wrong := camera(t, "wrong", c.URLFor("viewer", "wr0ng-pw"), preprocess.Latest, m)
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{right, wrong}})
	r.await("pictures of one and the failure of the other", func() bool {
		return r.count("right", "") > 5 && slices.ContainsFunc(r.states, func(s ingest.State) bool { return s.Camera == "wrong" && s.Phase == ingest.Offline })
	})
	status := fmt.Sprintf("%+v", r.Status())
	r.end()
	r.mu.Lock()
	seen := status + fmt.Sprintf("%+v", r.states) + r.log.String()
	r.mu.Unlock()
	for _, secret := range []string{"s3cr3t-pw", "wr0ng-pw"} {
		if i := strings.Index(seen, secret); i >= 0 {
			t.Errorf("%s in: %s", secret, bytes.TrimSpace([]byte(seen[max(0, i-100):min(len(seen), i+50)])))
		}
	}
}
