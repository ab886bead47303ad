package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Changes are the cameras that [Pipeline.Reconfigure] added, removed, and
// started anew because something about them changed.
type Changes struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
}

// ErrRestart is wrapped when a change needs a restart.
var ErrRestart = errors.New("this change needs a restart")

var errNotRunning = errors.New("the pipeline is not running")

// Reconfigure makes the cameras those of cfg, while others go on undisturbed.
// Nothing changes if anything is wrong with it. Models and the bus cannot be
// changed: that is an [ErrRestart]. Calls wait for each other. When ctx ends, what
// a removed camera has under way is given up.
func (p *Pipeline) Reconfigure(ctx context.Context, cfg Config) (Changes, error) {
	p.reconfiguring.Lock()
	defer p.reconfiguring.Unlock()
	if err := p.checkChange(cfg); err != nil {
		return Changes{}, err
	}
	var out Changes
	if !p.enter() {
		return out, errNotRunning
	}
	defer p.leaveRun(nil)
	p.mu.Lock()
	before := p.cfg.Cameras
	p.mu.Unlock()
	var stop, start []Camera
	for _, c := range before {
		id := c.Owner.ID
		switch i := indexCamera(cfg.Cameras, id); {
		case i < 0:
			out.Removed, stop = append(out.Removed, id), append(stop, c)
		case !reflect.DeepEqual(cfg.Cameras[i], c):
			out.Changed, stop, start = append(out.Changed, id), append(stop, c), append(start, cfg.Cameras[i])
		}
	}
	for _, c := range cfg.Cameras {
		if indexCamera(before, c.Owner.ID) < 0 {
			out.Added, start = append(out.Added, c.Owner.ID), append(start, c)
		}
	}
	var errs []error
	for _, c := range stop {
		errs = append(errs, p.removeCamera(ctx, c))
		if indexCamera(start, c.Owner.ID) < 0 {
			p.claims.giveBack(ctx, p.keys(c.Owner.ID)...)
		}
	}
	for _, c := range start {
		id := c.Owner.ID
		if err := p.addCamera(ctx, c); err != nil { // it costs that camera alone
			errs = append(errs, err)
			is := func(other string) bool { return other == id }
			out.Added, out.Changed = slices.DeleteFunc(out.Added, is), slices.DeleteFunc(out.Changed, is)
		}
	}
	for _, s := range p.served { // whoever asks may have mended what ailed a model
		s.Pool.Retry()
	}
	p.say(Health)
	return out, errors.Join(errs...)
}

func indexCamera(cameras []Camera, id string) int {
	return slices.IndexFunc(cameras, func(c Camera) bool { return c.Owner.ID == id })
}

// checkChange says what about cfg cannot be done, without doing anything.
func (p *Pipeline) checkChange(cfg Config) error {
	var errs []error
	restart := func(what string) { errs = append(errs, fmt.Errorf("%w: %s", ErrRestart, what)) }
	if cfg.Bus != p.cfg.Bus || cfg.Limits != p.cfg.Limits || cfg.Site != p.cfg.Site {
		restart("the site, the bus or a retention is another")
	}
	same := func(a, b Model) bool {
		if a.Loaded == nil || b.Loaded == nil {
			return a.Loaded == b.Loaded
		}
		return a.Loaded.Report.SHA256 == b.Loaded.Report.SHA256 && reflect.DeepEqual(a.Loaded.Manifest, b.Loaded.Manifest)
	}
	if !slices.EqualFunc(p.cfg.Models, cfg.Models, func(a, b Model) bool {
		return a.name() == b.name() && a.Engine == b.Engine && a.Device == b.Device && a.Workers == b.Workers &&
			a.Threads == b.Threads && a.Timeout == b.Timeout && a.Weight == b.Weight && a.GPUMemory == b.GPUMemory &&
			reflect.DeepEqual(a.Batch, b.Batch) && same(a, b)
	}) {
		restart("the models are others")
	}
	for _, c := range cfg.Cameras {
		if err := c.Ingest.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("camera %s: %w", c.Ingest.ID, err))
		}
		for _, d := range c.Owner.Detect {
			s := p.served[d.Model]
			if s != nil && d.MinScore > 0 && d.MinScore < s.least {
				restart(fmt.Sprintf("camera %s wants scores from %v of model %s, which runs with %v", c.Ingest.ID, d.MinScore, d.Model, s.least))
			}
		}
	}
	return errors.Join(errs...)
}

// removeCamera ends a camera and waits until what it captured is published.
func (p *Pipeline) removeCamera(ctx context.Context, c Camera) error {
	id := c.Owner.ID
	p.mu.Lock()
	r := p.running[id]
	delete(p.running, id)
	delete(p.states, id)
	p.cfg.Cameras = slices.DeleteFunc(slices.Clone(p.cfg.Cameras), func(c Camera) bool { return c.Owner.ID == id })
	p.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
	defer p.deps.Metrics.RemoveCamera(id)
	if p.owner == nil {
		return nil
	}
	err := errors.Join(p.stopListening(id), p.owner.Remove(ctx, id))
	for _, d := range c.Owner.Detect {
		p.writer.Forget(id, d.Model)
	}
	if spooled(c) {
		err = errors.Join(err, p.forgetSpooled(ctx, func(camera, _ string) bool { return camera != id }))
	}
	return err
}

// addCamera starts a camera, unless another instance has it.
func (p *Pipeline) addCamera(ctx context.Context, c Camera) error {
	id := c.Owner.ID
	if err := p.claims.take(ctx, p.keys(id)...); err != nil {
		return err
	}
	if p.owner != nil {
		err := p.ownCamera(ctx, c)
		if err == nil {
			err = p.listen(id)
		}
		if err != nil {
			p.claims.giveBack(ctx, p.keys(id)...)
			return err
		}
	}
	p.mu.Lock()
	p.cfg.Cameras = append(slices.Clone(p.cfg.Cameras), c)
	p.mu.Unlock()
	if p.runs.Ingest {
		p.startCapture(c)
	}
	return nil
}
