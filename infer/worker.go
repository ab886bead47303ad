package infer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/pixel"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
)

// Why a run gave no answer.
const (
	whyError   = "error"   // the engine says so
	whyTimeout = "timeout" // it was cut off
	whyHang    = "hang"    // it was cut off and did not heed it
	whyOutput  = "output"  // its answer makes no sense
)

// place is where batches of one size are run.
type place struct {
	runner  engine.Runner
	decoder decode.Decoder
}

// worker runs one batch at a time.
type worker struct {
	gen    *generation
	norm   *pixel.Normalizer
	places map[int]place // by batch size
	done   chan struct{} // closed when run has ended

	outputs []decode.Tensor // scratch
	results []decode.Result // scratch: an answer is marshalled before the next run
	geoms   []tensor.Geometry

	mu      sync.Mutex
	pending []*Job // of the run under way, not answered yet
	turn    *Turn
	lost    bool
}

// newWorker prepares runners for all batch sizes of the generation, and leaves
// out of these what the model turns out not to take.
func newWorker(g *generation) (*worker, error) {
	norm, err := pixel.NewNormalizer(g.pool.cfg.Manifest.Input)
	if err != nil {
		return nil, err
	}
	w := &worker{gen: g, norm: norm, places: map[int]place{}, done: make(chan struct{})}
	for i, size := range g.sizes {
		pl, err := w.newPlace(size)
		if err != nil && i > 0 && len(g.workers) == 0 && g.ctx.Err() == nil {
			g.pool.deps.Log.Warn("the model does not take larger batches", "model", g.pool.ref.Name, "sizes", g.sizes[:i], "reason", err)
			g.sizes = g.sizes[:i]
			break
		}
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.places[size] = pl
	}
	return w, nil
}

// newPlace asks a run for the shapes of the outputs, because a graph may
// declare them open.
func (w *worker) newPlace(size int) (pl place, err error) {
	g := w.gen
	if pl.runner, err = g.model.NewRunner(g.ctx, size); err != nil {
		return pl, err
	}
	began := time.Now()
	outputs, err := pl.runner.Run(g.ctx)
	if err == nil {
		g.pool.ran(time.Since(began)) // a first idea: an engine's first run is slow
		infos := make([]decode.Info, len(outputs))
		for i, o := range outputs {
			infos[i] = decode.Info{Name: o.Name, Shape: o.Shape}
		}
		pl.decoder, err = decode.New(g.pool.cfg.Manifest, infos)
	}
	if err == nil && size > 1 { // a graph may take a batch and answer one picture
		_, err = pl.decoder.Decode(outputs, make([]tensor.Geometry, size), nil)
	}
	if err != nil {
		return pl, errors.Join(err, pl.runner.Close())
	}
	return pl, nil
}

// close frees the runners.
func (w *worker) close() error {
	var errs []error
	for _, pl := range w.places {
		errs = append(errs, pl.runner.Close())
	}
	return errors.Join(errs...)
}

