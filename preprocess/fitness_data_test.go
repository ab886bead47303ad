//go:build cv

package preprocess_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/preprocess"
)

// images are the files of the test data that show a normal scene.
func images(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"images/coco64/images", "images/faces", "images/misc"} {
		files, err := filepath.Glob(filepath.Join(testkit.Data(t, pattern), "*.jpg"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no pictures in %s", pattern)
		}
		out = append(out, files...)
	}
	return out
}

func load(t *testing.T, file string) preprocess.Picture {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := cv.DecodeImage(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return preprocess.Picture{Data: v.Data, Stride: v.Stride, Width: v.Width, Height: v.Height, Format: vedette.BGR24}
}

// dimmed is p in a tenth of the light.
func dimmed(p preprocess.Picture) preprocess.Picture {
	data := make([]byte, len(p.Data))
	for i, v := range p.Data {
		data[i] = 2 + v/10
	}
	p.Data = data
	return p
}

// defocused is p as a lens far out of focus shows it: with the detail of a
// picture 32 pixels wide.
func defocused(t *testing.T, p preprocess.Picture) preprocess.Picture {
	t.Helper()
	const w = 32
	h := max(1, w*p.Height/p.Width)
	small := cv.View{Data: make([]byte, w*h*3), Width: w, Height: h, Stride: w * 3, Channels: 3}
	large := cv.View{Data: p.Data, Width: p.Width, Height: p.Height, Stride: p.Stride, Channels: 3}
	if err := cv.Resize(small, large, cv.Area); err != nil {
		t.Fatal(err)
	}
	large.Data = make([]byte, len(p.Data))
	if err := cv.Resize(large, small, cv.Cubic); err != nil {
		t.Fatal(err)
	}
	p.Data = large.Data
	return p
}

// TestFitnessOfRealImages finds normal pictures fit, by day and by night, and
// finds them unfit when they are spoilt.
func TestFitnessOfRealImages(t *testing.T) {
	files := images(t)
	blurred := 0
	for _, file := range files {
		name, pic := filepath.Base(file), load(t, file)
		if got := verdict(fitness(), pic, time.Unix(0, 0)); got != "ok" {
			t.Errorf("%s: %s", name, got)
		}
		if got := verdict(fitness(), dimmed(pic), time.Unix(0, 0)); got != "ok" {
			t.Errorf("%s dimmed: %s", name, got)
		}
		if verdict(fitness(), defocused(t, pic), time.Unix(0, 0)) == preprocess.UnfitBlurred {
			blurred++
		}
	}
	t.Logf("%d pictures fit, by day and dimmed; %d of them found blurred when out of focus", len(files), blurred)
	if blurred < len(files)*95/100 {
		t.Errorf("only %d of %d defocused pictures were found blurred", blurred, len(files))
	}
}

// TestFitnessOfRealVideos plays the beginnings of the clips as a live camera
// would deliver them: not one frame may be called unfit.
func TestFitnessOfRealVideos(t *testing.T) {
	for _, name := range []string{
		"bottle-detection.mp4", "car-detection.mp4", "one-by-one-person-detection.mp4", "gocv_small.mp4", "walk.mkv", "book.mkv",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, frames := fitness(), 0
			unfit := map[string]int{}
			play(t, testkit.Data(t, "videos/"+name), 300, func(p preprocess.Picture, now time.Time) {
				frames++
				if got := verdict(f, p, now); got != "ok" {
					unfit[fmt.Sprintf("frame %d %s", frames, got)]++
				}
			})
			if frames < 80 || len(unfit) > 0 {
				t.Errorf("of %d frames %d are unfit: %v", frames, len(unfit), unfit)
			}
		})
	}
}

// play calls do with up to limit frames of a video file.
func play(t *testing.T, file string, limit int, do func(preprocess.Picture, time.Time)) {
	t.Helper()
	c, err := cv.OpenCapture(file, cv.CaptureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	buf := make([]byte, 1<<21)
	start := time.Unix(0, 0)
	for range limit {
		err := c.Grab()
		if errors.Is(err, cv.ErrNoFrame) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Retrieve(buf)
		if err != nil {
			t.Fatal(err)
		}
		do(preprocess.Picture{Data: buf[:s.Bytes()], Stride: s.Stride(), Width: s.Width, Height: s.Height, Format: vedette.BGR24},
			start.Add(time.Duration(c.PTSMillis()*float64(time.Millisecond))))
	}
}
