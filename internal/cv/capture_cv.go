//go:build cv

package cv

import (
	"fmt"
	"unsafe"

	"gocv.io/x/gocv"
)

// Properties of OpenCV that gocv has no names for.
const (
	propOpenTimeout gocv.VideoCaptureProperties = 53
	propReadTimeout gocv.VideoCaptureProperties = 54
)

// Capture is an open video source. It is not safe for concurrent use, Close
// included, and every call may block for as long as C code pleases.
type Capture struct {
	vc *gocv.VideoCapture
	// spare holds a picture that did not fit where it should have gone.
	spare gocv.Mat
	held  bool
	shape Shape
	pos   float64 // of the last frame
}

// OpenCapture opens a file, an URL or a pipeline. That it succeeds does not
// mean that frames will come: the first one does.
func OpenCapture(source string, o CaptureOptions) (*Capture, error) {
	api := gocv.VideoCaptureFFmpeg
	var params []gocv.VideoCaptureProperties
	switch o.Backend {
	case GStreamer:
		api = gocv.VideoCaptureGstreamer
	case V4L2:
		api = gocv.VideoCaptureV4L2
	case FFmpeg:
		// An option that a backend does not know makes the open fail.
		params = []gocv.VideoCaptureProperties{
			gocv.VideoCaptureHWAcceleration, gocv.VideoCaptureProperties(o.Acceleration)}
		if o.OpenTimeout > 0 {
			params = append(params, propOpenTimeout, gocv.VideoCaptureProperties(o.OpenTimeout.Milliseconds()))
		}
		if o.ReadTimeout > 0 {
			params = append(params, propReadTimeout, gocv.VideoCaptureProperties(o.ReadTimeout.Milliseconds()))
		}
	}
	var vc *gocv.VideoCapture
	var err error
	if len(params) > 0 {
		vc, err = gocv.VideoCaptureFileWithAPIParams(source, api, params)
	} else {
		vc, err = gocv.VideoCaptureFileWithAPI(source, api)
	}
	if err == nil && !vc.IsOpened() {
		err = ErrNotOpened
	}
	if err != nil {
		if vc != nil { // gocv returns an object with the error, too
			_ = vc.Close()
		}
		return nil, ErrNotOpened // gocv's text repeats the source with its password
	}
	return &Capture{vc: vc, spare: gocv.NewMat()}, nil
}

// Close ends the capture. It is idempotent.
func (c *Capture) Close() error {
	if c.vc == nil {
		return nil
	}
	err := c.vc.Close()
	c.vc = nil
	if e := c.spare.Close(); err == nil {
		err = e
	}
	return err
}

// FPS is the source's frame rate by its own account, 0 when it gives none.
func (c *Capture) FPS() float64 { return c.vc.Get(gocv.VideoCaptureFPS) }

// Frames is how many frames a file says it has; an estimate for some formats,
// 0 or less when it is not known.
func (c *Capture) Frames() int64 { return int64(c.vc.Get(gocv.VideoCaptureFrameCount)) }

// Accelerated reports whether a hardware decoder is in use.
func (c *Capture) Accelerated() bool { return c.vc.Get(gocv.VideoCaptureHWAcceleration) > 0 }

// PTSMillis is the presentation time of the grabbed frame in the stream; it
// need not start at 0.
func (c *Capture) PTSMillis() float64 { return c.vc.Get(gocv.VideoCapturePosMsec) }

// Grab decodes the next frame without converting it, and fails with
// [ErrNoFrame] when there is none.
func (c *Capture) Grab() error {
	c.held = false
	if err := c.vc.Grab(1); err != nil {
		return fmt.Errorf("%w: %w", ErrNoFrame, err)
	}
	// gocv's Grab cannot report that OpenCV's failed. The position tells: the
	// frame number where the backend counts, else the presentation time.
	pos := c.vc.Get(gocv.VideoCapturePosFrames)
	if pos <= 0 {
		pos = c.vc.Get(gocv.VideoCapturePosMsec)
	}
	if pos > 0 && pos == c.pos {
		return ErrNoFrame
	}
	c.pos = pos
	return nil
}

