package ingest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/ring"
)

// session is one child process and what is known of it.
type session struct {
	c      *Camera
	job    *job
	cmd    *exec.Cmd
	stdin  *commandPipe
	stderr *stderrRelay
	pipe   *os.File // the events'
	events chan event
	quit   chan struct{} // ends the goroutine that reads events
	exited chan error

	ring    *heldRing
	opened  bool
	started time.Time
	// openTook is how long opening took, since when there are pictures.
	openTook time.Duration
	since    time.Time
	meter    meter
	out      outcome
	fail     *event // the child's own last word

	// In a planned restart: why this child is to be replaced, and by which.
	plan string
	next *session
	// standby is for the one that is to take over: it keeps its ring and its
	// first picture until then.
	standby       bool
	pending       *ring.Hold
	pendingNumber int
	first         *event
}

// read passes events on until the child closes its end.
func (s *session) read() {
	defer close(s.events)
	defer s.pipe.Close()
	lines := newLineReader(s.pipe, maxEventLine)
	for {
		var ev event
		if lines.next(&ev) != nil {
			return
		}
		select {
		case s.events <- ev:
		case <-s.quit:
			return
		}
	}
}

// watch handles the child's events until there are no more, the context ends,
// or this side ends it, and says why when it was that: the child has been
// silent for too long, has taken too much, or is to be replaced (errReplace).
func (s *session) watch(ctx context.Context) error {
	if ev := s.first; ev != nil {
		s.first = nil
		if over, err := s.take(ctx, ev); over {
			return err
		}
	}
	silence := time.NewTimer(s.patience())
	defer silence.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		var others <-chan event
		if s.next != nil {
			others = s.next.events
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			return s.c.cfg.Source.fail(ErrNoFrames, fmt.Sprintf("silent for %v", s.patience().Round(100*time.Millisecond)))
		case ev, ok := <-s.events:
			if !ok {
				return nil
			}
			if over, err := s.take(ctx, &ev); over {
				return err
			}
			silence.Reset(s.patience())
		case <-check.C:
			if err := s.check(); err != nil {
				return err
			}
		case ev, ok := <-others:
			switch {
			case !ok:
				return s.alone()
			case s.next.prepare(ctx, &ev):
				return errReplace
			case s.next.fail != nil:
				return s.alone()
			}
		}
	}
}

// take handles one event and reports whether it was the last.
func (s *session) take(ctx context.Context, ev *event) (over bool, err error) {
	if err := s.handle(ctx, ev); err != nil {
		if ctx.Err() == nil {
			s.out.fatal = err
		}
		return true, err
	}
	return s.out.ended || s.fail != nil, nil
}

// check looks at what the child takes of the machine, and at the one that is to
// replace it.
func (s *session) check() error {
	if s.next != nil {
		if limit := s.c.cfg.OpenTimeout + s.c.cfg.FirstFrame; time.Since(s.next.started) > limit {
			return s.alone()
		}
	}
	plan, err := s.meter.check(s)
	switch {
	case err != nil:
		return err
	case plan != "" && s.next == nil:
		return s.replace(plan)
	}
	return nil
}

// patience is how long the child may be silent in its present phase. A busy
// consumer is no silence of the child: the time counts from when this side
// listens.
func (s *session) patience() time.Duration {
	cfg := &s.c.cfg
	switch {
	case !s.opened:
		return cfg.OpenTimeout + time.Second
	case s.since.IsZero():
		return cfg.FirstFrame
	}
	return cfg.Silence * 9 / 10 // so that it is over and told of within Silence
}

// handle acts on one event. The child decodes what strangers send, so that its
// word is checked. An error is Output's.
func (s *session) handle(ctx context.Context, ev *event) error {
	c := s.c
	switch ev.Type {
	case evOpened:
		s.opened, s.openTook = true, time.Duration(ev.Millis*float64(time.Millisecond))
		c.state.FPS = ev.SourceFPS
		s.out.total = uint64(max(ev.Total, 0))
		c.state.Total = s.out.total
		c.noteDecoder(ev.Accelerated)
	case evRing:
		s.takeRing(ev)
	case evFrame, evUnreadable:
		return s.frame(ctx, ev)
	case evTick:
		s.advance(ev)
	case evEnd:
		s.advance(ev)
		c.position.seq, c.position.sampled = max(c.position.seq, ev.Seq), ev.Sampled
		c.position.gap = max(c.position.gap, ev.Gap)
		s.out.ended = c.cfg.Source.finite
	case evFail:
		s.advance(ev)
		s.fail = ev
	}
	return nil
}

