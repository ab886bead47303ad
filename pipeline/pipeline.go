package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/preprocess"
)

// stopTimeout bounds how long a stop waits for results under way.
const stopTimeout = 2 * time.Second

// Deps is what a pipeline takes from its surroundings.
type Deps struct {
	Log     *slog.Logger
	Version string       // of this program, for discovery
	Metrics *obs.Metrics // nil: nobody looks
	// Evidence receives the pictures of cameras that ask for them.
	Evidence func(d *vedette.Detection, pic preprocess.Picture)
	// State is told of every change of a camera's state.
	State func(ingest.State)
}

// Pipeline is a running pipeline. Make it with [Start].
type Pipeline struct {
	cfg    Config
	deps   Deps
	bus    *bus.Bus
	served map[string]*Served
	owner  *preprocess.Owner
	writer *bus.DetectionWriter
	stops  []func() error // subscriptions

	mu     sync.Mutex
	states map[string]ingest.State
	began  time.Time
}

// Start brings everything up but the cameras: the bus, the models with their
// workers, and the owner. Nothing flows before [Pipeline.Run]. On an error
// everything is down again.
func Start(ctx context.Context, cfg Config, deps Deps) (*Pipeline, error) {
	if cfg.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		cfg.Host = vedette.Slug(name)
	}
	if deps.Metrics == nil {
		deps.Metrics = obs.New("")
	}
	// Parallelism is between frames: OpenCV's own threads would only compete.
	cv.SetThreads(1)
	p := &Pipeline{cfg: cfg, deps: deps, served: map[string]*Served{}, states: map[string]ingest.State{}, began: time.Now()}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pipeline) start(ctx context.Context) error {
	var err error
	if p.bus, err = bus.Start(ctx, p.cfg.Bus, p.deps.Log); err != nil {
		return err
	}
	limits := p.cfg.Limits
	if limits == (bus.Limits{}) {
		limits = bus.DefaultDetectionLimits()
	}
	if err := p.bus.EnsureDetections(ctx, limits); err != nil {
		return err
	}
	p.writer = p.bus.NewDetectionWriter()
	var owned []preprocess.ModelConfig
	for _, m := range p.cfg.Models {
		served, err := p.serve(ctx, m)
		if err != nil {
			return err
		}
		owned = append(owned, preprocess.ModelConfig{
			Ref: served.Pool.Ref(), Input: m.Loaded.Manifest.Input, Credits: served.Pool.Workers() + 1,
		})
	}
	p.owner, err = preprocess.NewOwner(owned, preprocess.OwnerDeps{
		Log: p.deps.Log, Site: p.cfg.Site, Writer: p.writer,
		Pictures: func() preprocess.Pictures { return new(ring.Reader) },
		Workers:  workers{p.bus, p.requestTimeout()},
		Observer: observer{p.deps.Metrics}, Evidence: p.deps.Evidence,
	})
	if err != nil {
		return err
	}
	for _, c := range p.cfg.Cameras {
		if err := p.owner.Add(c.Owner); err != nil {
			return err
		}
	}
	stop, err := p.bus.SubscribeFrames(p.cfg.Host, p.owner.Deliver)
	if err != nil {
		return err
	}
	p.stops = append(p.stops, stop)
	stop, err = p.bus.AddService(bus.ServiceName, p.deps.Version,
		map[string]string{"stage": "run", "host": p.cfg.Host, "site": p.cfg.Site}, func() any { return p.Status() })
	if err != nil {
		return err
	}
	p.stops = append(p.stops, stop)
	return nil
}

// serve loads a model and answers the requests for it.
func (p *Pipeline) serve(ctx context.Context, m Model) (*Served, error) {
	name := m.Loaded.Manifest.Name
	if p.served[name] != nil {
		return nil, fmt.Errorf("model %s is named twice", name)
	}
	var ref vedette.ModelRef
	served, err := Serve(ctx, m, p.deps.Log, func(d time.Duration) {
		p.deps.Metrics.EngineRun(name, ref.Engine, ref.Device, d)
	})
	if err != nil {
		return nil, err
	}
	ref = served.Pool.Ref() // before the first request can come
	if served.Fallback != "" {
		p.deps.Metrics.EngineFallback(name)
	}
	p.served[name] = served
	stop, err := p.bus.Serve(p.bus.Subjects().Tensor(name), tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		served.Pool.Handle(infer.Incoming{Header: header, Body: body, Respond: respond})
	})
	if err != nil {
		return nil, err
	}
	p.stops = append(p.stops, stop)
	return served, nil
}

