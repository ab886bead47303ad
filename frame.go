package vedette

// FrameSchema is the schema name and version of [Frame].
const FrameSchema = "vedette.frame.v1"

// PixelFormat names the memory layout of a picture.
type PixelFormat string

// The pixel formats of a ring slot: interleaved bytes, rows without padding
// beyond Stride.
const (
	BGR24 PixelFormat = "bgr24"
	Gray8 PixelFormat = "gray8"
)

// Frame announces one captured frame. The pixels stay in the camera's ring;
// Ref says where. It is published on [Subjects.Frame] and never leaves the
// host.
type Frame struct {
	Schema string `json:"schema"`
	Site   string `json:"site"`
	Camera string `json:"camera"`
	Epoch  string `json:"epoch"`
	// Seq counts captured frames of the epoch from 0. With End set it is the
	// number of frames the epoch had.
	Seq  uint64 `json:"seq"`
	Item string `json:"item,omitempty"`
	// End closes the epoch: no picture follows, Seq frames were captured and
	// Reason says why it ended ("eof", or what went wrong).
	End    bool   `json:"end,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Last says that the camera itself ends: nothing follows in any epoch.
	Last bool `json:"last,omitempty"`
	// Unreadable marks an item that could not be decoded (a corrupt image in a
	// folder): it has a seq but no picture; Reason says why.
	Unreadable bool `json:"unreadable,omitempty"`
	// Overflow marks a frame of a lossless live camera that was captured while
	// nothing had room for its picture: it has a seq but no picture.
	Overflow bool `json:"overflow,omitempty"`

	// CaptureTime is CapturedAt, or for a file the start of the run plus
	// PTSMillis: after PublishTime when it is read faster than it plays.
	CaptureTime Time    `json:"capture_time"`
	Clock       Clock   `json:"clock"`
	PTSMillis   float64 `json:"pts_ms"`
	// CapturedAt is the host's monotonic-free wall clock when the picture was
	// decoded; latencies are measured from it whatever Clock is.
	CapturedAt    Time    `json:"captured_at"`
	PublishTime   Time    `json:"publish_time"`
	CaptureMillis float64 `json:"capture_ms"`
	// Sampled is how many frames of this epoch so far were grabbed but not
	// converted, because a lower rate was asked for. They have a seq each.
	Sampled uint64 `json:"sampled"`
	// SourceGap is how many frames of this epoch so far the source itself left
	// out, judged by its presentation times.
	SourceGap uint64 `json:"source_gap"`

	Width  int         `json:"width"`
	Height int         `json:"height"`
	Format PixelFormat `json:"format"`
	Ref    RingRef     `json:"ref"`
}

// ID is the frame's one name.
func (f *Frame) ID() FrameID { return FrameID{Camera: f.Camera, Epoch: f.Epoch, Seq: f.Seq} }

// RingRef points at a slot of a shared-memory ring on this host.
type RingRef struct {
	// Path opens the ring (a memfd of the process that made it).
	Path string `json:"path"`
	Slot int    `json:"slot"`
	// Generation is the slot's sequence lock value when the picture was
	// complete; a reader that finds another one lost the race.
	Generation uint64 `json:"generation"`
	Offset     int64  `json:"offset"`
	Stride     int    `json:"stride"`
	Bytes      int    `json:"bytes"`
}
