package cv

import (
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette/internal/picture"
)

// Errors of a capture that callers can tell apart.
var (
	// ErrNotOpened says that OpenCV could not open the source. It gives no
	// reason.
	ErrNotOpened = errors.New("cannot be opened")
	// ErrNoFrame says that no further frame came: the end of a file, a lost
	// connection or an expired read timeout. OpenCV does not tell which.
	ErrNoFrame = errors.New("no frame")
	// ErrTooSmall says that a picture does not fit into the memory given.
	ErrTooSmall = errors.New("memory too small for the picture")
	// ErrNotAPicture says that the bytes are not a picture OpenCV can decode
	// completely.
	ErrNotAPicture = picture.ErrNotAPicture
)

// Backend is the OpenCV module that captures.
type Backend int

// The backends in use; OpenCV never chooses one itself.
const (
	FFmpeg Backend = iota
	V4L2
	GStreamer
)

// Acceleration is the hardware decoder to ask for.
type Acceleration int

// The values of OpenCV's VideoAccelerationType.
const (
	Software Acceleration = 0
	Any      Acceleration = 1
	VAAPI    Acceleration = 3
	MFX      Acceleration = 4
)

// CaptureOptions says how to open a source. The zero value is FFmpeg with
// software decoding and OpenCV's own timeouts of 30 s.
type CaptureOptions struct {
	Backend      Backend
	Acceleration Acceleration // FFmpeg only
	OpenTimeout  time.Duration
	ReadTimeout  time.Duration
}

// Shape is the size and layout of a picture: interleaved bytes, rows without
// padding.
type Shape struct {
	Width, Height int
	Channels      int // 3: BGR, 1: grey
}

// Stride is the bytes of one row.
func (s Shape) Stride() int { return s.Width * s.Channels }

// Bytes is the size of the whole picture.
func (s Shape) Bytes() int { return s.Stride() * s.Height }

func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.Width, s.Height, s.Channels) }
