package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/preprocess"
)

// switchPatience is how long an owner that could change to another edition of a
// model waits until everybody serves it who serves the one before, so that the
// first to have it need not do all the work.
const switchPatience = 10 * time.Second

// wish is an edition of a model that this owner is to use as soon as somebody
// serves it; until then it goes on with the one before.
type wish struct {
	model Model
	key   serving
	since time.Time
	// seen is when somebody was first seen to serve it; only promote uses it.
	seen time.Time
}

// want has frames inferred with a model as soon as somebody serves it: at once,
// where no frame is inferred with another edition of it yet.
func (p *Pipeline) want(m Model) error {
	if p.owner == nil {
		return nil
	}
	name, key := m.name(), servingOf(m.name(), m.Loaded)
	w := &wish{model: m, key: key, since: time.Now()}
	busy := false
	for _, u := range p.owner.Uses() {
		busy = busy || (u.Ref.Name == name && !u.Leaving)
	}
	current := p.roster.used(name) == key
	p.mu.Lock()
	delete(p.wishes, name)
	if busy && !current {
		p.wishes[name] = w
	}
	p.mu.Unlock()
	if busy || current {
		return nil
	}
	return p.change(m, key)
}

// change has frames inferred with a model from now on.
func (p *Pipeline) change(m Model, key serving) error {
	cfg := p.modelConfig(m, key)
	if !p.runs.Infer { // the workers are other processes, most likely of this host
		if err := p.memory.reserve(cfg.Input.Width * cfg.Input.Height * cfg.Input.Channels()); err != nil {
			return fmt.Errorf("model %s: %w", key.model, err)
		}
	}
	if err := p.owner.SetModel(cfg); err != nil {
		return err
	}
	p.replaced(p.roster.used(key.model), key)
	p.roster.use(key)
	return nil
}

// modelConfig is what an owner knows of a model.
func (p *Pipeline) modelConfig(m Model, key serving) preprocess.ModelConfig {
	man := m.Loaded.Manifest
	ref := vedette.ModelRef{Name: key.model, SHA256: key.sha256, Task: string(man.Task)}
	for _, s := range p.service(key.model).all() {
		if s.key() == key {
			ref = s.Pool.Ref() // so that also a frame that no worker saw names the engine
			break
		}
	}
	return preprocess.ModelConfig{Ref: ref, Edition: key.edition, Input: man.Input, MinScore: baseScore(man)}
}

// promote grants the wishes for which it is time.
func (p *Pipeline) promote() {
	p.promoting.Lock()
	defer p.promoting.Unlock()
	p.mu.Lock()
	var wishes []*wish
	for _, w := range p.wishes {
		wishes = append(wishes, w)
	}
	p.mu.Unlock()
	for _, w := range wishes {
		some, all := p.roster.served(w.key, p.roster.used(w.key.model))
		if !some {
			continue
		}
		if w.seen.IsZero() {
			w.seen = time.Now()
		}
		if !all && time.Since(w.seen) < switchPatience {
			continue
		}
		p.mu.Lock()
		if p.wishes[w.key.model] != w { // something else is wished for by now
			p.mu.Unlock()
			continue
		}
		delete(p.wishes, w.key.model)
		p.mu.Unlock()
		if err := p.change(w.model, w.key); err != nil { // it was looked at before
			p.deps.Log.Error("the model stays as it is", "model", w.key.model, "error", err)
			continue
		}
		p.deps.Log.Info("frames are inferred with another edition of the model", "model", w.key.model, "sha256", w.key.sha256)
		p.announceSoon()
	}
}

// wishing are the models for which this owner waits.
func (p *Pipeline) wishing() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.wishes {
		names = append(names, name)
	}
	return names
}

// awaitWishes waits until all wishes are granted, or ctx ends.
func (p *Pipeline) awaitWishes(ctx context.Context) {
	for {
		news := p.roster.awaits()
		p.promote()
		if len(p.wishing()) == 0 {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// uses are the editions that this owner needs somebody to serve.
func (p *Pipeline) uses() []ModelUse {
	if p.owner == nil {
		return nil
	}
	var all []ModelUse
	for _, u := range p.owner.Uses() {
		one := ModelUse{Name: u.Ref.Name, SHA256: u.Ref.SHA256, Edition: u.Edition, Cameras: u.Cameras, State: UseNow}
		if u.Leaving {
			one.State = UseLeaving
		}
		all = append(all, one)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wishes {
		since := vedette.At(w.since)
		all = append(all, ModelUse{Name: w.key.model, SHA256: w.key.sha256, Edition: w.key.edition, State: UseWanted, Since: &since})
	}
	return all
}

// tend does what changes of models leave to be done when others have announced
// something, until ctx ends.
func (p *Pipeline) tend(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		news := p.roster.awaits()
		p.promote()
		p.retire()
		p.followOwners(ctx)
		p.clear(ctx)
		p.forgetModels()
		p.tidyMemory()
		select {
		case <-news:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
