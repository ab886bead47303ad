package pipeline

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/preprocess"
)

// Times of a service.
const (
	// keepOld is for how long an edition is served beside the one that took its
	// place, for owners that do not change to that one.
	keepOld = 10 * time.Minute
	// drainTime is how long requests that a model has may take to be answered
	// when nobody uses it any more. Runs have time-outs of their own.
	drainTime = time.Minute
)

// service answers for one model of this instance, under one subject: with the
// model as it is configured, and, for as long as owners use them, with those that
// were in its place before.
type service struct {
	name string
	stop func() error // ends the subscription

	mu sync.RWMutex
	// served are those that answer: the one that is current, unless the model was
	// removed, and then those that leave, the newest first.
	served []*Served
}

// pick is who a request is for. Who is no one's is told why by the first.
func (s *service) pick(header string) *Served {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.served) > 1 {
		if req, err := tensor.ParseRequest(header); err == nil {
			for _, one := range s.served {
				if one.Pool.Answers(req) {
					return one
				}
			}
		}
	}
	return s.served[0]
}

// all are those that answer.
func (s *service) all() []*Served {
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.served)
}

// current is the one that is configured; nil: it leaves, or there is none.
func (s *service) current() *Served {
	for _, one := range s.all() {
		if one.state.Load() == serves {
			return one
		}
	}
	return nil
}

// take makes one the current one; the others leave. nil: all do.
func (s *service) take(one *Served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = slices.DeleteFunc(slices.Clone(s.served), func(o *Served) bool { return o == one })
	for _, o := range s.served {
		if o.state.Load() == serves {
			o.leave()
		}
	}
	if one != nil {
		s.served = append([]*Served{one}, s.served...)
	}
}

// forget takes one out: no request reaches it any more. It is false for the last
// one, which answers until the subscription ends.
func (s *service) forget(one *Served) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) == 1 {
		return false
	}
	s.served = slices.DeleteFunc(slices.Clone(s.served), func(o *Served) bool { return o == one })
	return true
}

// service of a model; nil: this instance does not serve it.
func (p *Pipeline) service(name string) *service {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served[name]
}

func (p *Pipeline) services() []*service {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.served))
}

// install has a model answer, in place of the one that did so far.
func (p *Pipeline) install(one *Served) error {
	name := one.model.name()
	if svc := p.service(name); svc != nil {
		svc.take(one)
		return nil
	}
	svc := &service{name: name, served: []*Served{one}}
	var err error
	svc.stop, err = p.bus.Serve(p.bus.Subjects().Tensor(name, p.instance), tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		one := svc.pick(header)
		if in, ok := p.incoming(one.model.Loaded.Manifest.Input, header, body, respond); ok {
			one.Pool.Handle(in)
		}
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served[name] = svc
	return nil
}

// retire lets go of the models that left and that nobody uses any more, or that
// were kept for long enough.
func (p *Pipeline) retire() {
	for _, svc := range p.services() {
		current := svc.current()
		for _, one := range svc.all() {
			if one.state.Load() != leaves {
				continue
			}
			users := p.roster.users(one.key())
			twin := current != nil && current.key() == one.key() // requests go to that one
			switch {
			case len(users) == 0 || twin:
			case p.followed(svc.name) || time.Since(*one.since.Load()) < keepOld:
				continue
			default:
				p.deps.Log.Warn("a model that was replaced is served no more, though it is still in use: reload those instances", "model", svc.name, "sha256", one.key().sha256, "instances", users)
			}
			p.dismiss(svc, one)
		}
	}
}

// dismiss ends a model beside the others: first it answers what it has.
func (p *Pipeline) dismiss(svc *service, one *Served) {
	if !one.state.CompareAndSwap(leaves, gone) {
		return // it is wanted again
	}
	last := !svc.forget(one)
	p.mu.Lock()
	p.draining[svc.name]++
	if last { // who adds the model now makes another service
		delete(p.served, svc.name)
	}
	p.mu.Unlock()
	p.keepers.Go(func() {
		var err error
		if last {
			err = svc.stop()
		}
		p.awaitIdle(one)
		if err = errors.Join(err, one.Close()); err != nil {
			p.deps.Log.Warn("a model that was replaced did not end in order", "model", svc.name, "error", err)
		}
		ref := one.Pool.Ref()
		if !slices.ContainsFunc(p.service(svc.name).all(), func(o *Served) bool {
			r := o.Pool.Ref()
			return r.Engine == ref.Engine && r.Device == ref.Device
		}) {
			p.deps.Metrics.RemoveEngine(svc.name, ref.Engine, ref.Device)
		}
		p.deps.Log.Info("a model that was replaced or removed is gone", "model", svc.name, "sha256", ref.SHA256)
		p.mu.Lock()
		if p.draining[svc.name]--; p.draining[svc.name] == 0 {
			delete(p.draining, svc.name)
		}
		p.mu.Unlock()
		p.announceSoon()
	})
}

// awaitIdle waits until a model that gets no more requests has answered what it
// has. What it has not answered in time others do, or nobody.
func (p *Pipeline) awaitIdle(one *Served) {
	within, cancel := context.WithTimeout(p.keeping, drainTime)
	defer cancel()
	for !one.Pool.Idle() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-within.Done():
			return
		}
	}
}

// forgetModels removes the metrics of models of which nothing is left here.
func (p *Pipeline) forgetModels() {
	p.mu.Lock()
	var gone []string
	for name := range p.abandoned {
		_, known := p.models[name]
		if known {
			delete(p.abandoned, name) // it came back
		} else if p.served[name] == nil && p.draining[name] == 0 {
			gone = append(gone, name)
		}
	}
	p.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	var uses []preprocess.Use
	if p.owner != nil {
		uses = p.owner.Uses()
	}
	for _, name := range gone {
		if slices.ContainsFunc(uses, func(u preprocess.Use) bool { return u.Ref.Name == name }) {
			continue
		}
		p.mu.Lock()
		delete(p.abandoned, name)
		p.mu.Unlock()
		p.deps.Metrics.RemoveModel(name)
	}
}

// closeServed ends all models.
func (p *Pipeline) closeServed() error {
	var errs []error
	for _, svc := range p.services() {
		errs = append(errs, svc.stop())
		p.mu.Lock()
		delete(p.served, svc.name)
		p.mu.Unlock()
		for _, one := range svc.all() {
			if one.state.Swap(gone) != gone {
				errs = append(errs, one.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// idle reports whether every request was answered.
func (p *Pipeline) idle() bool {
	for _, svc := range p.services() {
		for _, one := range svc.all() {
			if !one.Pool.Idle() {
				return false
			}
		}
	}
	return true
}

// What a served model is.
const (
	serves int32 = iota
	leaves       // another one is in its place, or the model was removed
	gone         // no request reaches it
)

// leave says that another one is in its place.
func (s *Served) leave() {
	now := time.Now()
	s.since.Store(&now)
	s.state.Store(leaves)
}
