package ingest

import "errors"

// What can be wrong with a source. [SourceError] wraps one of them.
var (
	ErrBadSource   = errors.New("not a source")
	ErrNotFound    = errors.New("no such file")
	ErrEmptyFile   = errors.New("the file is empty")
	ErrNoPictures  = errors.New("there are no pictures")
	ErrNotVideo    = errors.New("not a video that can be decoded")
	ErrTruncated   = errors.New("the video is damaged or was cut short")
	ErrNoDevice    = errors.New("no such capture device")
	ErrNoDecoder   = errors.New("the hardware decoder is not available")
	ErrUnreachable = errors.New("the camera cannot be reached")
	ErrAuth        = errors.New("the camera refused the user name or password")
	ErrNoStream    = errors.New("the camera has no such stream")
	ErrNotStream   = errors.New("not an MJPEG stream")
	ErrNotRTSP     = errors.New("does not speak RTSP")
	ErrNoFrames    = errors.New("the source sends no pictures")
	ErrNotOpened   = errors.New("the camera answers, but FFmpeg cannot open its stream")
	ErrCrashed     = errors.New("the capture process crashed")
	ErrMemory      = errors.New("the capture process took too much memory")
	ErrCannotStart = errors.New("the capture process cannot be started")
	ErrCapture     = errors.New("the source cannot be captured")
)

// SourceError says in one sentence what is wrong with a source. Its text has
// no secrets.
type SourceError struct {
	Source string // redacted
	Err    error  // one of the sentinels of this package, or what wraps one
	Detail string // what to add, or empty
}

func (e *SourceError) Error() string {
	s := e.Source + ": " + e.Err.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *SourceError) Unwrap() error { return e.Err }

// cause is the error without the source's name, for places that name it.
func cause(err error) string {
	var e *SourceError
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Detail != "" {
		return e.Err.Error() + ": " + e.Detail
	}
	return e.Err.Error()
}
