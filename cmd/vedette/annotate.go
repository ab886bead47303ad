package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/preprocess"
)

// jpegQuality of annotated pictures: good enough to judge a box by.
const jpegQuality = 90

// annotator writes pictures with their detections drawn in.
type annotator struct {
	dir string
	err func(error) // told of a picture that could not be written

	mu  sync.Mutex // cameras save at the same time
	buf []byte
}

func newAnnotator(dir string, onError func(error)) (*annotator, error) {
	if err := makeFolder("--save", dir); err != nil {
		return nil, err
	}
	return &annotator{dir: dir, err: onError}, nil
}

// makeFolder makes what a flag names.
func makeFolder(name, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usagef("%s %s: the folder cannot be made: %w", name, dir, fileerr.Cause(err))
	}
	return nil
}

// save writes one picture. It is safe for concurrent use.
func (a *annotator) save(d *vedette.Detection, pic preprocess.Picture) {
	if err := a.write(d, pic); err != nil {
		a.err(fmt.Errorf("save %s: %w", d.ID, fileerr.Named(err)))
	}
}

func (a *annotator) write(d *vedette.Detection, pic preprocess.Picture) error {
	view := viewOf(pic)
	if d.Objects != nil {
		boxes := make([]cv.Mark, 0, len(*d.Objects))
		for _, o := range *d.Objects {
			boxes = append(boxes, cv.Mark{Box: o.Box, Text: fmt.Sprintf("%s %.2f", o.Label, o.Score), Color: o.ClassID})
		}
		if err := cv.DrawBoxes(view, boxes); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	if a.buf, err = cv.EncodeJPEG(a.buf[:0], view, jpegQuality); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, pictureName(d)+".jpg"), a.buf, 0o644)
}

// pictureName names a saved picture, without an ending.
func pictureName(d *vedette.Detection) string {
	if d.Item == "" {
		return d.ID
	}
	// Pictures of several folders, or of one name with two endings, stay apart.
	stem := strings.TrimSuffix(filepath.Base(d.Item), filepath.Ext(d.Item))
	return fmt.Sprintf("%s-%s-%06d-%s", stem, d.Camera, d.Seq, d.Model.Name)
}

func viewOf(pic preprocess.Picture) cv.View {
	channels := 3
	if pic.Format == vedette.Gray8 {
		channels = 1
	}
	return cv.View{Data: pic.Data, Width: pic.Width, Height: pic.Height, Stride: pic.Stride, Channels: channels}
}
