package infer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// DefaultTimeout is how long one run may take before it is cut off.
const DefaultTimeout = 30 * time.Second

// WorkerConfig is one model and how it is run.
type WorkerConfig struct {
	Manifest models.Manifest
	SHA256   string
	Edition  string // see [models.Model]
	// Workers is how many runs are made at once.
	Workers int
	// Threads of one run, as the model was loaded with; 0: 1.
	Threads int
	// Weight is the model's part of the device beside others; 0: 1.
	Weight float64
	// Sizes are the batch sizes to prepare, ascending; none: 1. A graph that
	// fixes its batch has that one only.
	Sizes []int
	// MaxWait is how long the first request of a batch waits for others.
	MaxWait time.Duration
	Timeout time.Duration // 0: [DefaultTimeout]
	Care    Care
}

// WorkerDeps are the connections of a pool of workers.
type WorkerDeps struct {
	Log    *slog.Logger
	Engine string // name of the engine, for the answers
	// Model is loaded. The pool closes it, also when [NewPool] fails.
	Model engine.Model
	// Load loads the model once more, in place of one that keeps failing.
	Load func(ctx context.Context) (engine.Model, error)
	// Gather puts requests together.
	Gather Gatherer
	// Shares are the devices that this pool shares with others.
	Shares *Shares
	// Observer, which may be nil, receives what is measured.
	Observer Observer
}

// Observer receives what a pool measures. Its methods are called often and from
// many goroutines.
type Observer interface {
	// Run is told of each run: how many pictures of which batch size, and how
	// long it took.
	Run(pictures, size int, took time.Duration)
	// Failed is told of each run that gave no answer; why is "error",
	// "timeout", "hang" or "output".
	Failed(why string)
	// Health is told when the state changes. It must not ask the pool.
	Health(h Health)
}

// Pool answers the requests for one model with several workers that share the
// loaded model. Handle may be called from many goroutines.
//
// Requests pass from Handle to a goroutine that puts them together, gets the
// model's turn on the device from its [Share] and hands the batch to a worker.
// A run that does not end in time is cut off; one that does not heed that is
// given up, with its worker, and replaced. A model that fails again and again is
// loaded anew, and taken out when that does not help: see [Care].
type Pool struct {
	cfg    WorkerConfig
	deps   WorkerDeps
	ref    vedette.ModelRef
	size   int // bytes of a picture
	member *Member

	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
	wg     sync.WaitGroup // the supervisor
	lost   chan *worker
	sick   chan sickness
	retry  chan struct{}

	mu     sync.RWMutex
	gen    *generation // nil while the model is not there
	health Health
	sizes  []int
	// reloads are when the model was loaded anew; only the supervisor uses it.
	reloads []time.Time

	// runTime is the mean of recent runs in nanoseconds, open how many requests
	// are not answered yet, hanging how many runs were given up and go on.
	runTime, open, hanging atomic.Int64
}

// NewPool makes the workers, each with runners and decoders of its own, and
// starts them.
func NewPool(cfg WorkerConfig, deps WorkerDeps) (*Pool, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	cfg.Workers, cfg.Threads, cfg.Care = max(cfg.Workers, 1), max(cfg.Threads, 1), cfg.Care.withDefaults()
	if len(cfg.Sizes) == 0 {
		cfg.Sizes = []int{1}
	}
	if deps.Observer == nil {
		deps.Observer = blind{}
	}
	in := cfg.Manifest.Input
	device := deps.Model.Info().Device
	p := &Pool{
		cfg: cfg, deps: deps,
		ref: vedette.ModelRef{
			Name: cfg.Manifest.Name, SHA256: cfg.SHA256, Task: string(cfg.Manifest.Task), Engine: deps.Engine, Device: device,
		},
		size: in.Width * in.Height * in.Channels(),
		lost: make(chan *worker), sick: make(chan sickness, 1), retry: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	gen, err := p.newGeneration(p.ctx, deps.Model)
	if err != nil {
		p.cancel()
		return nil, err
	}
	cost := p.cfg.Threads
	if d, err := engine.ParseDevice(device); err == nil && d.Kind.Batches() {
		cost = 1
	}
	p.member = deps.Shares.On(device).Join(cfg.Weight, cost, cfg.Workers)
	p.begin(gen)
	p.wg.Go(p.supervise)
	return p, nil
}

// begin makes gen the one that answers.
func (p *Pool) begin(gen *generation) {
	gen.start()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen, p.sizes = gen, gen.sizes
	p.health.State, p.health.Reason, p.health.Since = StateOK, "", time.Now()
	p.deps.Observer.Health(p.health)
}

// Ref names the model as answers do.
func (p *Pool) Ref() vedette.ModelRef { return p.ref }

// Workers is the number of runs made at once.
func (p *Pool) Workers() int { return p.cfg.Workers }

// Sizes are the batch sizes that are prepared.
func (p *Pool) Sizes() []int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sizes
}

