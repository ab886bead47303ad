package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
)

// doctorPatience is how long a camera gets to show its first pictures, and
// doctorLook how long they are looked at then.
const (
	doctorPatience = 25 * time.Second
	doctorLook     = 3 * time.Second
)

// glance counts what a camera gives.
type glance struct {
	started       time.Time
	first, last   time.Time
	frames        uint64
	width, height int
	pts0, pts     float64
	firstDelay    time.Duration
	unreadable    string
	state         ingest.State
	enough        func()
	until         time.Duration
}

func (l *glance) Frame(_ context.Context, f *vedette.Frame, release func()) error {
	defer release()
	if f.End {
		return nil
	}
	if f.Unreadable {
		l.unreadable = f.Reason
		return nil
	}
	if l.frames == 0 {
		l.first, l.firstDelay, l.pts0 = time.Now(), time.Since(l.started), f.PTSMillis
	}
	l.frames++
	l.last, l.pts, l.width, l.height = time.Now(), f.PTSMillis, f.Width, f.Height
	if time.Since(l.first) > l.until {
		l.enough()
	}
	return nil
}

func (l *glance) State(_ context.Context, s ingest.State) { l.state = s }

// glanceAt captures from a source for a few seconds.
func glanceAt(ctx context.Context, g *globals, cfg ingest.Config) (*glance, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	l := &glance{started: time.Now(), enough: cancel, until: doctorLook}
	cfg.Delivery, cfg.MaxAttempts, cfg.FPS = ingest.Latest, 1, 0
	cam, err := ingest.New(cfg, ingest.Deps{Log: g.log, Output: l})
	if err != nil {
		return nil, &usageError{err}
	}
	err = errors.Join(cam.Run(ctx), cam.Close())
	switch {
	case l.frames > 0:
		return l, nil
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		err = fmt.Errorf("no picture within %v", doctorPatience)
	}
	if do := advice(err, cfg); do != "" {
		err = fmt.Errorf("%w: %s", err, do)
	}
	return l, err
}

// rate is how many pictures came a second; 0 if that cannot be said.
func (l *glance) rate() float64 {
	took := l.last.Sub(l.first)
	if l.frames < 2 || took <= 0 {
		return 0
	}
	return float64(l.frames-1) / took.Seconds()
}

// troubles are what may become one, with what to do about it.
func (l *glance) troubles(src ingest.Source) []string {
	var all []string
	if l.width > 1920 || l.height > 1080 {
		all = append(all, "decoding so many pixels costs much CPU: a sub-stream of the camera does for detection")
	}
	if src.Live() && l.firstDelay > 5*time.Second {
		all = append(all, "the first picture came late: let the camera send a key frame every second or two")
	}
	return all
}

// source looks at one source.
func (d *doctor) source(ctx context.Context, text, transport string) error {
	src, err := ingest.ParseSource(text)
	if err != nil {
		return &usageError{err}
	}
	cfg := ingest.Config{ID: src.ID(), Source: src, Transport: transport}
	if err := cfg.Validate(); err != nil {
		return usagef("--%w", err) // its settings have the names of the flags
	}
	d.good("source", "%s (%s)", src, src.Kind())
	l, err := glanceAt(ctx, d.g, cfg)
	if err != nil {
		d.wrong("pictures", "%v", err)
		return nil
	}
	d.good("first picture", "after %v", l.firstDelay.Round(time.Millisecond))
	d.good("size", "%d×%d", l.width, l.height)
	if r := l.rate(); r > 0 {
		d.good("rate", "%.1f frames a second over %v", r, l.last.Sub(l.first).Round(10*time.Millisecond))
	}
	for _, t := range l.troubles(src) {
		d.note("pictures", "%s", t)
	}
	if l.unreadable != "" {
		d.wrong("pictures", "some cannot be read: %s", l.unreadable)
	}
	return nil
}

// advice is what to do about a source that shows nothing, if the error does not
// say that itself.
func advice(err error, cfg ingest.Config) string {
	switch {
	case errors.Is(err, ingest.ErrAuth):
		return "check user name and password; special characters in them must be percent-encoded (@ is %40)"
	case errors.Is(err, ingest.ErrUnreachable):
		return "check the address, the port and the network; ping the camera"
	case errors.Is(err, ingest.ErrNoStream):
		return "the camera's manual has it"
	case errors.Is(err, ingest.ErrNotRTSP):
		return ""
	case errors.Is(err, ingest.ErrNotFound), errors.Is(err, ingest.ErrNoPictures):
		return "check the path"
	case errors.Is(err, ingest.ErrNotStream):
		return "see the camera's manual for the address of its MJPEG stream"
	case cfg.Source.Kind() == ingest.RTSP && (errors.Is(err, ingest.ErrNoFrames) || errors.Is(err, ingest.ErrNotOpened)):
		other := "udp"
		if cfg.Transport == other {
			other = "tcp"
		}
		return "try transport " + other + ", or another of its streams"
	case cfg.Source.Live():
		return "see whether another player shows it, for example ffplay"
	}
	return "see whether another player shows it"
}
