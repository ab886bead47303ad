//go:build cv

package pipeline_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testcam/camtest"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// numbered makes a clip file whose pictures show their numbers.
func numbered(t *testing.T, frames int) string {
	t.Helper()
	return camtest.File(t, clip.Spec{Width: 320, Height: 180, FPS: 100, Frames: frames})
}

// whole checks that a lossless source of n frames left one result each.
func whole(t *testing.T, r *rig, id string, n int) []*vedette.Detection {
	t.Helper()
	out := r.of(id)
	if len(out) != n {
		t.Fatalf("%s: %d results, want %d", id, len(out), n)
	}
	for i, d := range out {
		if d.Seq != uint64(i) || d.Epoch != out[0].Epoch || d.Status != vedette.StatusOK {
			t.Fatalf("%s: result %d is %s seq %d: %s %s", id, i, d.Epoch, d.Seq, d.Status, d.Reason)
		}
	}
	checkChain(t, out)
	if c := r.counts(id); c.Captured != uint64(n) || c.Inferred != uint64(n) {
		t.Errorf("%s: account %+v, want %d frames captured and inferred", id, c, n)
	}
	return out
}

func TestCarDetection(t *testing.T) {
	m := yolox(t)
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{
		camera(t, "cars", testkit.Data(t, "videos/car-detection.mp4"), preprocess.Every, m),
	}})
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	out := whole(t, r, "cars", 377)
	r.end()
	for _, d := range out {
		if d.Width != 768 || d.Height != 432 || d.Clock != vedette.ClockFile {
			t.Fatalf("%+v", d)
		}
	}
	// Where the cars are, as seen by a person. So small a model takes a car seen
	// from above for a telephone: the box is what counts.
	for seq, cars := range map[int][]vedette.Box{
		81:  {{273, 64, 435, 320}},
		207: {{85, 72, 258, 382}, {325, 135, 485, 430}},
		225: {{309, 0, 442, 156}, {68, 358, 229, 432}},
		30:  nil,
	} {
		found := *out[seq].Objects
		if len(found) != len(cars) {
			t.Errorf("frame %d: %d objects, want %d: %+v", seq, len(found), len(cars), found)
		}
		for _, car := range cars {
			if !slices.ContainsFunc(found, func(o vedette.Object) bool { return overlap(o.Box, car) > 0.8 }) {
				t.Errorf("frame %d: no box on the car at %v: %+v", seq, car, found)
			}
		}
	}
}

// overlap is the intersection of two boxes over their union.
func overlap(a, b vedette.Box) float64 {
	area := func(b vedette.Box) float64 { return max(0, b[2]-b[0]) * max(0, b[3]-b[1]) }
	both := area(vedette.Box{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	return both / (area(a) + area(b) - both)
}

func TestEveryFrameShowsItsNumber(t *testing.T) {
	const frames = 500
	file, m := numbered(t, frames), reader()
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{
		camera(t, "one", file, preprocess.Every, m),
		camera(t, "two", file, preprocess.Every, m), // several share rings, workers and the bus
		camera(t, "three", file, preprocess.Every, m),
		camera(t, "bars", "synthetic://bars?frames=500&width=1280&height=720", preprocess.Every, m),
	}})
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two", "three", "bars"} {
		for epoch, off := range checkNumbers(t, whole(t, r, id, frames)) {
			if off != 0 {
				t.Errorf("%s %s: seq 0 shows number %d", id, epoch, off)
			}
		}
	}
}

// TestCrashesCostNoFrame kills the capture process of a file again and again:
// the file goes on where it was.
func TestCrashesCostNoFrame(t *testing.T) {
	const frames = 500
	m := reader()
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "file", numbered(t, frames), preprocess.Every, m)}})
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGSEGV} {
		r.await("more results", func() bool { return len(r.out) > 100*i })
		for _, pid := range captures(t) {
			_ = syscall.Kill(pid, sig) // it may just have ended
		}
	}
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	checkNumbers(t, whole(t, r, "file", frames))
	if s := r.Status().Cameras[0]; s.Restarts == 0 || s.Restarts > 3 {
		t.Errorf("%d restarts, want one for each of three crashes that came in time", s.Restarts)
	}
}

func TestTwoModelsOnOneCamera(t *testing.T) {
	const frames = 200
	slow := models.Manifest{
		Name: "slow", Task: models.Classify, Output: models.Output{Decoder: "classify", Softmax: true},
		Input: models.Input{Width: 128, Height: 128, Layout: models.NCHW, Color: models.RGB, Resize: models.Letterbox, Interpolation: models.Linear, Scale: 1. / 255, Type: models.Float32},
	}
	a, b := reader(), builtIn(onnxtest.Slow(8), slow)
	cam := camera(t, "cam", numbered(t, frames), preprocess.Every, a, b)
	r := start(t, pipeline.Config{Models: []pipeline.Model{a, b}, Cameras: []pipeline.Camera{cam}})
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	by := map[string][]*vedette.Detection{}
	for _, d := range r.of("cam") {
		by[d.Model.Name] = append(by[d.Model.Name], d)
	}
	for name, out := range by {
		if len(out) != frames {
			t.Errorf("model %s: %d results, want %d", name, len(out), frames)
		}
		checkChain(t, out)
	}
	checkNumbers(t, by["barcode"])
	for _, d := range by["slow"] {
		if d.Classes == nil || len(*d.Classes) == 0 || d.Objects != nil {
			t.Fatalf("classifier's result: %+v", d)
		}
	}
}

