package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/ring"
)

// running is a camera that is captured.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// captureAll is the ingest stage: it captures from all cameras, and those that
// are added meanwhile, until every source has ended or ctx ends.
func (p *Pipeline) captureAll(ctx context.Context) []error {
	p.mu.Lock()
	p.captureCtx = ctx
	cameras := p.cfg.Cameras
	p.mu.Unlock()
	for _, c := range cameras {
		p.startCapture(c)
	}
	p.leaveRun(nil)
	<-p.ended
	return p.errs
}

// enter keeps Run from ending until leaveRun; false: it does not run.
func (p *Pipeline) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == 0 || (p.runs.Ingest && p.captureCtx == nil) {
		return false
	}
	p.open++
	return true
}

// leaveRun takes the error of what has ended; the last one ends Run.
func (p *Pipeline) leaveRun(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.errs = append(p.errs, err)
	}
	if p.open--; p.open == 0 {
		close(p.ended)
	}
}

// startCapture captures one camera beside the others.
func (p *Pipeline) startCapture(c Camera) {
	p.mu.Lock()
	ctx, cancel := context.WithCancel(p.captureCtx)
	r := &running{cancel: cancel, done: make(chan struct{})}
	p.running[c.Ingest.ID] = r
	p.open++
	p.mu.Unlock()
	go func() {
		defer cancel()
		err := p.capture(ctx, c, &p.epochs)
		if ctx.Err() != nil {
			err = nil // stopped on purpose
		} else { // the end of the source: it may be read again, by whoever
			p.claims.giveBack(ctx, captureKey+c.Ingest.ID)
		}
		close(r.done)
		p.leaveRun(err)
	}()
}

// capture runs one camera, and then waits for what it captured.
func (p *Pipeline) capture(ctx context.Context, c Camera, epochs *vedette.Epochs) error {
	sender, err := p.bus.NewFrameSender(p.cfg.Host, c.Ingest.ID)
	if err != nil {
		return err
	}
	defer sender.Close()
	out := &frameOutput{sender: sender, every: c.Ingest.Delivery == ingest.Every, state: p.state}
	finished, err := p.resumeSource(ctx, &c, epochs)
	if err != nil {
		return err
	}
	c.Ingest.Slots = p.slots(c)
	if c.Ingest.DecoderThreads == 0 {
		c.Ingest.DecoderThreads = p.decoderThreads()
	}
	camera, err := ingest.New(c.Ingest, ingest.Deps{Log: p.deps.Log, Epochs: epochs, Output: out})
	if err != nil {
		return err
	}
	defer camera.Close() // lets go of a ring opened for reading: nothing can be lost
	err = camera.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if lastErr := out.last(ctx, c.Ingest.ID); lastErr != nil {
		return errors.Join(err, lastErr)
	}
	if p.owner != nil {
		err = errors.Join(err, p.owner.Wait(ctx, c.Ingest.ID))
	}
	return errors.Join(err, finished(ctx))
}

// maxDecoderThreads is where more of them only make frames late.
const maxDecoderThreads = 8

// decoderThreads is how many threads the decoder of each of the cameras that
// are files may use: together half as many as there are cores, since the
// workers need the others, and a frame that is decoded by several threads costs
// more than by one. 0: no file.
func (p *Pipeline) decoderThreads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := 0
	for _, c := range p.cfg.Cameras {
		if c.Ingest.Source.Kind() == ingest.File {
			files++
		}
	}
	if files == 0 {
		return 0
	}
	return min(max(1, cores()/2/files), maxDecoderThreads)
}

// slots is how many pictures the camera's ring has. Under every a picture stays
// there until its result is stored, so it has room for those that are inferred
// at a time besides those that are captured ahead.
func (p *Pipeline) slots(c Camera) int {
	if c.Ingest.Slots != 0 || c.Ingest.Delivery != ingest.Every {
		return c.Ingest.Slots
	}
	if spooled(c) {
		return ring.MaxSlots // as many as its memory has room for
	}
	inferred := 0
	p.mu.Lock()
	models := p.cfg.Models
	p.mu.Unlock()
	for _, m := range models {
		device := m.Device
		if s := p.service(m.name()).current(); s != nil {
			device = s.Pool.Ref().Device
		}
		inferred = max(inferred, m.atOnce(device))
	}
	return min(ring.DefaultSlots+inferred, ring.MaxSlots)
}

// resumeSource lets a finite, lossless source go on where an earlier process
// was killed: behind the last result that every one of its models has. A file
// is its own spool. finished notes that it was read to its end, so that the
// next run of it starts from the beginning.
func (p *Pipeline) resumeSource(ctx context.Context, c *Camera, epochs *vedette.Epochs) (finished func(context.Context) error, err error) {
	kept := p.cfg.Bus.URL != "" || p.cfg.Bus.Store != "" // else there is nothing to go on from
	if !kept || c.Ingest.Delivery != ingest.Every || !c.Ingest.Source.Finite() || c.Ingest.Resume != (ingest.Resume{}) {
		return func(context.Context) error { return nil }, nil
	}
	id := c.Ingest.ID
	sum := sha256.Sum256([]byte(c.Ingest.Source.String()))
	source := hex.EncodeToString(sum[:])
	run, err := p.bus.SourceRun(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("camera %s: %w", id, err)
	}
	resume := ingest.Resume{Start: time.Now()}
	if run != nil && !run.Ended && run.Source == source {
		resume.Epoch, resume.Start = run.Epoch, run.Start
		for i, d := range c.Owner.Detect {
			last, err := p.bus.LastDetection(ctx, id, d.Model)
			if err != nil {
				return nil, fmt.Errorf("camera %s: %w", id, err)
			}
			next := uint64(0)
			if last != nil && last.Epoch == run.Epoch {
				next = last.Seq + 1
			}
			if i == 0 || next < resume.Seq {
				resume.Seq = next
			}
		}
		p.deps.Log.Info("going on where an earlier process stopped", "camera", id, "epoch", resume.Epoch, "seq", resume.Seq)
	} else {
		resume.Epoch = epochs.Next(resume.Start)
	}
	now := bus.SourceRun{Source: source, Epoch: resume.Epoch, Start: resume.Start}
	if err := p.bus.PutSourceRun(ctx, id, now); err != nil {
		return nil, fmt.Errorf("camera %s: %w", id, err)
	}
	c.Ingest.Resume = resume
	return func(ctx context.Context) error {
		now.Ended = true
		return p.bus.PutSourceRun(ctx, id, now)
	}, nil
}

// state keeps and reports a camera's state.
func (p *Pipeline) state(s ingest.State) {
	p.mu.Lock()
	before := p.states[s.Camera]
	p.states[s.Camera] = s
	p.mu.Unlock()
	p.deps.Metrics.CameraUp(s.Camera, s.Phase == ingest.Online)
	for range s.Reconnects - min(before.Reconnects, s.Reconnects) {
		p.deps.Metrics.CameraReconnected(s.Camera)
	}
	for range s.Planned - min(before.Planned, s.Planned) {
		p.deps.Metrics.CameraReplaced(s.Camera)
	}
	if p.deps.State != nil {
		p.deps.State(s)
	}
}
