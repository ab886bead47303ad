//go:build gpu

// The tests of a pool on CUDA, for a machine that has it: go test -tags gpu.

package infer_test

import (
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/internal/testkit"
)

// photos are real pictures in the size of a network.
func photos(t *testing.T, side int) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Data(t, "images/coco64"), "images", "*.jpg"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	var out [][]byte
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(file, err)
		}
		out = append(out, fit(img, side))
	}
	return out
}

// fit samples a picture into the top left of a grey square, in BGR.
func fit(img image.Image, side int) []byte {
	b := make([]byte, 3*side*side)
	scale := float64(max(img.Bounds().Dx(), img.Bounds().Dy())) / float64(side)
	for y := range side {
		for x := range side {
			at := image.Pt(int(float64(x)*scale), int(float64(y)*scale))
			i := 3 * (y*side + x)
			b[i], b[i+1], b[i+2] = 114, 114, 114
			if at.In(img.Bounds()) {
				red, green, blue, _ := img.At(at.X, at.Y).RGBA()
				b[i], b[i+1], b[i+2] = byte(blue>>8), byte(green>>8), byte(red>>8)
			}
		}
	}
	return b
}

// TestGPUPoolSeesAsCPU gives real pictures to a detector on the CPU, one by one,
// and on the GPU, in batches: they see the same.
func TestGPUPoolSeesAsCPU(t *testing.T) {
	net := yolox(t)
	pictures := photos(t, net.man.Input.Width)
	cpu, gpu := poolOn(t, net, "cpu", 4, 1), poolOn(t, net, "cuda:0", 2, 1, 2, 4, 8, 16)
	if gpu.Ref().Device != "cuda:0" {
		t.Fatalf("it runs on %s", gpu.Ref().Device)
	}
	var want, got []<-chan *tensor.Answer
	for _, p := range pictures {
		want, got = append(want, cpu.send(p, time.Time{})), append(got, gpu.send(p, time.Time{}))
	}
	objects := 0
	for i := range pictures {
		w, g := cpu.wait(want[i]), gpu.wait(got[i])
		if err := sameObjects(g, w); err != nil {
			t.Errorf("picture %d: %v", i, err)
			continue
		}
		objects += len(*w.Objects)
	}
	n, runs := gpu.seen.pictures()
	t.Logf("%d pictures in %d runs, %d objects: %v", n, runs, objects, gpu.seen.runs)
	if objects < 50 || runs > n/2 {
		t.Errorf("%d objects in %d runs: nothing was compared", objects, runs)
	}
}

// sameObjects compares detections to a hundredth of a pixel and of a percent.
func sameObjects(got, want *tensor.Answer) error {
	if got.Status != vedette.StatusOK || want.Status != vedette.StatusOK || len(*got.Objects) != len(*want.Objects) {
		return fmt.Errorf("%+v, want %+v", got, want)
	}
	for i, w := range *want.Objects {
		g := (*got.Objects)[i]
		numbers := []float32{float32(g.Score), float32(g.Box[0]), float32(g.Box[1]), float32(g.Box[2]), float32(g.Box[3])}
		if err := enginetest.Near(numbers, []float64{w.Score, w.Box[0], w.Box[1], w.Box[2], w.Box[3]}); err != nil || g.ClassID != w.ClassID {
			return fmt.Errorf("object %d: %+v, want %+v", i, g, w)
		}
	}
	return nil
}

// TestGPURunIsCutOff stops a long run on the GPU, and goes on.
func TestGPURunIsCutOff(t *testing.T) {
	net, body := convNet(1, 4000, 24), make([]byte, 3*24*24)
	free := poolOn(t, net, "cuda:0", 1, 1)
	if a := free.wait(free.send(body, time.Time{})); a.Status != vedette.StatusOK {
		t.Fatalf("%+v", a)
	}
	limit := free.seen.time / 8
	r := poolLike(t, net, "cuda:0", func(cfg *infer.WorkerConfig) { cfg.Timeout, cfg.Care.Failures = limit, 100 })
	for range 4 {
		r.wait(r.send(body, time.Time{}))
	}
	h := r.Health()
	t.Logf("a run takes %v, cut off at %v: health %+v", free.seen.time, limit, h)
	if h.CutOff == 0 || h.GivenUp != 0 || h.State != infer.StateOK {
		t.Errorf("health %+v", h)
	}
}
