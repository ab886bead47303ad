package ingest

import "math"

// holeCounter counts the frames that are missing inside a video file: holes in
// its presentation times, measured against the frame rate that the file gives.
// The rate of an MP4 is the mean over its index, which lists damaged frames,
// too: where frames were left out on purpose it is not the rate of the others,
// and nothing is counted. Any other format is taken at its word.
//
// The count depends on the times alone, so that a new process makes the same.
type holeCounter struct {
	usual   float64 // milliseconds from frame to frame by the file's rate; 0: none
	last    float64 // the latest time so far
	started bool

	single    int // steps of one frame
	irregular int // steps of no whole number of frames
	steps     int
	missing   uint64
}

// trustAfter is how many frames must follow one another at the file's rate
// before what is missing between others counts.
const trustAfter = 15

// add notes a frame's presentation time and returns how many frames are
// missing so far. Those before the rate could be trusted are counted with the
// first that comes when it is.
func (h *holeCounter) add(ptsMillis float64) uint64 {
	if h.usual <= 0 || math.IsNaN(ptsMillis) {
		return 0
	}
	step := ptsMillis - h.last
	first := !h.started
	if step <= 0 && step >= -maxGapMillis && !first {
		return h.counted() // out of order
	}
	h.last, h.started = ptsMillis, true
	if first || step <= 0 || step > maxGapMillis { // the clock has jumped
		return h.counted()
	}
	h.steps++
	frames := math.Round(step / h.usual)
	off := math.Abs(step - frames*h.usual)
	switch {
	case frames < 1 || off > min(h.usual*0.3, 1.1+step*0.005): // times may be whole milliseconds
		h.irregular++
	case frames == 1:
		h.single++
	default:
		h.missing += uint64(frames) - 1
	}
	return h.counted()
}

// counted is what is missing if the frame rate is constant.
func (h *holeCounter) counted() uint64 {
	if h.single < trustAfter || h.single*2 < h.steps || h.irregular*20 > h.steps {
		return 0
	}
	return h.missing
}
