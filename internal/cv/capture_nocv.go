//go:build !cv

package cv

import (
	"os"

	"github.com/vedette-io/vedette/internal/picture"
)

// Capture is an open video source.
type Capture struct{}

// OpenCapture returns [ErrNoOpenCV].
func OpenCapture(string, CaptureOptions) (*Capture, error) { return nil, ErrNoOpenCV }

// Close does nothing.
func (*Capture) Close() error { return nil }

// FPS is 0.
func (*Capture) FPS() float64 { return 0 }

// Frames is 0.
func (*Capture) Frames() int64 { return 0 }

// Accelerated is false.
func (*Capture) Accelerated() bool { return false }

// PTSMillis is 0.
func (*Capture) PTSMillis() float64 { return 0 }

// Grab returns [ErrNoOpenCV].
func (*Capture) Grab() error { return ErrNoOpenCV }

// Retrieve returns [ErrNoOpenCV].
func (*Capture) Retrieve([]byte) (Shape, error) { return Shape{}, ErrNoOpenCV }

// Picture is a decoded still picture.
type Picture struct{ view View }

// ReadPicture decodes an image file to BGR, upright; see [picture.Decode].
func ReadPicture(path string) (*Picture, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, err := picture.Decode(file)
	if err != nil {
		return nil, err
	}
	return &Picture{v}, nil
}

// Shape is the size of the picture.
func (p *Picture) Shape() Shape { return Shape{p.view.Width, p.view.Height, p.view.Channels} }

// CopyTo copies the picture to dst, or fails with [ErrTooSmall].
func (p *Picture) CopyTo(dst []byte) error {
	if len(dst) < len(p.view.Data) {
		return ErrTooSmall
	}
	copy(dst, p.view.Data)
	return nil
}

// Close does nothing.
func (*Picture) Close() error { return nil }