// prefetchBelow is the length of a run up to which a request should wait beside
// each that runs: the way of a tensor, a millisecond or two, is then a good
// part of a run. Behind a longer run the tensor would only grow old.
const prefetchBelow = 50 * time.Millisecond

// Credits is how many requests the pool wants at a time: a full batch for each
// run that it can count on beside other models; and, where batches are of one,
// one more to wait where runs are short. It is none while the model is not
// there.
func (p *Pool) Credits() int {
	p.mu.RLock()
	gen := p.gen
	p.mu.RUnlock()
	if gen == nil {
		return 0
	}
	n := p.member.Runs() * gen.largest()
	if gen.largest() == 1 && p.busy() < prefetchBelow {
		n++
	}
	return n
}

// busy is how long a run takes.
func (p *Pool) busy() time.Duration { return time.Duration(p.runTime.Load()) }

// ran takes the length of one run into the mean.
func (p *Pool) ran(d time.Duration) {
	before := p.runTime.Load()
	if before == 0 {
		p.runTime.Store(int64(d))
		return
	}
	p.runTime.Store(before + (int64(d)-before)/8) // workers may overwrite each other: it is a mean
}

// Idle reports whether every request was answered.
func (p *Pool) Idle() bool { return p.open.Load() == 0 }

// Handle takes a request, which is answered once. It blocks while more wait
// than the credits allow.
func (p *Pool) Handle(in Incoming) {
	p.open.Add(1)
	job, err := p.check(in)
	if err != nil {
		a := tensor.Answer{Status: vedette.StatusFailed, Reason: err.Error()}
		if errors.Is(err, errOther) {
			a = tensor.Answer{Again: true, Reason: err.Error()}
		}
		p.answer(in, a)
		return
	}
	p.mu.RLock()
	gen, reason := p.gen, p.health.Reason
	if gen != nil {
		gen.senders.Add(1)
	}
	p.mu.RUnlock()
	if gen == nil {
		p.again([]*Job{job}, reason)
		return
	}
	defer gen.senders.Done()
	select {
	case gen.queue <- job:
	case <-gen.ctx.Done():
		p.again([]*Job{job}, "the workers stop")
	}
}

// Close stops the workers and closes the model; runs under way are cut off, and
// given up if they do not heed that. It is idempotent.
func (p *Pool) Close() error {
	var err error
	p.once.Do(func() {
		p.cancel()
		p.wg.Wait()
		if gen := p.end(StateClosed, "the workers stop"); gen != nil {
			err = errors.Join(err, gen.stop())
		}
		p.member.Leave()
	})
	return err
}

// end takes the generation away, so that nothing new reaches it.
func (p *Pool) end(state State, reason string) *generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	gen := p.gen
	p.gen = nil
	p.health.State, p.health.Reason, p.health.Since = state, reason, time.Now()
	p.deps.Observer.Health(p.health)
	return gen
}

// blind is an [Observer] that nobody looks through.
type blind struct{}

func (blind) Run(int, int, time.Duration) {}
func (blind) Failed(string)               {}
func (blind) Health(Health)               {}
