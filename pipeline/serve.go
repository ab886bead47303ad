package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/tensor"
)

// serve is the infer stage for one model: it answers the requests that are
// meant for this instance.
func (p *Pipeline) serve(ctx context.Context, m Model) error {
	name := m.name()
	loaded := *m.Loaded // its manifest changes
	loaded.Manifest.Output.MinScore = p.lowestScore(loaded.Manifest)
	m.Loaded = &loaded
	var ref vedette.ModelRef
	eng, err := p.engine(m.Engine)
	if err != nil {
		return fmt.Errorf("model %s: %w", name, err)
	}
	served, err := Serve(ctx, eng, m, p.deps.Log, func(d time.Duration) {
		p.deps.Metrics.EngineRun(name, ref.Engine, ref.Device, d)
	})
	if err != nil {
		return err
	}
	ref = served.Pool.Ref() // before the first request can come
	if served.Fallback != "" {
		p.deps.Metrics.EngineFallback(name)
	}
	served.least = baseScore(loaded.Manifest)
	if eng.Name() != "gorgonia" { // whose runs are Go
		besides(m.workers())
	}
	p.served[name] = served
	stop, err := p.bus.Serve(p.bus.Subjects().Tensor(name, p.instance), tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		served.Pool.Handle(infer.Incoming{Header: header, Body: body, Respond: respond})
	})
	if err != nil {
		return err
	}
	p.stops = append(p.stops, stop)
	return nil
}

// engine opens an engine once for all its models, so that what it has to warn
// about is said once.
func (p *Pipeline) engine(name string) (infer.Engine, error) {
	if eng := p.engines[name]; eng != nil {
		return eng, nil
	}
	eng, err := infer.Open(name, p.deps.Log)
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
	model    infer.Model
	least    float64 // score that it lets through
}

// Serve loads a model into an engine and starts its workers. observe, which may
// be nil, is told how long each run took.
func Serve(ctx context.Context, eng infer.Engine, m Model, log *slog.Logger, observe func(time.Duration)) (*Served, error) {
	name := m.Loaded.Manifest.Name
	model, err := eng.Load(ctx, m.Loaded.ONNX, infer.LoadOptions{
		Input: m.Loaded.Manifest.Input, Device: m.Device, Threads: max(m.Threads, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("model %s (%s): %w", name, m.Loaded.Path, err)
	}
	s := &Served{model: model, Fallback: model.Info().Fallback}
	if s.Fallback != "" {
		log.Warn("no accelerator: running on the CPU", "model", name, "reason", s.Fallback)
	}
	s.Pool, err = infer.NewPool(infer.WorkerConfig{
		Manifest: m.Loaded.Manifest, SHA256: m.Loaded.Report.SHA256, Workers: m.workers(), Timeout: m.Timeout,
	}, infer.WorkerDeps{Log: log, Engine: eng.Name(), Model: model, Observe: observe})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("model %s (%s): %w", name, m.Loaded.Path, err), model.Close())
	}
	return s, nil
}

// Close stops the workers and frees the model.
func (s *Served) Close() error {
	return errors.Join(s.Pool.Close(), s.model.Close())
}