// advance notes the frames of a live source that were decoded but not wanted.
// Of a finite source only what was announced counts: a new child decides anew.
func (s *session) advance(ev *event) {
	if s.c.cfg.Source.Live() && s.out.online {
		s.c.position.seq = max(s.c.position.seq, ev.Seq)
		s.c.position.sampled = max(s.c.position.sampled, ev.Sampled)
	}
}

// takeRing takes hold of the child's ring before it announces frames in it.
func (s *session) takeRing(ev *event) {
	hold, err := ring.Keep(ring.FDPath(s.cmd.Process.Pid, ev.FD))
	if err != nil {
		s.c.log.Error("open the capture process's ring", "err", err)
		return // the child waits in vain and is found silent
	}
	switch {
	case !s.standby:
		s.ring = s.c.rings.add(hold, ev.Ring)
	case s.pending != nil:
		_ = s.pending.Close() // a file opened for reading: nothing can be lost
		fallthrough
	default:
		s.pending, s.pendingNumber = hold, ev.Ring
	}
	s.stdin.send(command{Ring: ev.Ring, Held: true})
}

func (s *session) frame(ctx context.Context, ev *event) error {
	c := s.c
	if ev.Type == evFrame && (s.ring == nil || ev.Ring != s.ring.number || ev.Width < 1 || ev.Height < 1 ||
		(ev.Channels != 1 && ev.Channels != 3)) {
		s.fail = &event{Code: failOther, Text: "the capture process announced an impossible frame"}
		return nil
	}
	if s.since.IsZero() {
		s.firstFrame(ctx)
	}
	if ev.Seq < c.position.seq { // never twice
		s.fail = &event{Code: failOther, Text: "the capture process repeated a frame"}
		return nil
	}
	s.out.progress = true
	s.meter.pixels = max(s.meter.pixels, ev.Width*ev.Height)
	c.crashes = 0
	f := c.newFrame(ev.Seq)
	f.Item, f.PTSMillis, f.CaptureMillis = ev.Item, ev.PTS, ev.Millis
	f.CapturedAt = vedette.At(time.UnixMicro(ev.At))
	f.CaptureTime, f.Clock = f.CapturedAt, vedette.ClockHost
	if c.cfg.Source.finite {
		f.CaptureTime = vedette.At(c.start.Add(time.Duration(ev.PTS * float64(time.Millisecond))))
		f.Clock = vedette.ClockFile
	}
	f.Sampled, f.SourceGap = ev.Sampled, ev.Gap
	c.position = position{epoch: c.position.epoch, seq: ev.Seq + 1, sampled: ev.Sampled, gap: ev.Gap}
	if ev.Type == evUnreadable {
		f.Overflow = ev.Code == codeOverflow
		f.Unreadable, f.Reason = !f.Overflow, c.cfg.Source.Redact(ev.Text)
		return c.deps.Output.Frame(ctx, f, func() {})
	}
	f.Width, f.Height, f.Format = ev.Width, ev.Height, vedette.BGR24
	if ev.Channels == 1 {
		f.Format = vedette.Gray8
	}
	f.Ref = vedette.RingRef{Path: s.ring.path, Slot: ev.Slot, Generation: ev.Generation, Offset: ev.Offset,
		Stride: ev.Width * ev.Channels, Bytes: ev.Width * ev.Channels * ev.Height}
	return c.deps.Output.Frame(ctx, f, s.releaser(ev.Slot))
}

// firstFrame is when a source counts as connected.
func (s *session) firstFrame(ctx context.Context) {
	c := s.c
	s.since = time.Now()
	s.out.online = true
	if c.cfg.Source.Live() {
		if c.everOnline && c.replaced == "" {
			c.state.Reconnects++
		}
		c.everOnline = true
		c.position = position{epoch: c.deps.Epochs.Next(s.since)}
		c.log.Info("camera is online", "epoch", c.position.epoch, "source_fps", c.state.FPS)
	}
	c.setState(ctx, Online, c.replaced, nil)
	c.replaced = ""
}

// releaser returns what frees a slot under every delivery.
func (s *session) releaser(slot int) func() {
	if s.c.cfg.Delivery != Every {
		return func() {}
	}
	r, stdin := s.ring, s.stdin
	r.retain()
	var once sync.Once
	return func() {
		once.Do(func() {
			stdin.send(command{Ring: r.number, Slot: slot})
			r.release()
		})
	}
}

// noteDecoder warns once when hardware decoding was wished for in vain.
func (c *Camera) noteDecoder(accelerated bool) {
	if c.cfg.Decode == "auto" && !accelerated && !c.warned {
		c.warned = true
		c.log.Warn("no hardware decoder could be used; decoding in software")
	}
}
