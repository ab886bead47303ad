package vedette

import (
	"errors"
	"fmt"
	"math"
)

// boxTolerance is how far box_norm × size may be from box, in pixels: numbers
// are rounded on the wire.
const boxTolerance = 0.1

// Validate reports every way in which d breaks the promises of
// [DetectionSchema]. It is for those who produce detections and for tests; a
// consumer must accept states and tasks that it does not know.
func (d *Detection) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d.Schema != DetectionSchema {
		bad("schema is %q, want %q", d.Schema, DetectionSchema)
	}
	for name, id := range map[string]string{"camera": d.Camera, "epoch": d.Epoch, "model.name": d.Model.Name} {
		if err := CheckID(id); err != nil {
			bad("%s: %w", name, err)
		}
	}
	if want := (FrameID{Camera: d.Camera, Epoch: d.Epoch, Seq: d.Seq}).Detection(d.Model.Name); d.ID != want {
		bad("id is %q, want %q", d.ID, want)
	}
	if d.PrevSeq < -1 || (d.PrevSeq >= 0 && uint64(d.PrevSeq) >= d.Seq) {
		bad("prev_seq is %d, want -1 or less than seq %d", d.PrevSeq, d.Seq)
	} else if between := d.Seq - uint64(d.PrevSeq+1); d.gaps() > between {
		bad("gap_before counts %d frames, but only %d are between prev_seq and seq", d.gaps(), between)
	}
	if d.GapBefore == nil {
		bad("gap_before is missing")
	}
	if d.CaptureTime.IsZero() || d.PublishTime.IsZero() {
		bad("capture_time and publish_time must be set")
	}
	if d.Clock == "" {
		bad("clock is empty")
	}
	errs = append(errs, d.validateResult()...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detection %s: %w", d.ID, err)
	}
	return nil
}

// gaps is how many frames with a seq GapBefore counts.
func (d *Detection) gaps() uint64 {
	var n uint64
	for why, c := range d.GapBefore {
		if why != GapSource {
			n += c
		}
	}
	return n
}

// validateResult checks that "failed" cannot be taken for "nothing there", and
// what was found.
func (d *Detection) validateResult() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch d.Status {
	case StatusOK:
		if d.Reason != "" {
			bad("status is ok, but there is a reason: %q", d.Reason)
		}
		if d.Width <= 0 || d.Height <= 0 {
			bad("status is ok, but the frame is %d×%d", d.Width, d.Height)
		}
		classify, detect := d.Model.Task == "classify", d.Model.Task == "detect" || d.Model.Task == "segment"
		if detect && d.Objects == nil {
			bad("status is ok, but objects is missing")
		}
		if classify && d.Classes == nil {
			bad("status is ok, but classes is missing")
		}
		if (classify && d.Objects != nil) || (detect && d.Classes != nil) {
			bad("objects and classes do not fit the task %q", d.Model.Task)
		}
	case StatusUnfit, StatusFailed, StatusExpired:
		if d.Reason == "" {
			bad("status is %s without a reason", d.Status)
		}
		if d.Objects != nil || d.Classes != nil {
			bad("status is %s, but there are objects or classes", d.Status)
		}
	default:
		bad("status %q is unknown", d.Status)
	}
	if d.Objects != nil {
		for i, o := range *d.Objects {
			if err := o.validate(float64(d.Width), float64(d.Height)); err != nil {
				bad("objects[%d]: %w", i, err)
			}
		}
	}
	if d.Classes != nil {
		errs = append(errs, validateClasses(*d.Classes)...)
	}
	return errs
}

func (o *Object) validate(width, height float64) error {
	if err := checkScore(o.Label, o.Score); err != nil {
		return err
	}
	b := o.Box
	for i, size := range [4]float64{width, height, width, height} {
		// The negated form is false for NaN, too.
		if !(b[i] >= 0 && b[i] <= size) {
			return fmt.Errorf("box %v is not inside the frame of %v×%v", b, width, height)
		}
		if !(math.Abs(o.BoxNorm[i]*size-b[i]) <= boxTolerance) {
			return fmt.Errorf("box_norm %v is not box %v divided by %v×%v", o.BoxNorm, b, width, height)
		}
	}
	if b[0] > b[2] || b[1] > b[3] {
		return fmt.Errorf("box %v is not [x1, y1, x2, y2]", b)
	}
	return nil
}

func validateClasses(classes []Class) []error {
	var errs []error
	for i, c := range classes {
		if err := checkScore(c.Label, c.Score); err != nil {
			errs = append(errs, fmt.Errorf("classes[%d]: %w", i, err))
		}
		if i > 0 && c.Score > classes[i-1].Score {
			errs = append(errs, fmt.Errorf("classes[%d] has a higher score than the one before it", i))
		}
	}
	return errs
}

func checkScore(label string, score float64) error {
	if label == "" {
		return errors.New("label is empty")
	}
	if !(score >= 0 && score <= 1) {
		return fmt.Errorf("score %v is not from 0 to 1", score)
	}
	return nil
}
