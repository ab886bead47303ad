package vedette

// DetectionSchema is the schema name and version of [Detection].
const DetectionSchema = "vedette.detection.v1"

// Status says what became of a frame. Only [StatusOK] means that the model
// looked at a usable picture; "found nothing" is StatusOK with an empty list.
type Status string

// The states of a frame's result.
const (
	StatusOK      Status = "ok"      // the model ran on a usable picture
	StatusUnfit   Status = "unfit"   // the picture cannot be judged; see Reason
	StatusFailed  Status = "failed"  // inference failed; see Reason
	StatusExpired Status = "expired" // too old when its turn came
)

// Clock names where a capture time came from.
type Clock string

// The clocks of a capture time. An RTCP clock is reserved.
const (
	ClockHost Clock = "host" // wall clock of the capturing host at grab
	ClockFile Clock = "file" // start of the run plus presentation time
)

// Detection is the result of one model on one frame, published on
// [Subjects.Detection] in order of Seq, once. It is plain JSON and
// self-contained. Within v1 fields are only added; consumers ignore what they
// do not know, and every enumeration is open.
type Detection struct {
	Schema string `json:"schema"`
	ID     string `json:"id" jsonschema:"description=<camera>-<epoch>-<seq>-<model>\\, unique for ever"`
	Site   string `json:"site"`
	Camera string `json:"camera"`
	Epoch  string `json:"epoch" jsonschema:"description=Sorts by time\\, changes at each (re)connect of the camera"`
	Seq    uint64 `json:"seq" jsonschema:"description=Captured frames of this epoch before this one"`
	Item   string `json:"item" jsonschema:"description=File name for image sources\\, its path where several folders have one of that name\\, else empty"`
	// PrevSeq is the frame before this one that was sent to this model; -1 for
	// the first of an epoch.
	PrevSeq int64 `json:"prev_seq" jsonschema:"description=The frame before this one that was sent to this model\\, -1: first"`

	// CaptureTime is when the frame was decoded, by the host's clock. That of a
	// file is the start of the run plus its presentation time, so that it tells
	// when in the film something was: a file that is read faster than it plays
	// has a capture time after its publish time. How long a frame took is
	// Timing.Total in any case.
	CaptureTime Time    `json:"capture_time" jsonschema:"description=When the frame was captured\\, by the clock that clock names. host: when it was decoded; file: start of the run plus pts_ms\\, which lies after publish_time when a file is read faster than it plays (timing_ms.total says how long the frame took)"`
	Clock       Clock   `json:"clock" jsonschema:"description=Which clock capture_time came from: host (wall time) or file (start of the run plus pts_ms)"`
	PTSMillis   float64 `json:"pts_ms" jsonschema:"description=Presentation time in the stream"`
	PublishTime Time    `json:"publish_time" jsonschema:"description=When this message was made\\, by the host's clock"`

	Width  int `json:"width" jsonschema:"description=Width of the captured frame in pixels"`
	Height int `json:"height" jsonschema:"description=Height of the captured frame in pixels"`

	Status Status `json:"status" jsonschema_description:"ok: the model looked at a usable picture; unfit: the picture cannot be judged; failed: the frame has no answer; expired: it was too old when its turn came. Only ok says anything about what is there"`
	Reason string `json:"reason" jsonschema_description:"Why status is not ok, else empty. unfit: black, covered, blurred, frozen, or the class of its scene that a model saw instead of what it is for (pcb-defects: no_board, inverted, blurred). failed: spool_full, timeout, or a sentence for people, whose words may change. expired: a sentence. asyncapi.yaml has the table"`

	Model ModelRef `json:"model"`

	// Objects is present exactly when Status is ok and the model's task yields
	// objects; an empty list means the model ran and saw nothing.
	Objects *[]Object `json:"objects,omitempty" jsonschema_description:"There exactly when status is ok and the model's task is detect; empty: it looked and found nothing. Objects below min_score or with labels that the camera was not asked for are left out"`
	// Classes is present exactly when Status is ok and the task is classify,
	// best first.
	Classes *[]Class `json:"classes,omitempty" jsonschema_description:"There exactly when status is ok and the model's task is classify; best first"`

	// GapBefore counts, by reason, the captured frames between PrevSeq and Seq
	// that this model did not see, and beside them, as [GapSource], those that
	// the source itself left out.
	GapBefore map[string]uint64 `json:"gap_before" jsonschema_description:"Frames between prev_seq and seq that this model did not see, counted by reason: sampled, gated, stale, overwritten, bus, restart, no_worker, model_out, shutdown; source_gap is what the source itself left out: it has no seq. asyncapi.yaml has the table"`

	Timing Timing `json:"timing_ms"`
}

// GapSource is the reason in [Detection.GapBefore] for frames that a camera or a
// damaged file left out. They have no seq: it counts what was captured.
const GapSource = "source_gap"

// ModelRef names the model that produced a result, exactly.
type ModelRef struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Task   string `json:"task"`
	Engine string `json:"engine"`
	Device string `json:"device"`
}

// Box is [x1, y1, x2, y2]. In pixels it is in pixel-edge coordinates of the
// captured frame (after EXIF rotation), clipped to 0..width and 0..height.
type Box [4]float64

// Object is one thing a detector saw.
type Object struct {
	Label   string  `json:"label"`
	ClassID int     `json:"class_id"`
	Score   float64 `json:"score"`
	Box     Box     `json:"box" jsonschema:"description=[x1\\, y1\\, x2\\, y2] in pixel-edge coordinates of the captured frame"`
	BoxNorm Box     `json:"box_norm" jsonschema:"description=box divided by width and height"`
}

// Class is one answer of a classifier.
type Class struct {
	Label   string  `json:"label"`
	ClassID int     `json:"class_id"`
	Score   float64 `json:"score"`
}

// Timing says where a frame's time went, in milliseconds. Preprocess, Queue, Infer
// and Postprocess follow each other within Total and fill it, but for the wait of
// an answer for those of earlier frames. What is not known, as of a frame that no
// worker answered, is 0.
type Timing struct {
	Capture     float64 `json:"capture" jsonschema_description:"Decoding the frame and putting its picture, converted, into shared memory; of a live source the conversion alone, since the rest is waiting for the camera. Decoding comes before total begins"`
	Preprocess  float64 `json:"preprocess" jsonschema_description:"Making the model's input of the picture: resizing, colours, and the copy for --save. From the frame's turn, when a worker has room for it (a live frame under every: when it is written to the spool), until the input is made"`
	Queue       float64 `json:"queue" jsonschema_description:"All the rest from decoding to the worker's answer: conversion, the ring, motion gate and fitness, waiting for a worker's turn or in the spool, the way to the worker and back, further attempts"`
	Infer       float64 `json:"infer" jsonschema_description:"The worker's run: normalising the input until the network's outputs are there; of a batch, the run of the whole batch"`
	Postprocess float64 `json:"postprocess" jsonschema_description:"Reading the outputs: boxes, labels, scores; of a batch, its share"`
	Total       float64 `json:"total" jsonschema_description:"From the frame being decoded to this message being made (publish_time), by the host's clock, for files, too. It lacks what comes before and after: the camera's own delay, the network and decoding; storing and delivery. It is more than preprocess + queue + infer + postprocess by the wait for results of earlier frames, since they are published in order"`
}
