package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/pixel"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// DefaultTimeout is how long one run may take before it is cut off.
const DefaultTimeout = 30 * time.Second

// Incoming is one inference request as it arrives from the bus. Body belongs
// to the service until Respond returns.
type Incoming struct {
	Header  string // JSON of a [tensor.Request]
	Body    []byte
	Respond func(answer []byte) error
}

// WorkerConfig is one model and how many workers run it.
type WorkerConfig struct {
	Manifest models.Manifest
	SHA256   string
	Workers  int
	Timeout  time.Duration // 0: [DefaultTimeout]
}

// WorkerDeps are the connections of a pool of workers.
type WorkerDeps struct {
	Log    *slog.Logger
	Engine string       // name of the engine, for the answers
	Model  engine.Model // loaded; stays the caller's to close
	// Observe, when set, receives how long each run of the engine took.
	Observe func(d time.Duration)
}

// Pool answers the requests for one model with several workers that share the
// loaded model. Handle may be called from many goroutines.
type Pool struct {
	cfg     WorkerConfig
	deps    WorkerDeps
	ref     vedette.ModelRef
	size    int // bytes of a picture
	queue   chan Incoming
	workers []*worker
	wg      sync.WaitGroup
	cancel  context.CancelFunc
	ctx     context.Context
	once    sync.Once
	// runTime is the mean of recent runs in nanoseconds, open how many requests
	// are not answered yet.
	runTime, open atomic.Int64
}

