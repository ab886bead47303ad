package infer

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// State is how a model does.
type State string

// The states of a model.
const (
	StateOK        State = "ok"
	StateReloading State = "reloading" // it kept failing and is being loaded anew
	StateOut       State = "out"       // loading it anew did not help; it is tried again later
	StateClosed    State = "closed"
)

// Health is how a model does, and what went wrong with it so far.
type Health struct {
	State  State
	Reason string // empty when all is well
	Since  time.Time
	// Failures counts the runs that gave no answer; CutOff those of them that
	// took too long, GivenUp those that did not heed that.
	Failures, CutOff, GivenUp uint64
	// Reloads counts how often the model was loaded anew.
	Reloads uint64
	// Hanging is how many runs that were given up still go on.
	Hanging int
}

// Care says when a model that fails is loaded anew and when it is taken out;
// zero values are the defaults. A request that does not fit the model is no
// failure of the model.
type Care struct {
	// Grace is how long a run that was cut off may take to end; 5 s.
	Grace time.Duration
	// Failures in a row are those after which the model is loaded anew; 5.
	Failures int
	// Reloads within Window are the most before the model is taken out; 3 in
	// 10 minutes.
	Reloads int
	Window  time.Duration
	// Backoff is the wait before the first of them; each further one waits
	// twice as long; 1 s.
	Backoff time.Duration
	// Pause is after how long a model that is out is tried again; 5 minutes.
	Pause time.Duration
	// Hanging is how many runs that were given up may go on at a time; beyond
	// that the model is taken out, since each holds memory and perhaps a core;
	// 4.
	Hanging int
}

func (c Care) withDefaults() Care {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.Grace, 5 * time.Second}, {&c.Window, 10 * time.Minute}, {&c.Backoff, time.Second}, {&c.Pause, 5 * time.Minute}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	for _, d := range []struct {
		v   *int
		def int
	}{{&c.Failures, 5}, {&c.Reloads, 3}, {&c.Hanging, 4}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	return c
}

// sickness is the report of a generation that keeps failing.
type sickness struct {
	gen    *generation
	reason string
}

// Health is how the model does.
func (p *Pool) Health() Health {
	p.mu.RLock()
	defer p.mu.RUnlock()
	h := p.health
	h.Hanging = int(p.hanging.Load())
	return h
}

// Retry has a model that is out, or that waits to be loaded, loaded at once.
func (p *Pool) Retry() {
	select {
	case p.retry <- struct{}{}:
	default: // asked for already
	}
}

// supervise replaces workers and reloads the model, until the pool is closed.
// It alone changes the generation.
func (p *Pool) supervise() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.retry: // nothing to do: the model is there
		case w := <-p.lost:
			if w.gen == p.gen {
				p.replace(w)
			}
		case s := <-p.sick:
			if s.gen == p.gen {
				p.mend(s.reason)
			}
		}
	}
}

// replace makes a worker in place of one that was given up, and gives the model
// up if that hangs as well.
func (p *Pool) replace(w *worker) {
	if n := int(p.hanging.Load()); n >= p.cfg.Care.Hanging {
		p.mend(fmt.Sprintf("%d runs hang", n))
		return
	}
	made := make(chan error, 1)
	go func() { made <- w.gen.replace(w) }()
	limit := time.NewTimer(p.cfg.Timeout + p.cfg.Care.Grace)
	defer limit.Stop()
	select {
	case err := <-made:
		if err != nil && p.ctx.Err() == nil {
			p.mend("no worker in place of one whose run hangs: " + err.Error())
		}
	case <-limit.C:
		p.mend("the first run of a worker in place of one whose run hangs, hangs as well")
	case <-p.ctx.Done():
	}
}

// mend loads the model anew until that works, and takes it out for a while when
// it had to be done too often.
func (p *Pool) mend(reason string) {
	log := p.deps.Log.With("model", p.ref.Name)
	gen := p.end(StateReloading, reason)
	log.Error("the model keeps failing and is loaded anew", "reason", reason)
	if err := gen.stop(); err != nil {
		log.Warn("the failing model was not stopped in order", "error", err)
	}
	for {
		if !p.wait(p.pause(reason)) {
			return
		}
		if n := int(p.hanging.Load()); n >= p.cfg.Care.Hanging {
			reason = fmt.Sprintf("%d runs still hang", n)
			continue
		}
		gen, err := p.reload()
		if err == nil {
			p.begin(gen)
			log.Info("the model was loaded anew")
			return
		}
		if p.ctx.Err() != nil {
			return
		}
		reason = err.Error()
		log.Error("the model could not be loaded anew", "reason", reason)
	}
}

// pause is how long to wait before the next try. It takes the model out when
// there were too many.
func (p *Pool) pause(reason string) time.Duration {
	care := p.cfg.Care
	p.reloads = slices.DeleteFunc(p.reloads, func(t time.Time) bool { return time.Since(t) > care.Window })
	n := len(p.reloads)
	if n < care.Reloads && int(p.hanging.Load()) < care.Hanging {
		return care.Backoff << n
	}
	p.end(StateOut, reason)
	p.deps.Log.Error("the model is taken out: its cameras are not looked at with it",
		"model", p.ref.Name, "reason", reason, "tried_again_in", care.Pause)
	return care.Pause
}

// wait returns false when the pool is closed meanwhile.
func (p *Pool) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.retry:
	case <-p.ctx.Done():
		return false
	}
	return true
}

// reload loads the model. Where that hangs it goes on alone, so that the pool
// can be closed.
func (p *Pool) reload() (*generation, error) {
	p.reloads = append(p.reloads, time.Now())
	p.mu.Lock()
	p.health.Reloads++
	p.mu.Unlock()
	type result struct {
		gen *generation
		err error
	}
	made := make(chan result, 1)
	go func() {
		model, err := p.deps.Load(p.ctx)
		if err != nil {
			made <- result{err: err}
			return
		}
		gen, err := p.newGeneration(p.ctx, model)
		made <- result{gen, err}
	}()
	select {
	case r := <-made:
		return r.gen, r.err
	case <-p.ctx.Done():
	}
	go func() {
		if r := <-made; r.gen != nil {
			_ = r.gen.discard(nil) // nobody is left to hear of it
		}
	}()
	return nil, context.Cause(p.ctx)
}
