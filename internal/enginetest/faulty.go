package enginetest

import (
	"context"
	"errors"
	"sync"

	"github.com/vedette-io/vedette/internal/engine"
)

// Fault is what is wrong with a [Faulty] engine.
type Fault int

// The faults.
const (
	None Fault = iota
	// Fails: every run ends at once with an error.
	Fails
	// Stalls: a run goes on until it is cancelled.
	Stalls
	// Hangs: a run goes on and does not heed that it is cancelled.
	Hangs
	// HangsForGood: as Hangs, and the first run of a new runner hangs as well.
	HangsForGood
	// LoadFails: what is loaded works, but nothing can be loaded.
	LoadFails
)

// ErrFault is the error of runs and loads that fail.
var ErrFault = errors.New("the engine is out of order")

// Faulty is a real engine that can be told to fail, as drivers and devices do.
// It concerns the runs of all its models, also of those that were loaded
// before, but not the first runs of their runners.
type Faulty struct {
	engine.Engine

	mu      sync.Mutex
	fault   Fault
	loads   int
	hanging int
	free    chan struct{} // closed when runs that hang are let go
}

// NewFaulty returns an engine that is in order so far.
func NewFaulty(e engine.Engine) *Faulty { return &Faulty{Engine: e, free: make(chan struct{})} }

// Set makes the fault that of all runs and loads that begin from now on.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// LetGo ends the runs that hang.
func (f *Faulty) LetGo() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.free)
	f.free = make(chan struct{})
}

// Loads is how many models were loaded.
func (f *Faulty) Loads() (loads int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loads
}

// Hanging is how many runs hang.
func (f *Faulty) Hanging() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hanging
}

func (f *Faulty) now() (Fault, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault, f.free
}

// Load implements [engine.Engine].
func (f *Faulty) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	if fault, _ := f.now(); fault == LoadFails {
		return nil, ErrFault
	}
	m, err := f.Engine.Load(ctx, onnx, opts)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.loads++
	f.mu.Unlock()
	return faultyModel{m, f}, nil
}

type faultyModel struct {
	engine.Model
	engine *Faulty
}

func (m faultyModel) NewRunner(ctx context.Context, batch int) (engine.Runner, error) {
	if fault, free := m.engine.now(); fault == HangsForGood {
		<-free
	}
	r, err := m.Model.NewRunner(ctx, batch)
	if err != nil {
		return nil, err
	}
	return &faultyRunner{Runner: r, engine: m.engine}, nil
}

type faultyRunner struct {
	engine.Runner
	engine *Faulty
	used   bool
}

func (r *faultyRunner) Run(ctx context.Context) ([]engine.Output, error) {
	fault, free := r.engine.now()
	if !r.used { // the run that shows the shapes
		r.used, fault = true, None
	}
	switch fault {
	case Fails:
		return nil, ErrFault
	case Stalls:
		<-ctx.Done()
		return nil, ctx.Err()
	case Hangs, HangsForGood:
		r.engine.count(1)
		<-free
		r.engine.count(-1)
	}
	return r.Runner.Run(ctx)
}

func (f *Faulty) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hanging += n
}
