package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/preprocess"
)

// load brings a model to work on this machine, without answering requests yet.
// It lets everything through that one of the cameras wants. When ctx ends it is
// not waited for: an engine may take minutes, and cannot be stopped.
func (p *Pipeline) load(ctx context.Context, m Model, cameras []Camera) (*Served, error) {
	type result struct {
		one *Served
		err error
	}
	made := make(chan result, 1)
	go func() {
		one, err := p.loadNow(ctx, m, cameras)
		made <- result{one, err}
	}()
	select {
	case r := <-made:
		return r.one, r.err
	case <-ctx.Done():
	}
	go func() {
		if r := <-made; r.one != nil {
			_ = r.one.Close() // nobody is left to hear of it
		}
	}()
	return nil, fmt.Errorf("model %s: %w", m.name(), context.Cause(ctx))
}

func (p *Pipeline) loadNow(ctx context.Context, m Model, cameras []Camera) (*Served, error) {
	name, edition := m.name(), m.Loaded.Edition()
	eng, err := p.engine(m.Engine)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	loaded := *m.Loaded // its manifest changes
	loaded.Manifest.Output.MinScore = lowestScore(loaded.Manifest, cameras)
	as := m
	as.Loaded = &loaded
	l := loader{engine: eng, model: as, edition: edition, log: p.deps.Log, shares: p.shares}
	var observer *modelObserver
	served, err := l.serve(ctx, func(ref vedette.ModelRef) infer.Observer {
		observer = &modelObserver{m: p.deps.Metrics, ref: ref, changed: p.announceSoon}
		return observer
	})
	if err != nil {
		return nil, err
	}
	if served.Fallback != "" {
		p.deps.Metrics.EngineFallback(name)
	}
	served.model, served.edition, served.least, served.observer = m, edition, baseScore(loaded.Manifest), observer
	if eng.Name() != "gorgonia" { // whose runs are Go
		besides(served.Pool.Workers())
	}
	return served, nil
}

// engine opens an engine once for all its models, so that what it has to warn
// about is said once.
func (p *Pipeline) engine(name string) (infer.Engine, error) {
	p.enginesMu.Lock()
	defer p.enginesMu.Unlock()
	if eng := p.engines[name]; eng != nil {
		return eng, nil
	}
	eng, err := p.deps.Engine(name, p.deps.Log)
	if err != nil {
		return nil, err
	}
	p.engines[name] = eng
	return eng, nil
}

// Served is a loaded model with its workers.
type Served struct {
	Pool *infer.Pool
	// Fallback says why an accelerator that seemed to be there is not used.
	Fallback string
	weight   float64

	// Of one that answers requests:
	model    Model // as it is configured
	edition  string
	least    float64 // score that it lets through
	observer *modelObserver
	state    atomic.Int32
	since    atomic.Pointer[time.Time] // when it began to leave; nil: it never did
}

// key is what requests for it name.
func (s *Served) key() serving {
	return serving{s.model.name(), s.model.Loaded.Report.SHA256, s.edition}
}

// Serve loads a model into an engine and starts its workers, which have the
// machine for themselves. observer may be nil.
func Serve(ctx context.Context, eng infer.Engine, m Model, log *slog.Logger, observer infer.Observer) (*Served, error) {
	l := loader{engine: eng, model: m, edition: m.Loaded.Edition(), log: log, shares: infer.NewShares(cores())}
	return l.serve(ctx, func(vedette.ModelRef) infer.Observer { return observer })
}

// loader brings a model to work.
type loader struct {
	engine  infer.Engine
	model   Model
	edition string
	log     *slog.Logger
	shares  *infer.Shares
}

