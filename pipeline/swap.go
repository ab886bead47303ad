package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/vedette-io/vedette/preprocess"
)

// fetchPatience is how long a change of the configuration waits for a model that
// is not on this machine.
const fetchPatience = 5 * time.Second

// ModelChange is what [Pipeline.Reconfigure] did to a model.
type ModelChange struct {
	Name string `json:"name"`
	// What is added, removed or changed.
	What string `json:"what"`
	// SHA256 is that of the file from now on; empty: it was removed.
	SHA256 string `json:"sha256,omitempty"`
	// Waits says that this owner goes on with the model as it was until somebody
	// serves it as it is now.
	Waits bool `json:"waits,omitempty"`
}

// ModelError says which model of a configuration cannot be used, and why.
type ModelError struct {
	Name string
	Err  error
}

func (e *ModelError) Error() string { return e.Err.Error() }

func (e *ModelError) Unwrap() error { return e.Err }

// swap is what a configuration changes about models, with everything loaded and
// warm that it needs.
type swap struct {
	models  map[string]Model // as they are then
	fresh   []*Served        // to take the place of others
	changes []ModelChange
}

// close lets go of what was loaded in vain.
func (s *swap) close() (err error) {
	for _, one := range s.fresh {
		if one.since.Load() != nil { // it served before
			one.leave()
			continue
		}
		err = errors.Join(err, one.Close())
	}
	return err
}

// prepare loads and warms what a configuration needs; nothing that can be seen
// has changed then.
func (p *Pipeline) prepare(ctx context.Context, cfg Config) (_ *swap, err error) {
	s := &swap{models: map[string]Model{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if p.owner == nil && !p.runs.Infer {
		return s, nil // pictures are taken without models
	}
	var errs []error
	for _, m := range cfg.Models {
		m, err := p.find(ctx, m)
		if err == nil {
			s.models[m.name()] = m
			_, err = preprocess.NewTransform(m.Loaded.Manifest.Input)
		}
		if err != nil {
			errs = append(errs, &ModelError{m.name(), fmt.Errorf("model %s: %w", m.name(), err)})
		} else if err := p.reserveTensors(m); err != nil {
			errs = append(errs, &ModelError{m.name(), err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, m := range cfg.Models {
		if err := p.prepareModel(ctx, s, s.models[m.name()], cfg.Cameras); err != nil {
			return nil, err
		}
	}
	for name := range p.known() {
		if _, kept := s.models[name]; !kept {
			s.changes = append(s.changes, ModelChange{Name: name, What: "removed"})
		}
	}
	slices.SortFunc(s.changes, func(a, b ModelChange) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

// find is a model of a configuration with its file: its own, or the one that is
// on the bus now. Who only serves models goes on with the one fetched before:
// their owners say when to change.
func (p *Pipeline) find(ctx context.Context, m Model) (Model, error) {
	if m.Loaded != nil {
		return m, nil
	}
	m.fetched = true
	old, known := p.known()[m.name()]
	if known && p.owner == nil {
		m.Loaded = old.Loaded
		return m, nil
	}
	within, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	loaded, err := p.fetchModel(within, m.name())
	if err != nil && known && ctx.Err() == nil {
		p.deps.Log.Warn("the model stays as it is: the bus cannot be asked for it", "model", m.name(), "error", err)
		m.Loaded = old.Loaded
		return m, nil
	}
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = errors.New("it is not on this machine and nobody has put it on the bus")
	}
	m.Loaded = loaded
	return m, err
}

// prepareModel adds what has to be done for one model.
func (p *Pipeline) prepareModel(ctx context.Context, s *swap, m Model, cameras []Camera) error {
	name := m.name()
	old, known := p.known()[name]
	change := ModelChange{Name: name, SHA256: m.Loaded.Report.SHA256, What: "changed"}
	changed := !known || !sameModel(old, m)
	if !known {
		change.What = "added"
	}
	if p.runs.Infer {
		least := lowestScore(m.Loaded.Manifest, cameras)
		one := p.fitting(m, least)
		if one == nil {
			loaded := p.beginLoading(servingOf(name, m.Loaded))
			var err error
			one, err = p.load(ctx, m, cameras)
			loaded(nil) // whoever asked for it is told if it failed
			if err != nil {
				return &ModelError{name, err}
			}
			changed = true
		}
		if one != p.service(name).current() {
			s.fresh = append(s.fresh, one)
		}
	}
	if !changed {
		return nil
	}
	s.changes = append(s.changes, change)
	return nil
}

// fitting is a model at work that is as a configuration wants it: the current
// one, or one that was about to leave and now stays.
func (p *Pipeline) fitting(m Model, least float64) *Served {
	for _, one := range p.service(m.name()).all() {
		if one.least > scoreOf(least) || !sameModel(one.model, m) {
			continue
		}
		if one.state.Load() == serves || one.state.CompareAndSwap(leaves, serves) {
			return one
		}
	}
	return nil
}

// sameModel reports whether two models answer the same, in the same way.
func sameModel(a, b Model) bool {
	return a.Loaded.Edition() == b.Loaded.Edition() && a.Engine == b.Engine && a.Device == b.Device && a.Workers == b.Workers &&
		a.Threads == b.Threads && a.Timeout == b.Timeout && a.Weight == b.Weight && a.GPUMemory == b.GPUMemory &&
		reflect.DeepEqual(a.Batch, b.Batch) && a.Care == b.Care
}

// adopt makes the models that were prepared those that answer, and those that
// owners here want. Models that are no more are removed later, behind their
// cameras.
func (p *Pipeline) adopt(ctx context.Context, s *swap, cfg Config) error {
	var errs []error
	for _, c := range s.changes {
		if m, there := s.models[c.Name]; there && !m.fetched {
			p.offer(ctx, c.Name, m.Loaded)
		}
	}
	for _, one := range s.fresh {
		errs = append(errs, p.install(one))
	}
	p.mu.Lock()
	for name, m := range s.models {
		p.models[name] = m
	}
	p.cfg.Models, p.cfg.Others = cfg.Models, cfg.Others
	p.mu.Unlock()
	for _, m := range s.models {
		errs = append(errs, p.want(m))
	}
	return errors.Join(errs...)
}

// abandon removes the models that a configuration has no more.
func (p *Pipeline) abandon(s *swap) error {
	var errs []error
	for _, c := range s.changes {
		if c.What != "removed" {
			continue
		}
		p.mu.Lock()
		delete(p.models, c.Name)
		delete(p.wishes, c.Name)
		p.abandoned[c.Name] = true
		p.mu.Unlock()
		if p.owner != nil {
			errs = append(errs, p.owner.RemoveModel(c.Name))
			p.replaced(p.roster.used(c.Name), serving{})
			p.roster.drop(c.Name)
		}
		if svc := p.service(c.Name); svc != nil {
			svc.take(nil)
		}
	}
	return errors.Join(errs...)
}
