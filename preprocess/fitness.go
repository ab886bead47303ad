package preprocess

import (
	"bytes"
	"errors"
	"hash/maphash"
	"time"

	"github.com/vedette-io/vedette/internal/pixel"
)

// Reasons for which a picture cannot be judged.
const (
	UnfitBlack   = "black"   // no light
	UnfitCovered = "covered" // nothing to see: a hand, tape, paint, fog
	UnfitBlurred = "blurred" // no sharp edge anywhere: out of focus, a drop on the lens
	UnfitFrozen  = "frozen"  // a live source repeats one picture
)

// FitnessConfig tunes the check of whether a picture can be judged at all. A
// value of 0 turns its part off. The defaults leave alone what a person could
// still make out.
type FitnessConfig struct {
	// Black is the grey level (of 255) that at most one spot in a hundred
	// exceeds in a black picture.
	Black float64
	// Covered is the contrast in grey levels between places some 4 % of the
	// picture apart that a covered picture has nowhere.
	Covered float64
	// Blurred is the sharpness, 0..1, below which a picture is blurred: the
	// share of its strongest edges' rise that happens from one spot to the next
	// when the picture is 192 spots wide.
	Blurred float64
	// Settle is for how long a picture must be covered or blurred: a truck that
	// drives past does not make a camera unfit. It does not apply before the
	// first picture that is neither.
	Settle time.Duration
	// Frozen is for how long exactly the same picture must repeat.
	Frozen time.Duration
}

// DefaultFitnessConfig was chosen with a margin on street, indoor, portrait
// and circuit board pictures, bright and dimmed to a tenth. A frozen picture is
// found within the three seconds in which a dead camera is.
func DefaultFitnessConfig() FitnessConfig {
	return FitnessConfig{Black: 14, Covered: 4, Blurred: 0.24, Settle: time.Second, Frozen: 2500 * time.Millisecond}
}

// Validate names every value that makes no sense.
func (c FitnessConfig) Validate() error {
	var errs []error
	if !(c.Black >= 0 && c.Black < 255) {
		errs = append(errs, errors.New("fitness: black must be at least 0 and less than 255 grey levels"))
	}
	if !(c.Covered >= 0 && c.Covered < 255) {
		errs = append(errs, errors.New("fitness: covered must be at least 0 and less than 255 grey levels"))
	}
	if !(c.Blurred >= 0 && c.Blurred < 1) {
		errs = append(errs, errors.New("fitness: blurred must be at least 0 and less than 1"))
	}
	if c.Settle < 0 {
		errs = append(errs, errors.New("fitness: settle must not be negative"))
	}
	if c.Frozen < 0 {
		errs = append(errs, errors.New("fitness: frozen must not be negative"))
	}
	return errors.Join(errs...)
}

// fitnessSide is the longer side of the grey copy that is looked at.
const fitnessSide = 192

// Fitness judges the pictures of one camera. It is not safe for concurrent
// use.
type Fitness struct {
	cfg    FitnessConfig
	shrink pixel.Shrinker
	coarse []byte

	// clear is when a picture was last neither covered nor blurred; zero: never.
	clear time.Time

	last   []byte // the copy of the picture before
	seed   maphash.Seed
	hashed bool // hash is that of the picture before
	hash   uint64
	since  time.Time // when that picture was first seen
}

// NewFitness makes the check of one camera from a valid configuration.
func NewFitness(cfg FitnessConfig) *Fitness {
	return &Fitness{cfg: cfg, shrink: pixel.Shrinker{MaxSide: fitnessSide}, seed: maphash.MakeSeed()}
}

// Check reports whether pic, taken at now, can be judged, and if not, why: one
// of the Unfit constants. A picture that cannot be read is left for others to
// report.
func (f *Fitness) Check(pic Picture, now time.Time) (ok bool, reason string) {
	if pic.check() != nil {
		return true, ""
	}
	if now.Before(f.clear) {
		f.clear = now // the clock was set back: do not wait for it
	}
	gray, fresh := f.shrink.Shrink(pic.Data, pic.Stride, pic.Width, pic.Height, pic.channels())
	frozen := f.frozen(pic, gray, fresh, now)
	v := f.look(gray, f.shrink.Width)
	switch {
	case f.cfg.Black > 0 && v.bright <= f.cfg.Black:
		return false, UnfitBlack
	case v.contrast < f.cfg.Covered:
		reason = UnfitCovered
	case v.sharp < f.cfg.Blurred:
		reason = UnfitBlurred
	default:
		f.clear = now
	}
	switch {
	case reason != "" && (f.clear.IsZero() || now.Sub(f.clear) >= f.cfg.Settle):
		return false, reason
	case frozen:
		return false, UnfitFrozen
	}
	return true, ""
}

// frozen reports whether exactly this picture has come for long enough. All of
// the picture is compared (a clock's second may be the only thing that
// changes), but only where the small copies are equal, which noise prevents on
// every camera that works.
func (f *Fitness) frozen(pic Picture, gray []byte, fresh bool, now time.Time) bool {
	if f.cfg.Frozen == 0 {
		return false
	}
	same := !fresh && bytes.Equal(gray, f.last)
	f.last = append(f.last[:0], gray...)
	if !same {
		f.hashed = false
		return false
	}
	h := f.sum(pic)
	if !f.hashed || h != f.hash || now.Before(f.since) {
		f.hashed, f.hash, f.since = true, h, now
		return false
	}
	return now.Sub(f.since) >= f.cfg.Frozen
}

func (f *Fitness) sum(pic Picture) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	n := pic.Width * pic.channels()
	for y := range pic.Height {
		_, _ = h.Write(pic.Data[y*pic.Stride:][:n]) // never fails
	}
	return h.Sum64()
}
