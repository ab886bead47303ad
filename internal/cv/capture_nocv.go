//go:build !cv

package cv

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
type Picture struct{}

// ReadPicture returns [ErrNoOpenCV].
func ReadPicture(string) (*Picture, error) { return nil, ErrNoOpenCV }

// Shape is zero.
func (*Picture) Shape() Shape { return Shape{} }

// CopyTo returns [ErrNoOpenCV].
func (*Picture) CopyTo([]byte) error { return ErrNoOpenCV }

// Close does nothing.
func (*Picture) Close() error { return nil }
