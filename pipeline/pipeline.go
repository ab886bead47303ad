package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/preprocess"
)

// stopTimeout bounds how long a stop waits for results under way.
const stopTimeout = 2 * time.Second

// Deps is what a pipeline takes from its surroundings.
type Deps struct {
	Log     *slog.Logger
	Version string       // of this program, for discovery
	Metrics *obs.Metrics // nil: nobody looks
	// Engine opens an engine by its name; nil: [infer.Open].
	Engine func(name string, log *slog.Logger) (infer.Engine, error)
	// Evidence receives the pictures of cameras that ask for them.
	Evidence func(d *vedette.Detection, pic preprocess.Picture)
	// State is told of every change of a camera's state.
	State func(ingest.State)
}

// Pipeline is a running pipeline, or the stages of one that this process runs.
// Make it with [Start].
//
// The stages know each other by the bus alone, also within one process: frames
// come from whoever captures on this host, tensors go to whoever announces that
// it serves their model (see roster), and detections are written by the owner.
type Pipeline struct {
	cfg      Config
	deps     Deps
	instance string
	runs     Stages // with "all of them" spelled out
	bus      *bus.Bus
	roster   *roster
	claims   *claims       // nil: nobody else reaches the bus
	shares   *infer.Shares // of the devices, among the models
	owner    *preprocess.Owner
	writer   *bus.DetectionWriter
	memory   *tensorMemory             // in which an owner leaves tensors
	tensors  *tensorReader             // of what owners left
	spool    atomic.Pointer[bus.Spool] // nil: no camera needs it yet
	stops    []func() error            // subscriptions

	asked   chan struct{}      // somebody wants to know who is there
	keepers sync.WaitGroup     // what goes on until Close: announcements, leases
	keeping context.Context    // theirs
	silence context.CancelFunc // ends them
	leaving atomic.Bool
	// spoolHigh says that the spool is nearly full.
	spoolHigh atomic.Bool
	born      bool

	enginesMu sync.Mutex
	engines   map[string]infer.Engine // by the name they were asked for

	changing      sync.Mutex // held while models are loaded and changed
	reconfiguring sync.Mutex // held while cameras are added and removed
	promoting     sync.Mutex // held while wishes are looked at
	following     atomic.Bool

	mu         sync.Mutex              // guards what follows, and cfg's Cameras, Others and Models
	models     map[string]Model        // those of the configuration
	served     map[string]*service     // by model
	loading    map[string]*ModelStatus // what is about to be served, by model
	wishes     map[string]*wish        // by model
	outdated   map[serving]time.Time   // since when nobody was seen to use an edition that was replaced
	draining   map[string]int          // models that were dismissed and are not closed yet
	abandoned  map[string]bool         // models that were removed and have metrics still
	tried      map[serving]time.Time   // when an edition that owners use was last loaded
	states     map[string]ingest.State
	running    map[string]*running     // by camera
	listening  map[string]func() error // by camera, ends the subscription to its frames
	captureCtx context.Context         // Run's
	open       int                     // cameras, and others that keep Run from ending
	ended      chan struct{}           // closed when open comes back to 0
	errs       []error
	epochs     vedette.Epochs
	began      time.Time
}

