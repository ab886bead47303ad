//go:build cv && linux

package main_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/vedette-io/vedette/internal/testcam/barcode"
)

// numbered is a colourful picture in which the test model finds something.
func numbered(width, height int) *image.NRGBA {
	bgr := make([]byte, 3*width*height)
	for i := range bgr {
		bgr[i] = byte(i * 7)
	}
	barcode.Draw(bgr, width, height, 3*width, 123456)
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		m.SetNRGBA(i%width, i/width, color.NRGBA{bgr[3*i+2], bgr[3*i+1], bgr[3*i], 255})
	}
	return m
}

// --save-frames keeps every pixel, also beside --save, which draws boxes into
// its own pictures.
func TestDetectSaveFrames(t *testing.T) {
	t.Parallel()
	want := numbered(322, 181)
	var src bytes.Buffer
	if err := png.Encode(&src, want); err != nil {
		t.Fatal(err)
	}
	for _, withSave := range []bool{false, true} {
		t.Run(fmt.Sprintf("with save %t", withSave), func(t *testing.T) {
			t.Parallel()
			frames, saved := filepath.Join(t.TempDir(), "new"), t.TempDir()
			args := []string{folder(t, map[string][]byte{"a.png": src.Bytes()}), "--save-frames", frames}
			if withSave {
				args = append(args, "--save", saved)
			}
			ds := detect(t, args...).detections(t)
			if len(ds) != 1 || ds[0].Objects == nil || len(*ds[0].Objects) == 0 {
				t.Fatalf("nothing was found that a box could be drawn round: %+v", ds)
			}
			stem := fmt.Sprintf("a-%s-000000-barcode-reader", ds[0].Camera)
			raw, err := os.ReadFile(filepath.Join(frames, stem+".png"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := png.Decode(bytes.NewReader(raw))
			if err != nil || got.Bounds() != want.Bounds() {
				t.Fatalf("a picture of %v, %v", got.Bounds(), err)
			}
			for y := range want.Rect.Dy() {
				for x := range want.Rect.Dx() {
					if g, w := color.NRGBAModel.Convert(got.At(x, y)), want.NRGBAAt(x, y); g != w {
						t.Fatalf("pixel %d,%d is %v, want %v", x, y, g, w)
					}
				}
			}
			if _, err := os.Stat(filepath.Join(saved, stem+".jpg")); (err == nil) != withSave {
				t.Errorf("annotated picture: %v", err)
			}
		})
	}
}

// Frames of a video have the names of their results.
func TestDetectSaveFramesOfVideo(t *testing.T) {
	t.Parallel()
	frames := t.TempDir()
	ds := detect(t, "synthetic://bars?width=64&height=48&frames=3", "--save-frames", frames).detections(t)
	if len(ds) != 3 {
		t.Fatalf("%d results", len(ds))
	}
	for _, d := range ds {
		raw, err := os.ReadFile(filepath.Join(frames, d.ID+".png"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		bgr := make([]byte, 0, 3*64*48)
		for y := range 48 {
			for x := range 64 {
				c := color.NRGBAModel.Convert(got.At(x, y)).(color.NRGBA)
				bgr = append(bgr, c.B, c.G, c.R)
			}
		}
		if n, ok := barcode.Read(bgr, 64, 48, 3*64); !ok || uint64(n) != d.Seq {
			t.Errorf("%s shows the number %d, %t", d.ID, n, ok)
		}
	}
}
