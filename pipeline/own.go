package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// becomeOwner is the preprocess stage, without cameras yet.
func (p *Pipeline) becomeOwner(ctx context.Context) error {
	limits := p.cfg.Limits
	if limits == (bus.Limits{}) {
		limits = bus.DefaultDetectionLimits()
	}
	if err := p.bus.EnsureDetections(ctx, limits); err != nil {
		return err
	}
	p.writer = p.bus.NewDetectionWriter()
	var err error
	p.owner, err = preprocess.NewOwner(nil, preprocess.OwnerDeps{
		Log: p.deps.Log, Site: p.cfg.Site, Writer: timedWriter{p.writer, p.deps.Metrics},
		Pictures: func() preprocess.Pictures { return new(ring.Reader) },
		Workers:  p.newWorkers(),
		Observer: observer{p.deps.Metrics}, Evidence: p.deps.Evidence, Spool: spool{p},
	})
	if err != nil {
		return err
	}
	p.roster.own(p.owner.SetCredits)
	for _, m := range p.models {
		if err := p.want(m); err != nil {
			return err
		}
	}
	return nil
}

// ownCamera makes this process, which has the lease, the owner of a camera. It
// goes on behind what an earlier owner published.
func (p *Pipeline) ownCamera(ctx context.Context, c Camera) error {
	cfg := c.Owner
	if cfg.Spool = spooled(c); cfg.Spool {
		if err := p.openSpool(ctx); err != nil {
			return fmt.Errorf("camera %s: %w", cfg.ID, err)
		}
	}
	cfg.Resume = map[string]preprocess.Place{}
	for _, d := range cfg.Detect {
		last, err := p.bus.LastDetection(ctx, cfg.ID, d.Model)
		if err != nil {
			return fmt.Errorf("camera %s: %w", cfg.ID, err)
		}
		if last != nil {
			cfg.Resume[d.Model] = preprocess.Place{Epoch: last.Epoch, Seq: last.Seq}
		}
	}
	return p.owner.Add(cfg)
}

// listen takes the frames of a camera from the bus. A camera that another
// process owns is not listened to: its lossless frames are that one's to answer.
func (p *Pipeline) listen(id string) error {
	stop, err := p.bus.SubscribeCamera(p.cfg.Host, id, p.deliver)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listening[id] = stop
	return nil
}

func (p *Pipeline) stopListening(id string) error {
	p.mu.Lock()
	stop := p.listening[id]
	delete(p.listening, id)
	p.mu.Unlock()
	if stop == nil {
		return nil
	}
	return stop()
}

// deliver takes a frame from the bus. Where the camera is captured by another
// process, its end is not this one's: that process may come back.
func (p *Pipeline) deliver(f *vedette.Frame, release func()) {
	if f.Last && !p.runs.Ingest {
		release()
		return
	}
	p.owner.Deliver(f, release)
}

// requestTimeout is how long an owner waits for an answer: the slowest model's
// time-out, for a request that waits behind another one.
func (p *Pipeline) requestTimeout() time.Duration {
	most := infer.DefaultTimeout
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.cfg.Models {
		most = max(most, m.Timeout)
	}
	return 2*most + answerMargin
}

// newWorkers is how the owner reaches those who run models.
func (p *Pipeline) newWorkers() *workers {
	w := &workers{bus: p.bus, roster: p.roster, self: p.instance, host: p.cfg.Host, memory: p.memory, timeout: p.requestTimeout}
	if q := p.cfg.JPEG; q > 0 {
		w.encode = &tensorEncoder{quality: q, log: p.deps.Log, inputs: p.inputOf}
	}
	return w
}

// inputOf is what a model takes, by its SHA-256.
func (p *Pipeline) inputOf(sha256 string) (models.Input, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.models {
		if m.Loaded != nil && m.Loaded.Report.SHA256 == sha256 {
			return m.Loaded.Manifest.Input, true
		}
	}
	return models.Input{}, false
}