// Retrieve converts the grabbed frame and puts it into dst, in place when it
// has the shape of the frame before. With [ErrTooSmall] the shape says what is
// needed, and Retrieve can be called again with more.
func (c *Capture) Retrieve(dst []byte) (Shape, error) {
	if c.held {
		return c.shape, c.copyOut(dst)
	}
	if n := c.shape.Bytes(); n > 0 && len(dst) >= n {
		return c.retrieveInto(dst, n)
	}
	if !c.vc.Retrieve(&c.spare) {
		return Shape{}, ErrNoFrame
	}
	return c.keep(&c.spare, dst)
}

func (c *Capture) retrieveInto(dst []byte, n int) (Shape, error) {
	m, err := gocv.NewMatFromBytes(c.shape.Height, c.shape.Width, matType(c.shape.Channels), dst[:n])
	if err != nil {
		return Shape{}, err
	}
	defer m.Close()
	if !c.vc.Retrieve(&m) {
		return Shape{}, ErrNoFrame
	}
	// OpenCV allocates anew, without a word, when the frame has another shape.
	if p, err := m.DataPtrUint8(); err == nil && len(p) == n && unsafe.SliceData(p) == unsafe.SliceData(dst) {
		if m.Cols() == c.shape.Width && m.Type() == matType(c.shape.Channels) {
			return c.shape, nil
		}
	}
	m.CopyTo(&c.spare)
	return c.keep(&c.spare, dst)
}

// keep notes a picture of a new shape and hands it out if there is room.
func (c *Capture) keep(m *gocv.Mat, dst []byte) (Shape, error) {
	shape, err := shapeOf(m)
	if err != nil {
		return Shape{}, err
	}
	c.shape, c.held = shape, true
	return shape, c.copyOut(dst)
}

func (c *Capture) copyOut(dst []byte) error {
	if len(dst) < c.shape.Bytes() {
		return ErrTooSmall
	}
	p, err := c.spare.DataPtrUint8()
	if err != nil {
		return err
	}
	copy(dst, p)
	return nil
}

func matType(channels int) gocv.MatType {
	if channels == 1 {
		return gocv.MatTypeCV8UC1
	}
	return gocv.MatTypeCV8UC3
}

func shapeOf(m *gocv.Mat) (Shape, error) {
	if m.Empty() {
		return Shape{}, ErrNoFrame
	}
	s := Shape{Width: m.Cols(), Height: m.Rows()}
	switch m.Type() {
	case gocv.MatTypeCV8UC3:
		s.Channels = 3
	case gocv.MatTypeCV8UC1:
		s.Channels = 1
	default:
		return Shape{}, fmt.Errorf("the source delivers pictures of OpenCV type %d: want 8-bit BGR or grey", m.Type())
	}
	return s, nil
}

// Picture is a decoded still picture in OpenCV's memory.
type Picture struct {
	mat   gocv.Mat
	shape Shape
}

// ReadPicture decodes an image file to BGR, turned as its EXIF data says. It
// fails with [ErrNotAPicture], and gives no other reason when the file cannot
// be read. Of a damaged JPEG it returns what there is, the rest grey; libjpeg's
// complaint on the process's stderr is the only sign.
func ReadPicture(path string) (*Picture, error) {
	m := gocv.IMRead(path, gocv.IMReadColor)
	if m.Empty() {
		_ = m.Close()
		gocv.ClearLastException()
		return nil, ErrNotAPicture
	}
	shape, err := shapeOf(&m)
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return &Picture{mat: m, shape: shape}, nil
}

// Shape is the size of the picture.
func (p *Picture) Shape() Shape { return p.shape }

// CopyTo copies the picture to dst, or fails with [ErrTooSmall].
func (p *Picture) CopyTo(dst []byte) error {
	if len(dst) < p.shape.Bytes() {
		return ErrTooSmall
	}
	b, err := p.mat.DataPtrUint8()
	if err != nil {
		return err
	}
	copy(dst, b)
	return nil
}

// Close frees the picture. It must be called once.
func (p *Picture) Close() error { return p.mat.Close() }
