package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Changes are the cameras that [Pipeline.Reconfigure] added, removed, and
// started anew because something about them changed, and what it did to models.
type Changes struct {
	Added   []string      `json:"added"`
	Removed []string      `json:"removed"`
	Changed []string      `json:"changed"`
	Models  []ModelChange `json:"models,omitempty"`
}

// ErrRestart is wrapped when a change needs a restart.
var ErrRestart = errors.New("this change needs a restart")

var errNotRunning = errors.New("the pipeline is not running")

// Times of a reconfiguration.
const (
	// giveUpTime is how long the last results of a removed camera are waited for.
	giveUpTime = 10 * time.Second
	// wishPatience is how long it is waited for that somebody serves a changed
	// model; the change goes on behind that.
	wishPatience = 5 * time.Second
)

// Reconfigure makes cameras and models those of cfg, while others go on
// undisturbed. Everything that it needs is checked, loaded and warmed first:
// nothing changes if anything is wrong with it. A model that is replaced goes on
// until frames are inferred with the other one, for each owner in turn, and its
// requests are answered. The bus cannot be changed: that is an [ErrRestart].
// Calls wait for each other. When ctx ends, what is being loaded, and what a
// removed camera has under way, is given up.
func (p *Pipeline) Reconfigure(ctx context.Context, cfg Config) (Changes, error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.checkChange(cfg); err != nil {
		return Changes{}, err
	}
	s, err := p.prepare(ctx, cfg)
	if err != nil {
		return Changes{}, err
	}
	out, err := p.apply(ctx, cfg, s)
	if errors.Is(err, errNotRunning) {
		return out, errors.Join(err, s.close())
	}
	waiting, cancel := context.WithTimeout(ctx, wishPatience)
	defer cancel()
	p.awaitWishes(waiting)
	for i := range out.Models {
		out.Models[i].Waits = slices.Contains(p.wishing(), out.Models[i].Name)
	}
	return out, err
}

// apply makes the change, of which everything is prepared.
func (p *Pipeline) apply(ctx context.Context, cfg Config, s *swap) (out Changes, err error) {
	p.reconfiguring.Lock()
	defer p.reconfiguring.Unlock()
	if !p.enter() {
		return out, errNotRunning
	}
	defer p.leaveRun(nil)
	out.Models = s.changes
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
	within, cancel := context.WithTimeout(ctx, giveUpTime)
	defer cancel()
	for _, c := range stop {
		errs = append(errs, p.removeCamera(within, c))
		if indexCamera(start, c.Owner.ID) < 0 {
			p.claims.giveBack(ctx, p.keys(c.Owner.ID)...)
		}
	}
	errs = append(errs, p.adopt(ctx, s, cfg))
	p.say(Health)
	p.promote() // so that cameras that are added need not begin with what is about to go
	for _, c := range start {
		id := c.Owner.ID
		if err := p.addCamera(ctx, c); err != nil { // it costs that camera alone
			errs = append(errs, err)
			is := func(other string) bool { return other == id }
			out.Added, out.Changed = slices.DeleteFunc(out.Added, is), slices.DeleteFunc(out.Changed, is)
		}
	}
	errs = append(errs, p.abandon(s))
	for _, svc := range p.services() { // whoever asks may have mended what ailed a model
		for _, one := range svc.all() {
			one.Pool.Retry()
		}
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
	names := map[string]bool{}
	for _, m := range cfg.Models {
		if names[m.name()] {
			errs = append(errs, fmt.Errorf("model %s is named twice", m.name()))
		}
		names[m.name()] = true
	}
	for _, c := range cfg.Cameras {
		if err := c.Ingest.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("camera %s: %w", c.Ingest.ID, err))
		}
		for _, d := range c.Owner.Detect {
			if !names[d.Model] && p.owner != nil {
				errs = append(errs, fmt.Errorf("camera %s: there is no model %q", c.Ingest.ID, d.Model))
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
