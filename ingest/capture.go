package ingest

import (
	"context"
	"errors"
	"time"
)

// outcome is how one child ended.
type outcome struct {
	ended     bool   // the source's end
	planned   string // why it was ended to be replaced, else
	err       error  // a *SourceError, else
	permanent bool   // trying again is of no use
	fatal     error  // Output.Frame's error: Run ends with it
	online    bool   // there was a picture
	progress  bool   // something was announced
	uptime    time.Duration
	total     uint64
}

// capture runs a child to its end, and then those that replace it.
func (c *Camera) capture(ctx context.Context) outcome {
	s, err := c.newSession(false)
	if err != nil {
		return outcome{err: c.cfg.Source.fail(ErrCannotStart, c.cfg.Source.Redact(err.Error())), permanent: c.cfg.Source.finite}
	}
	for {
		why := s.watch(ctx)
		out, next := s.finish(ctx, why), s.next
		if next == nil {
			return out
		}
		if out.fatal != nil || ctx.Err() != nil {
			next.discard()
			return out
		}
		if out.planned == "" { // it failed before the other one could take over
			c.setState(ctx, Connecting, cause(out.err), nil)
			c.log.Warn("capture process failed while it was being replaced", "reason", cause(out.err))
		}
		c.notePlanned(s.plan)
		next.takeOver()
		s = next
	}
}

// errReplace ends the watch over a child that is to be replaced; the one that
// takes over is ready, or is to be started when it is gone.
var errReplace = errors.New("planned restart")

// finish ends the child after its watch.
func (s *session) finish(ctx context.Context, why error) outcome {
	c := s.c
	planned := errors.Is(why, errReplace)
	if planned && c.cfg.Source.Live() {
		why = s.drain(ctx)
	}
	exit := s.stop()
	if c.cfg.Source.Live() && s.out.online {
		reason := s.plan
		if !planned {
			reason = s.endReason(why)
		}
		if err := c.endEpoch(ctx, reason); err != nil && s.out.fatal == nil {
			s.out.fatal = err
		}
	}
	if !s.since.IsZero() {
		s.out.uptime = time.Since(s.since)
	}
	switch {
	case s.out.ended:
	case planned:
		s.out.planned = s.plan
	default:
		s.out.err, s.out.permanent = s.diagnose(why, exit)
		if !s.out.online {
			c.software = c.software || c.cfg.Decode == "auto" // it may be what failed
			s.learn()
		}
	}
	return s.out
}

// drain delivers what a child that is being replaced has announced and nobody
// has heard yet: it was captured and must not be lost.
func (s *session) drain(ctx context.Context) error {
	s.stdin.close() // asks it to exit
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		select {
		case ev, ok := <-s.events:
			if !ok || s.fail != nil {
				return nil
			}
			if err := s.handle(ctx, &ev); err != nil {
				s.out.fatal = err
				return err
			}
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// learn lets the next attempt be another than this one, which brought no
// picture: a camera that was slow to answer gets more time, a stream that came
// in time and showed nothing is analysed at length.
func (s *session) learn() {
	took := s.openTook
	if !s.opened {
		took = s.c.cfg.OpenTimeout
		if s.fail != nil {
			took = time.Duration(s.fail.Millis * float64(time.Millisecond))
		}
	}
	if took >= s.job.Stall*9/10 {
		s.c.slow = !s.c.slow
		return
	}
	s.c.patient = !s.c.patient
}

func (s *session) endReason(why error) string {
	switch {
	case why != nil:
		return cause(why)
	case s.fail != nil:
		return "the connection was lost"
	}
	return "the capture process crashed"
}

// replace begins a planned restart. Another child of a live source opens it
// beside this one and takes over with its first picture, so that nothing is
// missed; where two cannot have it at once, and for a source that waits,
// errReplace says that this one has to go first.
func (s *session) replace(reason string) error {
	c := s.c
	s.plan = "planned restart: " + reason
	if !c.cfg.Source.Live() || c.alone || c.cfg.Source.kind == Device {
		return errReplace
	}
	next, err := c.newSession(true)
	if err != nil {
		c.log.Error("start another capture process for a planned restart", "err", err)
		return nil // it goes on as it is
	}
	s.next = next
	c.log.Info("capture process is to be replaced", "reason", reason)
	return nil
}

// prepare handles an event of the child that is to take over, and reports
// whether it has a picture.
func (s *session) prepare(ctx context.Context, ev *event) (ready bool) {
	switch ev.Type {
	case evFrame, evUnreadable:
		s.first = ev
		return true
	case evOpened, evRing, evFail:
		_ = s.handle(ctx, ev) // these three have nothing for Output
	}
	return false
}

// alone gives up the other child: the camera serves one at a time.
func (s *session) alone() error {
	s.c.alone = true
	s.c.log.Info("another capture process got no picture beside the first: restarting with a gap")
	next := s.next
	s.next = nil
	s.c.leaving.Go(next.discard)
	return errReplace
}

// takeOver makes a child that stood by the one that captures.
func (s *session) takeOver() {
	s.standby = false
	if s.pending != nil {
		s.ring = s.c.rings.add(s.pending, s.pendingNumber)
		s.pending = nil
	}
}

// discard ends a child that never captured.
func (s *session) discard() {
	s.stop()
	if s.pending != nil {
		_ = s.pending.Close() // a file opened for reading: nothing can be lost
	}
}

// notePlanned counts a planned restart; the first picture after it says why.
func (c *Camera) notePlanned(reason string) {
	c.state.Planned++
	c.replaced = reason
	c.log.Info("capture process was replaced", "reason", reason)
}
