package eval

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/vedette-io/vedette"
)

// Value is a score from 0 to 1. Where there is nothing to score (no such
// object) it is [Undefined]: null in JSON, a dash in text.
type Value float64

// Undefined is the value of a score that has nothing to score.
func Undefined() Value { return Value(math.NaN()) }

// Defined reports whether v is a score.
func (v Value) Defined() bool { return !math.IsNaN(float64(v)) }

// String gives three decimals, as scores are quoted.
func (v Value) String() string {
	if !v.Defined() {
		return "-"
	}
	return strconv.FormatFloat(float64(v), 'f', 3, 64)
}

// MarshalJSON implements [encoding/json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Defined() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (v *Value) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*v = Undefined()
		return nil
	}
	return json.Unmarshal(b, (*float64)(v))
}

// Result is everything an evaluation says. Its JSON is what
// "vedette eval --format json" writes; [Result.Text] is the table.
type Result struct {
	Data      DataSummary `json:"data"`
	Judged    int         `json:"judged"` // pictures the scores are about, unfit ones too
	NotJudged NotScored   `json:"not_judged"`
	Unfit     Unfit       `json:"unfit"`
	Found     int         `json:"found"` // detections in judged pictures, of known classes
	Notes     []string    `json:"notes"`

	COCO COCO `json:"coco"`
	VOC  VOC  `json:"voc"` // mean over classes, at IoU

	// IoU is the overlap that VOC, the points, the confusion matrix and the
	// pictures call a hit; Chosen is the score they are counted at, and
	// BestF1 the threshold with the highest F1, by score.
	IoU       float64   `json:"iou"`
	Chosen    Point     `json:"chosen"`
	BestF1    Point     `json:"best_f1"`
	Curve     []Point   `json:"curve"` // at score 0, 0.01 … 1
	Pictures  Pictures  `json:"pictures"`
	Confusion Confusion `json:"confusion"`

	Classes []ClassResult `json:"classes"` // most objects first
}

// DataSummary says what was scored against.
type DataSummary struct {
	Path     string `json:"path"`
	Format   Format `json:"format"`
	Pictures int    `json:"pictures"`
	Classes  int    `json:"classes"`
	Objects  int    `json:"objects"`  // that are to be found, in all pictures
	Optional int    `json:"optional"` // crowds and objects marked ignore
}

// NotScored counts the pictures for which there is no answer, and says why.
type NotScored struct {
	Total    int                    `json:"total"`
	ByStatus map[vedette.Status]int `json:"by_status"`
	Pictures []NotScoredPicture     `json:"pictures"`
}

// Unfit counts the pictures of which the model itself said that they cannot be
// judged. The scores take them for pictures in which nothing was found, so
// that what they show is missed; [Pictures] counts them as neither escapes nor
// false rejects.
type Unfit struct {
	Total       int                `json:"total"`
	WithObjects int                `json:"with_objects"` // of these, pictures that show something
	Pictures    []NotScoredPicture `json:"pictures"`
}

// NotScoredPicture is one picture that was not judged, and why.
type NotScoredPicture struct {
	Name   string         `json:"name"`
	Status vedette.Status `json:"status"`
	Reason string         `json:"reason"`
}

// ClassResult is the scores of one class.
type ClassResult struct {
	Name     string `json:"name"`
	Pictures int    `json:"pictures"` // judged pictures that show it
	Objects  int    `json:"objects"`  // to be found in them
	Found    int    `json:"found"`    // detections of any score
	AP       Value  `json:"ap"`       // COCO, IoU 0.50 to 0.95
	AP50     Value  `json:"ap50"`
	AP75     Value  `json:"ap75"`
	AR100    Value  `json:"ar_100"`
	VOC      VOC    `json:"voc"`
	Chosen   Point  `json:"chosen"`
	BestF1   *Point `json:"best_f1"` // null when nothing of the class was found rightly
}
