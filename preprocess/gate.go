package preprocess

import (
	"errors"
	"math"
	"time"

	"github.com/vedette-io/vedette/internal/pixel"
)

// GateConfig tunes the motion gate, which spares a still camera's inference.
type GateConfig struct {
	// Threshold is by how many of 255 grey levels a spot must differ from the
	// background to count as changed.
	Threshold float64
	// MinArea is the share of the picture that must change, 0..1.
	MinArea float64
	// Hold keeps the gate open for this long after the last motion.
	Hold time.Duration
	// Adapt is the time in which the background takes up what stays: slow
	// changes of light, and things that came to rest.
	Adapt time.Duration
}

// DefaultGateConfig sees a person some 40 pixels tall in a 1080p picture.
func DefaultGateConfig() GateConfig {
	return GateConfig{Threshold: 16, MinArea: 0.0006, Hold: 3 * time.Second, Adapt: 10 * time.Second}
}

// Validate names every value that makes no sense.
func (c GateConfig) Validate() error {
	var errs []error
	if !(c.Threshold > 0 && c.Threshold < 255) {
		errs = append(errs, errors.New("motion: threshold must be between 0 and 255 grey levels"))
	}
	if !(c.MinArea >= 0 && c.MinArea < 1) {
		errs = append(errs, errors.New("motion: min_area must be at least 0 and less than 1 (a share of the picture)"))
	}
	if c.Hold < 0 {
		errs = append(errs, errors.New("motion: hold must not be negative"))
	}
	if c.Adapt <= 0 {
		errs = append(errs, errors.New("motion: adapt must be more than 0"))
	}
	return errors.Join(errs...)
}

// gateSide is the longer side of the grey copy the gate looks at.
const gateSide = 160

// flooded is the share of changed spots from which on the light, not a thing,
// must have changed: the background is then learnt anew.
const flooded = 0.6

// Gate says whether something moves before a camera, by comparing a small grey
// copy of each picture with the running average of those before it. It keeps
// the state of one camera and is not safe for concurrent use.
type Gate struct {
	cfg    GateConfig
	shrink pixel.Shrinker
	// background is the average, in 1/256 of a grey level.
	background []int32
	changed    []bool
	started    bool
	seen       time.Time // when the last picture was
	moved      time.Time // when the last motion was
}

// NewGate makes the gate of one camera from a valid configuration.
func NewGate(cfg GateConfig) *Gate {
	return &Gate{cfg: cfg, shrink: pixel.Shrinker{MaxSide: gateSide}}
}

// Moving reports whether pic, taken at now, shows motion, or motion was seen
// less than the hold time ago. The first picture, and the first after a change
// of size, count as motion, since nothing is known of what they show; a picture
// that cannot be read does too, for others to report.
func (g *Gate) Moving(pic Picture, now time.Time) bool {
	if pic.check() != nil {
		return true
	}
	gray, fresh := g.shrink.Shrink(pic.Data, pic.Stride, pic.Width, pic.Height, pic.channels())
	if fresh || !g.started {
		g.learn(gray)
		g.started, g.seen, g.moved = true, now, now
		return true
	}
	if now.Before(g.moved) {
		g.moved = now // the clock was set back: do not hold for that long
	}
	share := g.compare(gray)
	switch {
	case share > flooded:
		g.learn(gray)
	default:
		g.follow(gray, now.Sub(g.seen))
	}
	g.seen = now
	if share > 0 && share >= g.cfg.MinArea {
		g.moved = now
		return true
	}
	return now.Sub(g.moved) < g.cfg.Hold
}

// learn takes gray as the background.
func (g *Gate) learn(gray []byte) {
	if len(g.background) != len(gray) {
		g.background = make([]int32, len(gray))
		g.changed = make([]bool, len(gray))
	}
	for i, p := range gray {
		g.background[i] = int32(p) << 8
	}
}

// follow moves the background towards gray as far as dt allows.
func (g *Gate) follow(gray []byte, dt time.Duration) {
	f := 1 - math.Exp(-max(dt.Seconds(), 0)/g.cfg.Adapt.Seconds())
	k := int32(f * 256 * 256)
	bg := g.background[:len(gray)]
	for i, p := range gray {
		d := int32(p)<<8 - bg[i]
		bg[i] += int32(int64(d) * int64(k) >> 16)
	}
}

// compare returns the share of spots that differ from the background by more
// than all of the picture does on average (a cloud, the camera's exposure) and
// whose neighbour does too (which noise rarely achieves).
func (g *Gate) compare(gray []byte) float64 {
	bg := g.background[:len(gray)]
	sum := 0
	for i, p := range gray {
		sum += int(int32(p)<<8 - bg[i])
	}
	shift := int32(sum / len(gray))
	limit := int32(g.cfg.Threshold * 256)
	w, n := g.shrink.Width, 0
	changed := g.changed[:len(gray)]
	for i, p := range gray {
		d := int32(p)<<8 - bg[i] - shift
		hit := d > limit || d < -limit
		changed[i] = hit
		if hit && (i%w > 0 && changed[i-1] || i >= w && changed[i-w]) {
			n++
		}
	}
	return float64(n) / float64(len(gray))
}
