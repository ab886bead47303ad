package main

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/preprocess"
)

// frameKeeper writes pictures as they were looked at: who trains on them needs
// every pixel, and no box drawn in.
type frameKeeper struct {
	dir string
	err func(error) // told of a picture that could not be written
}

func newFrameKeeper(dir string, onError func(error)) (*frameKeeper, error) {
	if err := makeFolder("--save-frames", dir); err != nil {
		return nil, err
	}
	return &frameKeeper{dir: dir, err: onError}, nil
}

// save writes one picture and leaves it as it is. It is safe for concurrent use.
func (k *frameKeeper) save(d *vedette.Detection, pic preprocess.Picture) {
	path := filepath.Join(k.dir, pictureName(d)+".png")
	if err := writePNG(path, imageOf(viewOf(pic))); err != nil {
		k.err(fmt.Errorf("save %s: %w", d.ID, fileerr.Named(err)))
	}
}

// writePNG leaves no half of a picture behind.
func writePNG(path string, m image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	enc := png.Encoder{CompressionLevel: png.BestSpeed} // a camera does not wait
	if err := errors.Join(enc.Encode(f, m), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// imageOf copies a picture, BGR or grey.
func imageOf(v cv.View) image.Image {
	if v.Channels == 1 {
		m := image.NewGray(image.Rect(0, 0, v.Width, v.Height))
		for y := range v.Height {
			copy(m.Pix[y*m.Stride:(y+1)*m.Stride], v.Data[y*v.Stride:])
		}
		return m
	}
	m := image.NewNRGBA(image.Rect(0, 0, v.Width, v.Height))
	for y := range v.Height {
		src, dst := v.Data[y*v.Stride:], m.Pix[y*m.Stride:]
		for x := range v.Width {
			dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = src[3*x+2], src[3*x+1], src[3*x], 255
		}
	}
	return m
}
