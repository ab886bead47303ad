package ingest

import (
	"math"
	"slices"
	"time"
)

// sampler thins frames to a rate: time is cut into equal buckets, and the
// first frame in each is wanted. For a source with times the choice depends on
// nothing else, so that a new process makes the same.
type sampler struct {
	fps     float64
	bucket  int64 // of the last wanted frame, counted from 1; 0: none yet
	untimed time.Time
}

// wants decides on the frame with this presentation time that was decoded at
// that moment.
func (s *sampler) wants(ptsMillis float64, at time.Time) bool {
	if s.fps <= 0 {
		return true
	}
	if ptsMillis <= 0 { // the first frame, or a source that has no times
		if s.untimed.IsZero() {
			s.untimed = at
		}
		ptsMillis = float64(at.Sub(s.untimed)) / float64(time.Millisecond)
	}
	// The small term keeps a frame on a boundary in its bucket.
	b := int64(math.Floor(ptsMillis*s.fps/1000+1e-6)) + 1
	if b == s.bucket {
		return false
	}
	s.bucket = b
	return true
}

// pacer holds a file back to its own speed.
type pacer struct {
	fps     float64
	still   bool // pictures without times: one per 1/fps, default a second
	start   time.Time
	first   float64
	stills  int
	started bool
}

// wait sleeps until the frame is due and calls alive now and then.
func (p *pacer) wait(ptsMillis float64, alive func() error) error {
	if !p.started {
		p.started, p.start, p.first = true, time.Now(), ptsMillis
	}
	offset := ptsMillis - p.first
	if p.still {
		rate := p.fps
		if rate <= 0 {
			rate = 1
		}
		offset = float64(p.stills) * 1000 / rate
		p.stills++
	}
	due := p.start.Add(time.Duration(offset * float64(time.Millisecond)))
	for {
		left := time.Until(due)
		if left <= 0 {
			return nil
		}
		time.Sleep(min(left, tickEvery))
		if err := alive(); err != nil {
			return err
		}
	}
}

// gapCounter counts the frames that a live source left out: holes in its
// presentation times, measured against the usual step. The step is the median
// of the last ones, so that neither a hole nor a jittery camera moves it.
type gapCounter struct {
	last    float64
	started bool
	steps   [15]float64
	n       int
	missing uint64
}

// maxGapMillis bounds what counts as a hole; beyond it the source's clock has
// jumped.
const maxGapMillis = 60_000

// add notes a frame's presentation time and returns how many frames are
// missing so far.
func (g *gapCounter) add(ptsMillis float64) uint64 {
	step := ptsMillis - g.last
	first := !g.started
	g.last, g.started = ptsMillis, true
	if first || !(step > 0) || step > maxGapMillis {
		return g.missing
	}
	if g.n >= len(g.steps) {
		usual := g.median()
		if step > 1.75*usual {
			g.missing += uint64(math.Round(step/usual)) - 1
		}
	}
	g.steps[g.n%len(g.steps)] = step
	g.n++
	return g.missing
}

func (g *gapCounter) median() float64 {
	sorted := g.steps
	slices.Sort(sorted[:])
	return sorted[len(sorted)/2]
}