// TestBadPicturesCostThemselves puts damaged pictures among good ones.
func TestBadPicturesCostThemselves(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 320*240*3)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	good, err := cv.EncodeJPEG(nil, cv.View{Data: noise, Width: 320, Height: 240, Stride: 960, Channels: 3}, 90)
	if err != nil {
		t.Fatal(err)
	}
	tiny, err := cv.EncodeJPEG(nil, cv.View{Data: noise[:3], Width: 1, Height: 1, Stride: 3, Channels: 3}, 90)
	if err != nil {
		t.Fatal(err)
	}
	items := []struct {
		name   string
		data   []byte
		status vedette.Status
	}{
		{"a.jpg", good, vedette.StatusOK},
		{"b-cut.jpg", good[:len(good)/3], vedette.StatusFailed},
		{"c.jpg", good, vedette.StatusOK},
		{"d-empty.jpg", nil, vedette.StatusFailed},
		{"e-text.png", []byte("not a picture at all\n"), vedette.StatusFailed},
		{"f-tiny.jpg", tiny, vedette.StatusOK},
		{"g.jpg", good, vedette.StatusOK},
	}
	failed := uint64(0)
	for _, it := range items {
		if err := os.WriteFile(filepath.Join(dir, it.name), it.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if it.status == vedette.StatusFailed {
			failed++
		}
	}
	m := reader()
	r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{camera(t, "folder", dir, preprocess.Every, m)}})
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	out := r.of("folder")
	if len(out) != len(items) {
		t.Fatalf("%d results of %d pictures", len(out), len(items))
	}
	for i, d := range out {
		if d.Item != items[i].name || d.Status != items[i].status || (d.Reason == "") != (d.Status == vedette.StatusOK) || (d.Objects != nil) != (d.Status == vedette.StatusOK) {
			t.Errorf("result %d: %s %s %q, want %s %s", i, d.Item, d.Status, d.Reason, items[i].name, items[i].status)
		}
		if d.Status == vedette.StatusFailed {
			t.Logf("%s: %s", d.Item, d.Reason)
		}
	}
	checkChain(t, out)
	if c := r.counts("folder"); c.Failed != failed || c.Inferred != uint64(len(items))-failed {
		t.Errorf("account %+v", c)
	}
}

// TestStopKeepsResults stops in mid-run: it is quick, what was published is
// stored, and the accounts are closed (which end checks).
func TestStopKeepsResults(t *testing.T) {
	store := t.TempDir()
	m := reader()
	cfg := pipeline.Config{Bus: bus.Config{Store: store}, Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{
		camera(t, "every", "synthetic://bars?frames=1000000&width=640&height=360", preprocess.Every, m),
		camera(t, "latest", "synthetic://bars?fps=200&width=640&height=360", preprocess.Latest, m),
	}}
	r := start(t, cfg)
	r.await("results of both", func() bool {
		n := map[string]int{}
		for _, d := range r.out {
			n[d.Camera]++
		}
		return n["every"] > 100 && n["latest"] > 20
	})
	began := time.Now()
	r.end()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	} else {
		t.Logf("stopped in %v", took)
	}
	if pids := captures(t); len(pids) != 0 {
		t.Errorf("capture processes are left: %v", pids)
	}
	b, err := bus.Start(context.Background(), bus.Config{Store: store}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w := b.NewDetectionWriter()
	defer w.Close()
	for _, id := range []string{"every", "latest"} {
		out := r.of(id)
		checkChain(t, out)
		last, err := w.Last(t.Context(), id, m.Loaded.Manifest.Name)
		if err != nil || last == nil || last.ID != out[len(out)-1].ID {
			t.Errorf("%s: stored last %+v, %v; published last %s", id, last, err, out[len(out)-1].ID)
		}
	}
}

// TestNothingLeaks runs pipelines one after the other: descriptors come back.
// The detector of leaked goroutines is TestMain's.
func TestNothingLeaks(t *testing.T) {
	m := reader()
	once := func() {
		r := start(t, pipeline.Config{Models: []pipeline.Model{m}, Cameras: []pipeline.Camera{
			camera(t, "a", "synthetic://bars?frames=20&width=160&height=90", preprocess.Every, m),
			camera(t, "b", "synthetic://bars?fps=100&width=160&height=90", preprocess.Latest, m),
		}})
		r.await("results", func() bool { return len(r.out) >= 30 })
		r.end()
	}
	once() // what libraries open once
	before := len(testkit.OpenFiles(t))
	for range 4 {
		once()
	}
	if after := len(testkit.OpenFiles(t)); after > before {
		t.Errorf("%d open descriptors, %d before", after, before)
	}
}