// Start brings everything up but the cameras: the bus, the models with their
// workers, and the owner. Nothing is captured before [Pipeline.Run]. On an
// error everything is down again.
func Start(ctx context.Context, cfg Config, deps Deps) (*Pipeline, error) {
	if err := cfg.setHost(); err != nil {
		return nil, err
	}
	if deps.Metrics == nil {
		deps.Metrics = obs.New("")
	}
	if deps.Engine == nil {
		deps.Engine = infer.Open
	}
	// Parallelism is between frames: OpenCV's own threads would only compete.
	cv.SetThreads(1)
	p := &Pipeline{
		cfg: cfg, deps: deps, instance: newInstance(cfg.Host), runs: cfg.Stages, asked: make(chan struct{}, 1),
		models: map[string]Model{}, served: map[string]*service{}, loading: map[string]*ModelStatus{}, wishes: map[string]*wish{}, outdated: map[serving]time.Time{}, tried: map[serving]time.Time{}, abandoned: map[string]bool{}, draining: map[string]int{},
		engines: map[string]infer.Engine{}, shares: infer.NewShares(cores()), states: map[string]ingest.State{}, began: time.Now(),
		running: map[string]*running{}, listening: map[string]func() error{}, ended: make(chan struct{}), open: 1, // Run itself
	}
	if cfg.Stages.all() {
		p.runs = Stages{Ingest: true, Preprocess: true, Infer: true}
	}
	p.keeping, p.silence = context.WithCancel(context.Background())
	p.roster = newRoster(p.instance, deps.Log)
	p.memory, p.tensors = newTensorMemory(deps.Log), newTensorReader()
	if cfg.Bus.URL != "" || cfg.Bus.Listen != "" {
		p.claims = p.newClaims()
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pipeline) start(ctx context.Context) error {
	var err error
	cfg := p.cfg.Bus
	cfg.Host = p.cfg.Host
	if p.runs == (Stages{Infer: true}) {
		cfg.Role = bus.Worker
	}
	if p.bus, err = bus.Start(ctx, cfg, p.deps.Log); err != nil {
		return err
	}
	if err := p.follow(); err != nil {
		return err
	}
	if err := p.bus.Permitted(ctx); err != nil {
		return err
	}
	if p.runs.Preprocess || p.runs.Infer {
		if err := p.findModels(ctx); err != nil {
			return err
		}
	}
	if p.runs.Infer {
		for _, m := range p.cfg.Models {
			one, err := p.load(ctx, p.models[m.name()], p.cfg.Cameras)
			if err != nil {
				return err
			}
			if err := p.install(one); err != nil {
				return errors.Join(err, one.Close())
			}
		}
	}
	if p.runs.Preprocess {
		if err := p.becomeOwner(ctx); err != nil {
			return err
		}
	}
	p.born = true
	p.say(Birth)
	p.keepers.Go(func() { p.announce(p.keeping) }) // from now on it answers who asks for it
	p.keepers.Go(func() { p.tend(p.keeping) })
	if err := p.claim(ctx); err != nil {
		return err
	}
	if p.runs.Preprocess {
		for _, c := range p.cfg.Cameras {
			if err := p.ownCamera(ctx, c, p.cfg.Cameras); err != nil {
				return err
			}
		}
		p.say(Health) // now with cameras, for a share of the workers
		for _, c := range p.cfg.Cameras {
			if err := p.listen(c.Owner.ID); err != nil {
				return err
			}
		}
	}
	if p.claims != nil {
		p.keepers.Go(func() { p.keepClaims(p.keeping) })
	}
	if err := p.discover(); err != nil {
		return err
	}
	return p.bus.Permitted(ctx)
}

// Bus is the pipeline's bus, for subscribers in the same process.
func (p *Pipeline) Bus() *bus.Bus { return p.bus }

// Run works until ctx ends. Where this process captures, it also ends when
// every source has ended and every frame captured has left its account. The
// error joins those of the cameras; one camera's end does not end the others.
func (p *Pipeline) Run(ctx context.Context) error {
	var errs []error
	if p.runs.Ingest {
		errs = p.captureAll(ctx)
	} else {
		<-ctx.Done()
		p.leaveRun(nil)
	}
	if p.owner != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		errs = append(errs, p.owner.Close(stopCtx))
	}
	return errors.Join(errs...)
}

// Close stops everything, the bus last. It is idempotent.
func (p *Pipeline) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if p.owner != nil {
		errs = append(errs, p.owner.Close(ctx))
	}
	p.leave(ctx)
	p.silence()
	p.keepers.Wait()
	p.claims.close(ctx)
	if p.born {
		p.born = false
		p.say(Death)
	}
	for _, stop := range p.stops {
		errs = append(errs, stop())
	}
	p.stops = nil
	for id := range p.listening {
		errs = append(errs, p.stopListening(id))
	}
	errs = append(errs, p.closeServed(), p.memory.close(), p.tensors.close())
	p.roster.close()
	if p.writer != nil {
		errs = append(errs, p.writer.Close())
	}
	if p.bus != nil {
		errs = append(errs, p.bus.Close())
	}
	return errors.Join(errs...)
}
