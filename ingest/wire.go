package ingest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vedette-io/vedette/internal/cv"
)

// Parent and child talk in JSON lines: the job and then commands on the
// child's stdin, events on its descriptor 3.

const (
	childEnv     = "VEDETTE_PROCESS"
	childRole    = "capture"
	eventFD      = 3
	maxEventLine = 64 << 10
	maxJobLine   = 64 << 20 // a list of pictures can be long
	tickEvery    = 500 * time.Millisecond
)

// job is what the child is to do.
type job struct {
	Kind     Kind   `json:"kind"`
	Location string `json:"location,omitempty"`
	// Items are the pictures of a list, as paths; Names how they are shown.
	Items []string `json:"items,omitempty"`
	Names []string `json:"names,omitempty"`
	// Live, Every and Paced say how frames are delivered.
	Live  bool `json:"live"`
	Every bool `json:"every"`
	Paced bool `json:"paced"`

	FPS          float64         `json:"fps"`
	Slots        int             `json:"slots"`
	Ring         int64           `json:"ring"` // its most bytes
	Threads      int             `json:"threads"`
	Acceleration cv.Acceleration `json:"acceleration"`
	// Codecs are FFmpeg decoders of which one must be used; none: its own choice.
	Codecs    []string `json:"codecs,omitempty"`
	Transport string   `json:"transport"`
	// Patient gives FFmpeg its own time to analyse a stream.
	Patient     bool          `json:"patient,omitempty"`
	OpenTimeout time.Duration `json:"open_timeout"`
	FirstFrame  time.Duration `json:"first_frame"`
	Stall       time.Duration `json:"stall"`

	// Standby is for a child that takes over from another, which has had what
	// the camera sent before it is ready.
	Standby bool `json:"standby,omitempty"`
	// Memory is the configured limit, 0 for the default.
	Memory int64 `json:"memory,omitempty"`

	// Seq is the first frame that no earlier child of the run announced.
	Seq uint64 `json:"seq"`
}

// The types of events.
const (
	evOpened     = "opened"
	evRing       = "ring"
	evFrame      = "frame"
	evUnreadable = "unreadable"
	evTick       = "tick" // alive, nothing to announce
	evEnd        = "end"
	evFail       = "fail"
)

// The codes of evFail.
const (
	failOpen    = "open"
	failRead    = "read"
	failDecoder = "decoder"
	failSpace   = "space"
	failOther   = "other"
)

// codeOverflow marks a frame that came while no slot was free.
const codeOverflow = "overflow"

// event is what the child reports. Which fields are set depends on the type.
type event struct {
	Type string `json:"t"`

	// opened, in Millis
	SourceFPS   float64 `json:"source_fps,omitempty"`
	Total       int64   `json:"total,omitempty"`
	Accelerated bool    `json:"accelerated,omitempty"`

	// ring: its number in this child, and its descriptor there; frame: which
	Ring int `json:"ring,omitempty"`
	FD   int `json:"fd,omitempty"`

	// frame, unreadable; for tick and end: the next seq
	Seq     uint64  `json:"seq"`
	Item    string  `json:"item,omitempty"`
	PTS     float64 `json:"pts,omitempty"`
	At      int64   `json:"at,omitempty"` // decoded, microseconds since 1970
	Millis  float64 `json:"ms,omitempty"`
	Sampled uint64  `json:"sampled,omitempty"`
	Gap     uint64  `json:"gap,omitempty"`

	Slot       int    `json:"slot,omitempty"`
	Generation uint64 `json:"gen,omitempty"`
	Offset     int64  `json:"off,omitempty"`
	Width      int    `json:"w,omitempty"`
	Height     int    `json:"h,omitempty"`
	Channels   int    `json:"ch,omitempty"`

	// fail, after Millis if the open failed; unreadable: codeOverflow or nothing
	Code string `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
}

// command is what the parent tells the child: that it has the ring, or that a
// slot may be written again.
type command struct {
	Ring int  `json:"ring"`
	Held bool `json:"held,omitempty"`
	Slot int  `json:"slot,omitempty"`
}

var errLongLine = errors.New("line too long")

// lineReader reads JSON lines of bounded length.
type lineReader struct {
	sc *bufio.Scanner
}

func newLineReader(r io.Reader, limit int) *lineReader {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), limit)
	return &lineReader{sc: sc}
}

// next decodes the next line into v; io.EOF is the end. A line that is no JSON
// is an error: its writer died in the middle of it, or is not to be trusted.
func (l *lineReader) next(v any) error {
	if !l.sc.Scan() {
		if err := l.sc.Err(); errors.Is(err, bufio.ErrTooLong) {
			return errLongLine
		} else if err != nil {
			return err
		}
		return io.EOF
	}
	if err := json.Unmarshal(l.sc.Bytes(), v); err != nil {
		return fmt.Errorf("malformed line: %w", err)
	}
	return nil
}