// NewPool makes the workers, each with a runner and decoder of its own, and
// starts them.
func NewPool(cfg WorkerConfig, deps WorkerDeps) (*Pool, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	in := cfg.Manifest.Input
	p := &Pool{
		cfg: cfg, deps: deps,
		ref: vedette.ModelRef{
			Name: cfg.Manifest.Name, SHA256: cfg.SHA256, Task: string(cfg.Manifest.Task),
			Engine: deps.Engine, Device: deps.Model.Info().Device,
		},
		size: in.Width * in.Height * in.Channels(),
		// One request may wait per worker, as the credits allow.
		queue: make(chan Incoming, max(cfg.Workers, 1)),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for range max(cfg.Workers, 1) {
		w, err := newWorker(p)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.workers = append(p.workers, w)
	}
	for _, w := range p.workers {
		p.wg.Go(w.run)
	}
	return p, nil
}

// Ref names the model as answers do.
func (p *Pool) Ref() vedette.ModelRef { return p.ref }

// Workers is the number of workers.
func (p *Pool) Workers() int { return len(p.workers) }

// prefetchBelow is the length of a run up to which a request should wait beside
// each that runs: the way of a tensor, a millisecond or two, is then a good
// part of a run. Behind a longer run the tensor would only grow old.
const prefetchBelow = 50 * time.Millisecond

// Credits is how many requests the pool wants at a time: one per worker, and
// one more to wait where runs are short.
func (p *Pool) Credits() int {
	if time.Duration(p.runTime.Load()) < prefetchBelow {
		return len(p.workers) + 1
	}
	return len(p.workers)
}

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

// Handle queues a request; it blocks while all workers are busy and one
// request each is waiting.
func (p *Pool) Handle(in Incoming) {
	p.open.Add(1)
	select {
	case p.queue <- in:
	case <-p.ctx.Done():
		p.open.Add(-1)
	}
}

// Close stops the workers; runs under way are cut off. It is idempotent.
func (p *Pool) Close() error {
	var errs []error
	p.once.Do(func() {
		p.cancel()
		p.wg.Wait()
		for _, w := range p.workers {
			errs = append(errs, w.runner.Close())
		}
	})
	return errors.Join(errs...)
}

// worker runs one request at a time.
type worker struct {
	pool    *Pool
	runner  engine.Runner
	norm    *pixel.Normalizer
	decoder decode.Decoder
	outputs []decode.Tensor // scratch
	results []decode.Result // scratch: an answer is marshalled before the next run
}

func newWorker(p *Pool) (*worker, error) {
	norm, err := pixel.NewNormalizer(p.cfg.Manifest.Input)
	if err != nil {
		return nil, err
	}
	runner, err := p.deps.Model.NewRunner(p.ctx, 1)
	if err != nil {
		return nil, err
	}
	w := &worker{pool: p, runner: runner, norm: norm}
	if w.decoder, err = w.newDecoder(); err != nil {
		return nil, errors.Join(err, runner.Close())
	}
	return w, nil
}

// newDecoder asks a run for the shapes of the outputs, because a graph may
// declare them open.
func (w *worker) newDecoder() (decode.Decoder, error) {
	began := time.Now()
	outputs, err := w.runner.Run(w.pool.ctx)
	if err != nil {
		return nil, err
	}
	w.pool.ran(time.Since(began)) // a first idea: an engine's first run is slow
	infos := make([]decode.Info, len(outputs))
	for i, o := range outputs {
		infos[i] = decode.Info{Name: o.Name, Shape: o.Shape}
	}
	return decode.New(w.pool.cfg.Manifest, infos)
}

func (w *worker) run() {
	for {
		select {
		case <-w.pool.ctx.Done():
			return
		case in := <-w.pool.queue:
			answer := w.answer(in)
			if answer == nil {
				return // stopping: silence lets the owner give the frame to another
			}
			body, err := json.Marshal(answer)
			if err == nil {
				err = in.Respond(body)
			}
			w.pool.open.Add(-1)
			if err != nil {
				w.pool.deps.Log.Warn("answer not sent", "model", w.pool.ref.Name, "error", err)
			}
		}
	}
}

// answer runs the model on one request; nil means that the pool is closing.
func (w *worker) answer(in Incoming) *tensor.Answer {
	p := w.pool
	failed := func(err error) *tensor.Answer {
		return &tensor.Answer{Status: vedette.StatusFailed, Reason: err.Error(), Model: p.ref}
	}
	req, err := tensor.ParseRequest(in.Header)
	if err != nil {
		return failed(err)
	}
	if req.SHA256 != p.ref.SHA256 {
		return failed(fmt.Errorf("tensor is for model %.12s…, this worker has %.12s…", req.SHA256, p.ref.SHA256))
	}
	if len(in.Body) != p.size {
		return failed(fmt.Errorf("tensor of %d bytes, model %s takes %d", len(in.Body), p.ref.Name, p.size))
	}
	if req.Deadline != nil && time.Now().After(req.Deadline.Time) {
		return &tensor.Answer{Status: vedette.StatusExpired, Reason: "too old when its turn came", Model: p.ref}
	}
	began := time.Now()
	input := w.runner.Input()
	if err := w.norm.Fill(pixel.Tensor{F32: input.F32, F16: input.F16, U8: input.U8}, 0, in.Body); err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Timeout)
	defer cancel()
	outputs, err := w.runner.Run(ctx)
	took := time.Since(began)
	switch {
	case p.ctx.Err() != nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return failed(fmt.Errorf("the run was cut off after %v", p.cfg.Timeout))
	case err != nil:
		return failed(err)
	}
	p.ran(took)
	if p.deps.Observe != nil {
		p.deps.Observe(took)
	}
	began = time.Now()
	answer := &tensor.Answer{Status: vedette.StatusOK, Model: p.ref, InferMillis: vedette.Millis(took)}
	if err := w.decode(answer, outputs, req.Geometry); err != nil {
		return failed(err)
	}
	answer.PostprocessMillis = vedette.Millis(time.Since(began))
	return answer
}

// decode reads the outputs into the answer.
func (w *worker) decode(a *tensor.Answer, outputs []engine.Output, geom tensor.Geometry) error {
	w.outputs = w.outputs[:0]
	for _, o := range outputs {
		w.outputs = append(w.outputs, decode.Tensor(o))
	}
	var err error
	w.results, err = w.decoder.Decode(w.outputs, []tensor.Geometry{geom}, w.results)
	if err != nil {
		return err
	}
	r := &w.results[0]
	if r.Err != nil {
		return r.Err
	}
	if r.Unfit != "" {
		a.Status, a.Reason = vedette.StatusUnfit, r.Unfit
		return nil
	}
	if w.pool.cfg.Manifest.Task == models.Classify {
		a.Classes = &r.Classes
		return nil
	}
	if r.Objects == nil {
		r.Objects = []vedette.Object{}
	}
	a.Objects = &r.Objects
	return nil
}
