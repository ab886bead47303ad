package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/backoff"
	"github.com/vedette-io/vedette/internal/proc"
)

// Camera captures one source. See the package comment.
type Camera struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	// What follows belongs to Run's goroutine.
	state    State
	position position
	items    items
	start    time.Time // of a finite source's run
	crashes  int       // in a row, without a frame in between
	software bool      // hardware decoding was tried and failed
	warned   bool      // about that
	patient  bool      // the next attempt lets FFmpeg analyse the stream at length
	slow     bool      // the next attempt gives the camera time to answer

	everOnline bool
	alone      bool   // no two processes can have the source at once
	replaced   string // why the process was replaced, until the next picture
	// When the last planned restarts for want of memory and of processors were.
	plannedMemory, plannedCPU time.Time

	launcher *proc.Launcher
	lower    func(*session) error
	waiting  *session       // a process without a job, while the camera is away
	leaving  sync.WaitGroup // processes that are being ended beside

	rings rings
	once  sync.Once

	// The clock by which pauses are made; tests have their own.
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
}

// position is how far a finite source, or an epoch of a live one, has come.
type position struct {
	epoch   string
	seq     uint64 // of the next frame
	sampled uint64
	gap     uint64
}

// New prepares a camera. It fails when the configuration is wrong; whether the
// source is there is found out by Run.
func New(cfg Config, deps Deps) (*Camera, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Output == nil {
		return nil, errors.New("camera without an output")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Epochs == nil {
		deps.Epochs = new(vedette.Epochs)
	}
	if deps.Command == nil {
		deps.Command = selfCommand
	}
	c := &Camera{cfg: cfg.withDefaults(), deps: deps, log: deps.Log.With("camera", cfg.ID)}
	c.rings.idle = make(chan struct{}, 1)
	c.now, c.sleep, c.lower = time.Now, backoff.Sleep, lowerPriority
	c.state = State{Camera: cfg.ID}
	c.slow = cfg.MaxAttempts == 1 // there will be no second one
	return c, nil
}

// Run captures until the source ends, the context does, or there is no hope.
//
// A finite source that was read to its end gives nil, after the end notice was
// delivered and, under Every, all its frames were released; a damaged one
// gives an error that wraps [ErrTruncated] after that. A cancelled context
// gives its error. Anything else is a [*SourceError], or what Output.Frame
// returned. Run must be called once.
func (c *Camera) Run(ctx context.Context) error {
	err := errors.New("camera was run before")
	c.once.Do(func() { err = c.run(ctx) })
	return err
}

// Close frees the ring of the last picture, which stays readable after Run has
// returned. It is idempotent and must not be called before.
func (c *Camera) Close() error { return c.rings.closeAll() }

func (c *Camera) run(ctx context.Context) error {
	c.launcher = proc.NewLauncher()
	err := c.supervise(ctx)
	c.dismiss()
	c.leaving.Wait()
	c.launcher.Close()
	if ctx.Err() == nil {
		reason := "eof"
		if err != nil {
			reason = cause(err)
		}
		c.setState(ctx, Ended, reason, err)
	}
	return err
}

func (c *Camera) supervise(ctx context.Context) error {
	if c.cfg.Source.finite {
		return c.runFinite(ctx)
	}
	return c.runLive(ctx)
}

// runFinite reads a file or list to its end, with as many children as it
// takes.
func (c *Camera) runFinite(ctx context.Context) error {
	found, err := c.cfg.Source.find()
	if err != nil {
		return err
	}
	c.items = found
	if found.ignored > 0 {
		c.log.Info("files that are no pictures are left out", "count", found.ignored, "pictures", len(found.paths))
	}
	c.start = c.cfg.Resume.Start
	if c.start.IsZero() {
		c.start = time.Now()
	}
	c.position = position{epoch: c.cfg.Resume.Epoch, seq: c.cfg.Resume.Seq}
	if c.position.epoch == "" {
		c.position.epoch = c.deps.Epochs.Next(c.start)
	}
	c.setState(ctx, Connecting, "", nil)
	for {
		out := c.capture(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case out.fatal != nil:
			return out.fatal
		case out.ended:
			return c.finish(ctx, "eof", c.checkComplete(out))
		case out.planned != "":
			c.notePlanned(out.planned)
			c.setState(ctx, Connecting, out.planned, nil)
			continue
		}
		if err := c.afterCrash(ctx, out); err != nil {
			return err
		}
		c.state.Restarts++
		c.setState(ctx, Connecting, cause(out.err), nil)
	}
}

// maxCrashes is how many children in a row may die at the same frame.
const maxCrashes = 3

// afterCrash decides whether a finite source goes on after a failed child.
func (c *Camera) afterCrash(ctx context.Context, out outcome) error {
	if out.permanent {
		return c.giveUp(ctx, out.err)
	}
	if out.progress {
		c.crashes = 0
	}
	c.crashes++
	c.log.Warn("capture process failed", "reason", cause(out.err), "next_seq", c.position.seq)
	if c.crashes < maxCrashes {
		return nil
	}
	if c.cfg.Source.kind == Images {
		// The picture itself kills the decoder: it costs only itself.
		c.crashes = 0
		return c.deliverUnreadable(ctx, c.items.name(c.position.seq), cause(out.err))
	}
	return c.giveUp(ctx, out.err)
}

// giveUp ends a finite source that cannot be read on. When it had frames their
// consumer is told that there will be no more.
func (c *Camera) giveUp(ctx context.Context, err error) error {
	if c.position.seq == c.cfg.Resume.Seq {
		return err
	}
	return c.finish(ctx, cause(err), err)
}

// checkComplete compares what was read with what the file said it had, and with
// the frames that its times show to be missing. The number is an estimate in
// some formats, so that a little less is allowed unless the file itself is seen
// to break off; what is missing inside is told in any case.
func (c *Camera) checkComplete(out outcome) error {
	got, want, gap := c.position.seq, out.total, c.position.gap
	known := want > 0
	if c.cfg.Source.kind != File || (known && got >= want) || (!known && gap == 0) {
		return nil
	}
	// Holes that explain the difference say best how many frames there were.
	if gap > 0 && got+gap+2 >= want {
		want = got + gap
	}
	said := fmt.Sprintf("%d of %d frames could be read", got, want)
	if known && ((got+5 < want && float64(got) < 0.95*float64(want)) || endsEarly(c.items.paths[0])) {
		return c.cfg.Source.fail(ErrTruncated, said)
	}
	if gap > 0 {
		c.log.Warn("the video is damaged", "source", c.cfg.Source, "reason", said)
	}
	return nil
}

// finish announces the end of a finite source and waits for what is still in
// use.
func (c *Camera) finish(ctx context.Context, reason string, result error) error {
	if result != nil && reason == "eof" {
		reason = "truncated"
	}
	if err := c.deliverEnd(ctx, reason); err != nil {
		return err
	}
	if err := c.rings.waitIdle(ctx); err != nil {
		return err
	}
	return result
}

func (c *Camera) setState(ctx context.Context, p Phase, reason string, err error) {
	if c.state.Phase == p && c.state.Reason == reason {
		return
	}
	before := c.state.Phase
	c.state.Phase, c.state.Reason, c.state.Err = p, reason, err
	c.state.Epoch = c.position.epoch
	if now := time.Now(); c.state.Since.IsZero() || !before.away() || !p.away() {
		c.state.Since = now
	}
	c.deps.Output.State(ctx, c.state)
}