// requestTimeout is how long an owner waits for an answer: the slowest model's
// time-out, for a request that waits behind another one.
func (p *Pipeline) requestTimeout() time.Duration {
	most := infer.DefaultTimeout
	for _, m := range p.cfg.Models {
		most = max(most, m.Timeout)
	}
	return 2*most + answerMargin
}

// Bus is the pipeline's bus, for subscribers in the same process.
func (p *Pipeline) Bus() *bus.Bus { return p.bus }

// Run captures from all cameras until every source has ended or ctx ends, and
// until every frame captured has left its account. The error joins those of
// the cameras; one camera's end does not end the others.
func (p *Pipeline) Run(ctx context.Context) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		errs   []error
		epochs vedette.Epochs
	)
	for _, c := range p.cfg.Cameras {
		wg.Go(func() {
			if err := p.capture(ctx, c, &epochs); err != nil && ctx.Err() == nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(append(errs, p.owner.Close(stopCtx))...)
}

// capture runs one camera, and then waits for what it captured.
func (p *Pipeline) capture(ctx context.Context, c Camera, epochs *vedette.Epochs) error {
	sender, err := p.bus.NewFrameSender(p.cfg.Host, c.Ingest.ID)
	if err != nil {
		return err
	}
	defer sender.Close()
	out := &frameOutput{sender: sender, every: c.Ingest.Delivery == ingest.Every, state: p.state}
	camera, err := ingest.New(c.Ingest, ingest.Deps{Log: p.deps.Log, Epochs: epochs, Output: out})
	if err != nil {
		return err
	}
	defer camera.Close() // lets go of a ring opened for reading: nothing can be lost
	err = camera.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if lastErr := out.last(ctx, c.Ingest.ID); lastErr != nil {
		return errors.Join(err, lastErr)
	}
	return errors.Join(err, p.owner.Wait(ctx, c.Ingest.ID))
}

// state keeps and reports a camera's state.
func (p *Pipeline) state(s ingest.State) {
	p.mu.Lock()
	before := p.states[s.Camera]
	p.states[s.Camera] = s
	p.mu.Unlock()
	p.deps.Metrics.CameraUp(s.Camera, s.Phase == ingest.Online)
	for range s.Reconnects - min(before.Reconnects, s.Reconnects) {
		p.deps.Metrics.CameraReconnected(s.Camera)
	}
	if p.deps.State != nil {
		p.deps.State(s)
	}
}

// Close stops everything, the bus last. It is idempotent.
func (p *Pipeline) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if p.owner != nil {
		errs = append(errs, p.owner.Close(ctx))
	}
	for _, stop := range p.stops {
		errs = append(errs, stop())
	}
	p.stops = nil
	for _, s := range p.served {
		errs = append(errs, s.Close())
	}
	if p.writer != nil {
		errs = append(errs, p.writer.Close())
	}
	if p.bus != nil {
		errs = append(errs, p.bus.Close())
	}
	return errors.Join(errs...)
}

// observer feeds the metrics.
type observer struct{ m *obs.Metrics }

func (o observer) Captured(camera, model string, n uint64) { o.m.Captured(camera, model, n) }
func (o observer) Frames(camera, model, result, reason string, n uint64) {
	o.m.Frames(camera, model, result, reason, n)
}
func (o observer) SourceGap(camera string, n uint64) { o.m.SourceGap(camera, n) }
func (o observer) Stage(stage, camera, model string, d time.Duration) {
	o.m.StageDuration(stage, camera, model, d)
}
func (o observer) Latency(camera, model string, d time.Duration) {
	o.m.DetectionLatency(camera, model, d)
}