func (l *loader) serve(ctx context.Context, observer func(vedette.ModelRef) infer.Observer) (*Served, error) {
	m, onnx := l.model, l.model.Loaded.ONNX
	wanted := engine.CUDA // what auto may come to
	if d, err := engine.ParseDevice(m.Device); err == nil && d.Kind != engine.Auto {
		wanted = d.Kind
	}
	opts := infer.LoadOptions{
		Input: m.Loaded.Manifest.Input, Device: m.Device, Threads: max(m.Threads, 1),
		Batches: m.batch(wanted).Sizes, GPUMemory: m.GPUMemory,
	}
	model, err := l.engine.Load(ctx, onnx, opts)
	if err != nil {
		return nil, l.failed(err)
	}
	info := model.Info()
	opts.Device = info.Device // also when the model has to be loaded anew
	device, err := engine.ParseDevice(info.Device)
	if err != nil {
		return nil, errors.Join(l.failed(err), model.Close())
	}
	batch := m.batch(device.Kind)
	if slices.Max(batch.Sizes) > 1 && len(info.Inputs) == 1 && info.Inputs[0].Shape[0] == 1 {
		onnx, model = l.openBatch(ctx, onnx, opts, model)
	}
	s := &Served{Fallback: info.Fallback, weight: m.Weight}
	s.Pool, err = infer.NewPool(infer.WorkerConfig{
		Manifest: m.Loaded.Manifest, SHA256: m.Loaded.Report.SHA256, Edition: l.edition, Workers: m.workers(device.Kind), Threads: m.Threads,
		Weight: m.Weight, Sizes: batch.Sizes, MaxWait: batch.MaxWait, Timeout: m.Timeout, Care: m.Care,
	}, infer.WorkerDeps{
		Log: l.log, Engine: l.engine.Name(), Model: model, Shares: l.shares, Gather: gather,
		Load:     func(ctx context.Context) (infer.Model, error) { return l.engine.Load(ctx, onnx, opts) },
		Observer: observer(vedette.ModelRef{Name: m.name(), Engine: l.engine.Name(), Device: info.Device}),
	})
	if err != nil {
		return nil, l.failed(err)
	}
	return s, nil
}

// openBatch makes a model, whose file fixes a batch of one, take several
// pictures. Where that cannot be it stays as it is.
func (l *loader) openBatch(ctx context.Context, onnx []byte, opts infer.LoadOptions, model infer.Model) ([]byte, infer.Model) {
	open, several, err := infer.OpenBatch(ctx, l.engine, onnx, opts, model)
	if err != nil {
		l.log.Info("the model runs pictures one by one, as its file says: export it with an open batch to use the device better",
			"model", l.model.name(), "reason", err)
		return onnx, model
	}
	l.log.Info("the model's file fixes a batch of one; it takes more, and answers them in the same way", "model", l.model.name())
	if err := model.Close(); err != nil {
		l.log.Warn("model not closed", "model", l.model.name(), "error", err)
	}
	return open, several
}

func (l *loader) failed(err error) error {
	return fmt.Errorf("model %s (%s): %w", l.model.name(), l.model.Loaded.Path, err)
}

// gather puts requests together as package preprocess does: it is an
// [infer.Gatherer].
func gather(sizes []int, maxWait time.Duration, in <-chan *infer.Job, busy func() time.Duration, admit func(context.Context) error) infer.Gather {
	b := preprocess.NewBatcher(preprocess.BatchConfig{Sizes: sizes, MaxWait: maxWait}, in,
		preprocess.BatchHooks[*infer.Job]{Deadline: (*infer.Job).Deadline, Busy: busy, Admit: admit})
	return func(ctx context.Context) (infer.Batch, error) {
		batch, err := b.Next(ctx)
		return infer.Batch(batch), err
	}
}

// Close stops the workers and frees the model.
func (s *Served) Close() error {
	if s.observer != nil {
		s.observer.closed.Store(true)
	}
	return s.Pool.Close()
}

// modelObserver feeds the metrics of a model.
type modelObserver struct {
	m       *obs.Metrics
	ref     vedette.ModelRef
	changed func()
	reloads uint64 // counted so far; calls of Health follow each other
	// closed says that what the model does from now on is no matter: another one
	// may be in its place.
	closed atomic.Bool
}

func (o *modelObserver) Run(pictures, size int, took time.Duration) {
	o.m.EngineRun(o.ref.Name, o.ref.Engine, o.ref.Device, took)
	o.m.Batch(o.ref.Name, pictures, size)
}

func (o *modelObserver) Failed(why string) { o.m.EngineFailure(o.ref.Name, why) }

func (o *modelObserver) Health(h infer.Health) {
	if o.closed.Load() {
		return
	}
	o.m.ModelUp(o.ref.Name, h.State == infer.StateOK)
	o.m.ModelReloaded(o.ref.Name, h.Reloads-o.reloads)
	o.reloads = h.Reloads
	o.changed()
}
