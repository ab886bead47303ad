package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/fileerr"
)

// reader is a source as the child's loop sees it. It is used by one goroutine,
// and any call may block in C.
type reader interface {
	// next moves to the next frame: io.EOF at the end of a finite source, an
	// *unreadableError for an item that is no picture (it counts as a frame).
	next() error
	ptsMillis() float64
	item() string
	// picture puts the frame into dst. With cv.ErrTooSmall the shape says what
	// is needed, and picture can be called again.
	picture(dst []byte) (cv.Shape, error)
	fps() float64
	total() int64
	close() error
}

// unreadableError says why one item of a list is no picture.
type unreadableError struct{ reason string }

func (e *unreadableError) Error() string { return e.reason }

// openReader is the one switch between the kinds of sources.
func openReader(j *job) (reader, error) {
	switch j.Kind {
	case Synthetic:
		return openSynthetic(j.Location)
	case Images:
		return &pictures{paths: j.Items, names: j.Names}, nil
	case Device:
		return openVideo(j, j.Location, cv.V4L2)
	case GStreamer:
		return openVideo(j, strings.TrimPrefix(j.Location, gstreamerPrefix), cv.GStreamer)
	case File, RTSP, HTTP:
		return openVideo(j, j.Location, cv.FFmpeg)
	}
	return nil, fmt.Errorf("source of unknown kind %q", j.Kind)
}

// video is a file, stream or device.
type video struct {
	*cv.Capture
	live bool
	// patience is how long a grab may take that fails and is tried again; what
	// took longer has timed out.
	patience time.Duration
	stall    time.Duration
	network  bool // FFmpeg gives up the connection after stall without a byte
	started  bool
	// over says that it has: what FFmpeg gave then is the picture it had held
	// back, and there will be no more.
	over bool
	pts  float64
	step float64 // between the last two frames
	// timed says that pts is of the stream, not guessed.
	timed bool
}

// openVideo opens a capture, with the first of the decoders asked for by name
// that can be used.
func openVideo(j *job, location string, backend cv.Backend) (*video, error) {
	codecs := j.Codecs
	if len(codecs) == 0 {
		codecs = []string{""}
	}
	var err error
	for _, codec := range codecs {
		// OpenCV reads it at each open.
		if err = os.Setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", captureOptions(j, codec)); err != nil {
			return nil, err
		}
		var c *cv.Capture
		c, err = cv.OpenCapture(location, cv.CaptureOptions{
			Backend: backend, Acceleration: j.Acceleration,
			OpenTimeout: j.OpenTimeout,
			// It counts from one frame to the next, also to the first one, which
			// may be long in coming. Silence is noticed by FFmpeg (the option
			// timeout, see captureOptions) and by the parent.
			ReadTimeout: max(j.FirstFrame, j.Stall),
		})
		if err == nil {
			return &video{Capture: c, live: j.Live, patience: j.FirstFrame, stall: j.Stall,
				network: j.Kind == RTSP || j.Kind == HTTP}, nil
		}
	}
	return nil, err
}

// grabTries is how many grabs in a row may fail at once: OpenCV gives up a
// grab for one damaged packet, or for 512 packets of sound, and the next one
// goes on. At the end, or when the connection is lost, all fail.
const grabTries = 50

func (v *video) next() error {
	if v.over {
		return cv.ErrNoFrame
	}
	began := time.Now()
	err := v.Grab()
	for n := 1; n < grabTries && errors.Is(err, cv.ErrNoFrame) && time.Since(began) < v.patience; n++ {
		err = v.Grab()
	}
	if errors.Is(err, cv.ErrNoFrame) && !v.live {
		return io.EOF
	}
	if err != nil {
		return err
	}
	v.over = v.network && v.started && time.Since(began) >= v.stall
	v.started, v.patience = true, v.stall/2
	pts := v.PTSMillis()
	v.timed = pts > 0 || v.pts == 0
	switch {
	case pts > v.pts:
		v.step = pts - v.pts
		if v.pts == 0 && v.fps() > 0 {
			v.step = 1000 / v.fps()
		}
	case pts == 0 && v.pts > 0:
		// The frames that a decoder gives up at the end of a file have no time.
		pts = v.pts + v.step
	}
	v.pts = pts
	return nil
}