// run works until the generation is stopped or the worker is given up.
func (w *worker) run() {
	p := w.gen.pool
	defer close(w.done)
	for lost := false; !lost; {
		select {
		case <-w.gen.ctx.Done():
			lost = true
		case b := <-w.gen.work:
			if b.turn == nil {
				b.turn = <-b.late
			}
			if b.turn == nil {
				p.again(b.jobs, "the workers stop")
				continue
			}
			lost = !w.do(b)
			b.turn.Release()
		}
	}
	if err := w.close(); err != nil {
		p.deps.Log.Warn("runner not closed", "model", p.ref.Name, "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost {
		p.hanging.Add(-1)
		p.deps.Log.Info("a run that was given up has ended", "model", p.ref.Name)
	}
}

// do runs a batch and answers its jobs. It returns false when the worker was
// given up meanwhile. A batch that fails is run again one by one, so that a
// picture that the model cannot stand costs only itself.
func (w *worker) do(b *batch) bool {
	p := w.gen.pool
	outputs, took, err := w.attempt(b.jobs, b.jobs, b.size, b.turn)
	switch {
	case errors.Is(err, errGivenUp):
		return false
	case err == nil:
		b.turn.Release()
		w.deliver(b.jobs, b.size, outputs, took)
		return true
	case w.gen.ctx.Err() != nil:
		p.again(b.jobs, "the workers stop")
		return true
	case errors.Is(err, context.DeadlineExceeded):
		reason := fmt.Sprintf("the run was cut off after %v", p.cfg.Timeout)
		w.gen.went(whyTimeout, reason)
		p.failed(b.jobs, reason)
		return true
	case len(b.jobs) == 1:
		w.gen.went(whyError, err.Error())
		p.failed(b.jobs, err.Error())
		return true
	}
	for i := range b.jobs {
		if !w.alone(b, i) {
			return false
		}
	}
	return true
}

// alone runs one job of a batch that failed as a whole.
func (w *worker) alone(b *batch, i int) bool {
	p, one, size := w.gen.pool, b.jobs[i:i+1], w.gen.sizes[0]
	outputs, took, err := w.attempt(one, b.jobs[i:], size, b.turn)
	switch {
	case errors.Is(err, errGivenUp):
		return false
	case err == nil:
		w.deliver(one, size, outputs, took)
	case w.gen.ctx.Err() != nil:
		p.again(one, "the workers stop")
	default:
		w.gen.went(whyError, err.Error())
		p.failed(one, err.Error())
	}
	return true
}

// errGivenUp says that others have answered the jobs of a run meanwhile.
var errGivenUp = errors.New("the run was given up")

// attempt runs jobs. The run is cut off when it takes too long, and if it goes
// on all the same the worker is given up: pending is then answered by who does
// that.
func (w *worker) attempt(jobs, pending []*Job, size int, turn *Turn) ([]engine.Output, time.Duration, error) {
	p := w.gen.pool
	began := time.Now()
	pl := w.places[size]
	if err := w.fill(pl.runner.Input(), jobs); err != nil {
		return nil, 0, err
	}
	w.mu.Lock()
	w.pending, w.turn = pending, turn
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.gen.ctx, p.cfg.Timeout)
	defer cancel()
	watch := time.AfterFunc(p.cfg.Timeout+p.cfg.Care.Grace, w.hangs)
	defer watch.Stop()
	outputs, err := pl.runner.Run(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, w.turn = nil, nil
	if w.lost {
		return nil, 0, errGivenUp
	}
	return outputs, time.Since(began), err
}

// hangs gives the worker up because its run does not end.
func (w *worker) hangs() {
	p := w.gen.pool
	jobs, now, _ := w.giveUp()
	if !now {
		return
	}
	reason := fmt.Sprintf("the run hangs: it did not stop %v after it was cut off at %v", p.cfg.Care.Grace, p.cfg.Timeout)
	p.deps.Log.Error("a run hangs; its worker is given up", "model", p.ref.Name, "hanging", p.hanging.Load())
	w.gen.went(whyHang, reason)
	p.failed(jobs, reason)
	select {
	case p.lost <- w:
	case <-p.ctx.Done():
	}
}

// giveUp takes the jobs of the run under way away from the worker, whose run
// then ends whenever it does. now is false if there is no run, before true if
// it was given up earlier.
func (w *worker) giveUp() (jobs []*Job, now, before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == nil || w.lost {
		return nil, false, w.lost
	}
	w.lost = true
	w.turn.Release()
	w.gen.pool.hanging.Add(1)
	return w.pending, true, false
}

// fill makes the input of the pictures, of several at a time.
func (w *worker) fill(in *engine.Input, jobs []*Job) error {
	dst := pixel.Tensor{F32: in.F32, F16: in.F16, U8: in.U8}
	if len(jobs) == 1 {
		return w.norm.Fill(dst, 0, jobs[0].in.Body)
	}
	lanes := min(len(jobs), runtime.GOMAXPROCS(0))
	errs := make([]error, lanes)
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for i := lane; i < len(jobs) && errs[lane] == nil; i += lanes {
				errs[lane] = w.norm.Fill(dst, i, jobs[i].in.Body)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deliver reads the outputs of a run and answers its jobs.
func (w *worker) deliver(jobs []*Job, size int, outputs []engine.Output, took time.Duration) {
	p := w.gen.pool
	p.ran(took)
	p.deps.Observer.Run(len(jobs), size, took)
	began := time.Now()
	if err := w.decode(jobs, size, outputs); err != nil {
		w.gen.went(whyOutput, err.Error())
		p.failed(jobs, err.Error())
		return
	}
	spent := vedette.Millis(time.Since(began)) / float64(len(jobs))
	for i, j := range jobs {
		r := &w.results[i]
		if r.Err != nil {
			w.gen.went(whyOutput, r.Err.Error())
			p.failed(jobs[i:i+1], r.Err.Error())
			continue
		}
		w.gen.went("", "")
		a := tensor.Answer{Status: vedette.StatusOK, InferMillis: vedette.Millis(took), PostprocessMillis: spent}
		switch {
		case r.Unfit != "":
			a.Status, a.Reason = vedette.StatusUnfit, r.Unfit
		case p.cfg.Manifest.Task == models.Classify:
			a.Classes = &r.Classes
		default:
			if r.Objects == nil {
				r.Objects = []vedette.Object{}
			}
			a.Objects = &r.Objects
		}
		p.answer(j.in, a)
	}
}

// decode makes w.results of the outputs.
func (w *worker) decode(jobs []*Job, size int, outputs []engine.Output) (err error) {
	w.outputs, w.geoms = w.outputs[:0], w.geoms[:0]
	for _, o := range outputs {
		w.outputs = append(w.outputs, decode.Tensor(o))
	}
	for _, j := range jobs {
		w.geoms = append(w.geoms, j.req.Geometry)
	}
	w.results, err = w.places[size].decoder.Decode(w.outputs, w.geoms, w.results)
	return err
}
