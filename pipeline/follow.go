package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vedette-io/vedette"
)

// Times and limits of models that come over the bus.
const (
	// followPause is how soon an edition that could not be loaded is tried again.
	followPause = 10 * time.Second
	// mostEditions of a model are served at a time: each takes memory.
	mostEditions = 3
	// outdatedTime is for how long nobody must have used an edition that was
	// replaced before it is removed from the bus.
	outdatedTime = time.Minute
)

// known are the models of the configuration, by name.
func (p *Pipeline) known() map[string]Model {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.models)
}

// followed reports whether the owners decide which editions of a model are
// served here: its file is not on this machine but comes from the bus.
func (p *Pipeline) followed(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.models[name].fetched
}

// followOwners serves the editions that owners use, or are about to, of models
// whose files come from the bus. Those that nobody uses any more go (retire).
func (p *Pipeline) followOwners(ctx context.Context) {
	if !p.runs.Infer {
		return
	}
	for name, m := range p.known() {
		if !m.fetched {
			continue
		}
		for _, key := range p.roster.wanted(name) {
			if p.serves(key) || !p.mayTry(key) || !p.following.CompareAndSwap(false, true) {
				continue
			}
			p.keepers.Go(func() {
				defer p.following.Store(false)
				if err := p.catchUp(ctx, key); err != nil && ctx.Err() == nil {
					p.deps.Log.Error("an owner wants a model that cannot be served here; trying again", "model", name, "sha256", key.sha256, "error", err)
				}
			})
		}
	}
}

// serves reports whether this instance serves an edition.
func (p *Pipeline) serves(key serving) bool {
	return slices.ContainsFunc(p.service(key.model).all(), func(s *Served) bool { return s.key() == key && s.state.Load() != gone })
}

// mayTry reports whether it is time to load an edition, and notes that.
func (p *Pipeline) mayTry(key serving) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(p.tried, func(_ serving, at time.Time) bool { return now.Sub(at) >= followPause })
	if _, lately := p.tried[key]; lately || p.following.Load() {
		return false
	}
	p.tried[key] = now
	return true
}

// catchUp fetches an edition and serves it, beside the others for now.
func (p *Pipeline) catchUp(ctx context.Context, key serving) (err error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	m, known := p.known()[key.model]
	if !known || p.serves(key) {
		return nil
	}
	failed := p.beginLoading(key)
	defer func() { failed(err) }()
	if n := len(p.service(key.model).all()); n >= mostEditions {
		return fmt.Errorf("%d editions of it are in use already: reload the owners that use old ones", n)
	}
	stored, err := p.bus.GetManifest(ctx, key.model, key.edition)
	if err != nil {
		return err
	}
	if m.Loaded, err = FetchModel(ctx, p.bus, *stored); err != nil {
		return err
	}
	if got := servingOf(key.model, m.Loaded); got != key {
		return fmt.Errorf("its manifest on the bus is that of edition %s, not %s", got.edition, key.edition)
	}
	p.mu.Lock()
	cameras := p.cfg.Cameras
	p.mu.Unlock()
	one, err := p.load(ctx, m, cameras)
	if err != nil {
		return err
	}
	if err := p.install(one); err != nil {
		return errors.Join(err, one.Close())
	}
	p.mu.Lock()
	p.models[key.model] = m
	p.mu.Unlock()
	p.deps.Log.Info("an owner's model was fetched and is served", "model", key.model, "sha256", key.sha256)
	return nil
}

// beginLoading shows an edition in the status as one that is being loaded; with
// done's error it stays there, with that as the reason.
func (p *Pipeline) beginLoading(key serving) (done func(error)) {
	s := &ModelStatus{ModelRef: vedette.ModelRef{Name: key.model, SHA256: key.sha256}, Edition: key.edition, State: StateLoading, Since: vedette.At(time.Now())}
	set := func(s *ModelStatus) {
		p.mu.Lock()
		if s == nil {
			delete(p.loading, key.model)
		} else {
			p.loading[key.model] = s
		}
		p.mu.Unlock()
		p.announceSoon()
	}
	set(s)
	return func(err error) {
		if err == nil {
			set(nil)
			return
		}
		failed := *s
		failed.Reason = err.Error()
		set(&failed)
	}
}

// replaced notes that this owner uses an edition no more.
func (p *Pipeline) replaced(before, now serving) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before != (serving{}) {
		p.outdated[before] = time.Now()
	}
	delete(p.outdated, now)
}

// clear removes editions from the bus that nobody has used for a while.
func (p *Pipeline) clear(ctx context.Context) {
	p.mu.Lock()
	outdated := maps.Clone(p.outdated)
	p.mu.Unlock()
	for key, since := range outdated {
		if len(p.roster.users(key)) > 0 {
			p.replaced(key, serving{})
			continue
		}
		if time.Since(since) < outdatedTime {
			continue
		}
		p.mu.Lock()
		delete(p.outdated, key)
		p.mu.Unlock()
		if !p.reachable() {
			continue
		}
		if err := p.bus.DropModel(ctx, key.model, key.edition, key.sha256); err != nil && ctx.Err() == nil {
			p.deps.Log.Info("a model that nobody uses any more stays on the bus", "model", key.model, "sha256", key.sha256, "error", err)
		}
	}
}