func (v *video) ptsMillis() float64 { return v.pts }

func (v *video) item() string { return "" }

func (v *video) picture(dst []byte) (cv.Shape, error) { return v.Retrieve(dst) }

func (v *video) fps() float64 {
	if f := v.FPS(); f > 0 && f <= maxFPS {
		return f
	}
	return 0
}

func (v *video) total() int64 {
	if v.live {
		return 0
	}
	return v.Frames()
}

func (v *video) close() error { return v.Close() }

// pictures is a list of image files.
type pictures struct {
	paths, names []string
	n            int // of the next
	current      *cv.Picture
}

func (p *pictures) next() error {
	if err := p.close(); err != nil {
		return err
	}
	if p.n >= len(p.paths) {
		return io.EOF
	}
	p.n++
	pic, err := decodeFile(p.paths[p.n-1])
	if errors.Is(err, cv.ErrNoOpenCV) {
		return err
	}
	if err != nil {
		return &unreadableError{reason: err.Error()}
	}
	p.current = pic
	return nil
}

func (p *pictures) skip(n uint64) { p.n += int(min(n, uint64(len(p.paths)))) }

// ptsMillis is 0: a still picture has no time.
func (p *pictures) ptsMillis() float64 { return 0 }

func (p *pictures) item() string {
	if p.n < 1 || p.n > len(p.names) {
		return ""
	}
	return p.names[p.n-1]
}

func (p *pictures) picture(dst []byte) (cv.Shape, error) {
	if p.current == nil {
		return cv.Shape{}, cv.ErrNoFrame
	}
	return p.current.Shape(), p.current.CopyTo(dst)
}

func (p *pictures) fps() float64 { return 0 }

func (p *pictures) total() int64 { return int64(len(p.paths)) }

func (p *pictures) close() error {
	if p.current == nil {
		return nil
	}
	pic := p.current
	p.current = nil
	return pic.Close()
}

// decodeFile decodes one image file, whole or not at all: libjpeg fills what
// is missing with grey and only mumbles on stderr, and a half-grey picture
// must not be judged as if it were whole.
func decodeFile(path string) (*cv.Picture, error) {
	if err := readable(path); err != nil {
		return nil, err
	}
	var pic *cv.Picture
	said, err := withStderr(func() (err error) {
		pic, err = cv.ReadPicture(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, damage := range []string{"remature end", "bad Huffman code", "instead of RST"} {
		if strings.Contains(said, damage) {
			return nil, errors.Join(fmt.Errorf("%w: damaged data", cv.ErrNotAPicture), pic.Close())
		}
	}
	return pic, nil
}

// readable says why a file cannot be read, which OpenCV does not.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fileerr.Cause(err) // the item is named beside the reason
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		return ErrEmptyFile
	}
	return nil
}

// withStderr runs f and returns what it printed on the process's stderr, which
// also goes on to where it always goes. Only a process that does nothing else
// meanwhile may do so: the child that reads pictures.
func withStderr(f func() error) (string, error) {
	saved, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return "", f()
	}
	defer unix.Close(saved)
	memory, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return "", f()
	}
	defer unix.Close(memory)
	if err := unix.Dup3(memory, 2, 0); err != nil {
		return "", f()
	}
	fErr := f()
	if err := unix.Dup3(saved, 2, 0); err != nil {
		return "", errors.Join(fErr, fmt.Errorf("restore stderr: %w", err))
	}
	buf := make([]byte, 4096)
	n, err := unix.Pread(memory, buf, 0)
	if err != nil || n <= 0 {
		return "", fErr
	}
	_, _ = os.Stderr.Write(buf[:n])
	return string(buf[:n]), fErr
}
