package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/vedette-io/vedette/internal/backoff"
)

// runLive keeps a live source connected.
func (c *Camera) runLive(ctx context.Context) error {
	retry := backoff.Backoff{Min: c.cfg.MinBackoff, Max: c.cfg.MaxBackoff}
	attempts, asked := 0, false
	c.setState(ctx, Connecting, "", nil)
	for { // a camera that is offline stays so until there is a picture: an attempt is no change
		limited := !c.everOnline && c.cfg.MaxAttempts > 0
		limit := firstProbe
		if limited { // there is nobody to tell so soon, and perhaps no second attempt
			limit *= 2
		}
		out, began := outcome{}, c.now()
		if !asked {
			out.err = c.probe(ctx, limit)
		}
		if out.err == nil {
			out = c.capture(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if out.fatal != nil {
			return out.fatal
		}
		if out.planned != "" { // the camera is there
			c.notePlanned(out.planned)
			c.setState(ctx, Connecting, out.planned, nil)
			asked = true
			continue
		}
		attempts++
		if out.online {
			attempts = 0
		}
		if out.uptime >= goodRun {
			retry.Reset()
		}
		limited = limited && !c.everOnline
		// A wrong password does not become right, and cameras lock accounts; neither a
		// file nor a server of something else becomes a stream.
		hopeless := errors.Is(out.err, ErrAuth) || errors.Is(out.err, ErrNotStream) || errors.Is(out.err, ErrNotRTSP)
		if out.permanent || (limited && (attempts >= c.cfg.MaxAttempts || hopeless)) {
			return out.err
		}
		c.replaced = "" // whatever comes next is a reconnect
		if errors.Is(out.err, ErrNotOpened) && !errors.Is(c.state.Err, ErrNotOpened) {
			retry.Reset() // what failed before was another fault, and may have passed
		}
		c.offline(ctx, out.err)
		var err error
		if limited {
			asked, err = false, c.sleep(ctx, retry.Next()) // the next probe is the next attempt
		} else {
			asked, err = c.await(ctx, &retry, out.err, began)
		}
		if err != nil {
			return err
		}
	}
}

// offline tells that the camera is away, or of a new reason for that.
func (c *Camera) offline(ctx context.Context, err error) {
	if c.state.Phase == Offline && c.state.Reason == cause(err) {
		return
	}
	c.setState(ctx, Offline, cause(err), err)
	c.log.Info("camera is offline", "reason", cause(err))
}

// goodRun is how long a connection must last to count as a success.
const goodRun = 10 * time.Second

const (
	probeEvery = time.Second
	minPause   = 250 * time.Millisecond // after a probe that took long itself
	authPause  = 45 * time.Second
	// quietEvery is the longest from one attempt to the next for a camera that
	// shows nothing any more. It is found to be back only by opening the stream
	// again. What gives FFmpeg nothing to open is not one that froze: there the
	// pauses grow.
	quietEvery = 1500 * time.Millisecond
)

// await waits until the next attempt is worth it, after one that began then: a
// growing pause while the camera answers, and as soon as it answers again when
// it did not, however long that takes. asked says that it was asked and would
// serve its stream.
func (c *Camera) await(ctx context.Context, retry *backoff.Backoff, why error, began time.Time) (asked bool, err error) {
	if !isAway(why) && !errors.Is(why, ErrAuth) {
		pause := retry.Next()
		if errors.Is(why, ErrNoFrames) {
			pause = min(pause, max(backoff.Jitter(minPause), backoff.Jitter(quietEvery)-c.now().Sub(began)))
		}
		return false, c.sleep(ctx, pause)
	}
	var slow slowProbe
	defer slow.stop()
	began = c.now()
	for n := 1; ; n++ {
		pause := backoff.Jitter(authPause) // cameras lock accounts after a few wrong tries
		if isAway(why) {
			pause = max(minPause, backoff.Jitter(probeEvery)-c.now().Sub(began))
		}
		if err := c.sleep(ctx, pause); err != nil {
			return false, err
		}
		began = c.now()
		if isAway(why) && n%4 == 1 {
			slow.start(ctx, c)
			c.prepareNext()
		}
		err := c.probe(ctx, quickProbe)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err == nil || slow.answered() {
			retry.Reset()
			return true, nil
		}
		c.offline(ctx, err)
		why = err
	}
}

// isAway reports whether a probe, which is cheap, can tell that the reason for
// a failure is gone.
func isAway(err error) bool {
	for _, away := range []error{ErrUnreachable, ErrNoStream, ErrNotStream, ErrNotRTSP, ErrNoDevice} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}

// slowProbe is a probe that takes its time beside the quick ones, at most one
// at once: a camera behind a slow network answers only that, and one that comes
// back must not have to wait for its end.
type slowProbe struct {
	cancel context.CancelFunc
	done   chan error // nil: none runs
}

func (p *slowProbe) start(ctx context.Context, c *Camera) {
	if p.done != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.probe(ctx, c.cfg.OpenTimeout) }()
	p.cancel, p.done = cancel, done
}

// answered reports whether the camera would serve its stream.
func (p *slowProbe) answered() bool {
	select {
	case err := <-p.done:
		p.cancel()
		p.done = nil
		return err == nil
	default:
		return false
	}
}

func (p *slowProbe) stop() {
	if p.done != nil {
		p.cancel()
		<-p.done
	}
}
