package infer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette/internal/engine"
)

// generation is a loaded model with its workers. When the model is loaded anew,
// another one takes its place.
type generation struct {
	pool  *Pool
	model engine.Model
	sizes []int

	ctx     context.Context
	cancel  context.CancelFunc
	queue   chan *Job
	senders sync.WaitGroup // who may be about to send to queue
	work    chan *batch
	gather  Gather
	turn    *Turn // of the batch that is about to leave; only dispatch uses it

	// failures counts those since the last run that went well.
	failures atomic.Int64

	mu      sync.Mutex
	workers []*worker
	stopped bool
}

// batch is on its way to a worker, with its turn on the device.
type batch struct {
	jobs []*Job
	size int
	turn *Turn
	// late brings the turn of a batch that a worker took when it had lost it; nil:
	// none is left to get.
	late chan *Turn
}

// handover is how long a turn is kept for a worker that is about to be free: it
// reads the answers of its last run. Beyond that, there may be no worker any
// more, because their runs hang.
const handover = 100 * time.Millisecond

// newGeneration prepares workers for a loaded model, which it closes on an
// error.
func (p *Pool) newGeneration(ctx context.Context, model engine.Model) (*generation, error) {
	g := &generation{pool: p, model: model, work: make(chan *batch)}
	g.ctx, g.cancel = context.WithCancel(ctx)
	g.sizes = p.wantedSizes(model.Info())
	for range p.cfg.Workers {
		w, err := newWorker(g)
		if err != nil {
			return nil, g.discard(err)
		}
		g.workers = append(g.workers, w)
	}
	// What the credits allow, and what may come while they change.
	g.queue = make(chan *Job, (p.cfg.Workers+1)*g.largest())
	g.gather = p.deps.Gather(g.sizes, p.cfg.MaxWait, g.queue, p.busy, g.admit)
	return g, nil
}

// discard frees a generation that was never started.
func (g *generation) discard(err error) error {
	g.cancel()
	for _, w := range g.workers {
		err = errors.Join(err, w.close())
	}
	return errors.Join(err, g.model.Close())
}

// wantedSizes are those asked for that the graph does not exclude.
func (p *Pool) wantedSizes(info engine.Info) []int {
	sizes := p.cfg.Sizes
	if len(info.Inputs) == 0 || len(info.Inputs[0].Shape) == 0 || info.Inputs[0].Shape[0] < 1 {
		return sizes
	}
	fixed := info.Inputs[0].Shape[0]
	if !slices.Equal(sizes, []int{fixed}) {
		p.deps.Log.Info("the model's file fixes its batch size; others are not used", "model", p.ref.Name, "size", fixed, "wanted", sizes)
	}
	return []int{fixed}
}

func (g *generation) largest() int { return g.sizes[len(g.sizes)-1] }

// start lets the workers work.
func (g *generation) start() {
	for _, w := range g.workers {
		go w.run()
	}
	go g.dispatch()
}

// admit gets a turn on the device.
func (g *generation) admit(ctx context.Context) (err error) {
	g.turn, err = g.pool.member.Acquire(ctx)
	return err
}

// dispatch puts requests together and hands them to workers until the
// generation is stopped.
func (g *generation) dispatch() {
	p := g.pool
	for {
		b, err := g.gather(g.ctx)
		if err != nil {
			return
		}
		turn := g.turn
		g.turn = nil
		p.expired(b.Expired)
		jobs := slices.Clone(b.Items) // the gatherer uses its own again
		if len(jobs) > 0 && turn != nil && g.hand(&batch{jobs: jobs, size: b.Size, turn: turn}) {
			continue
		}
		if turn != nil {
			turn.Release()
		}
		p.again(jobs, "the workers stop")
	}
}

// hand gives a batch to the next worker that is free. It returns false when the
// generation is stopped first.
func (g *generation) hand(b *batch) bool {
	wait := time.NewTimer(handover)
	defer wait.Stop()
	select {
	case g.work <- b:
		return true
	case <-g.ctx.Done():
		return false
	case <-wait.C: // others go first
	}
	b.turn.Release()
	b.turn, b.late = nil, make(chan *Turn, 1)
	select {
	case g.work <- b:
	case <-g.ctx.Done():
		return false
	}
	turn, err := g.pool.member.Acquire(g.ctx)
	if err != nil {
		turn = nil
	}
	b.late <- turn
	return true
}

// stop ends a generation that no request reaches any more: runs under way are
// cut off and what waits is left to others. A run that does not end is given
// up. The model is freed with its last run.
func (g *generation) stop() error {
	g.cancel()
	g.senders.Wait()
	g.mu.Lock()
	g.stopped = true
	workers := g.workers
	g.mu.Unlock()
	limit := time.NewTimer(g.pool.cfg.Care.Grace)
	defer limit.Stop()
	var errs []error
	for _, w := range workers {
		select {
		case <-w.done:
			continue
		case <-limit.C:
			limit.Reset(0) // for all of them together
		}
		jobs, now, before := w.giveUp()
		switch {
		case now:
			g.pool.again(jobs, "the workers stop")
			errs = append(errs, fmt.Errorf("model %s: a run does not end", g.pool.ref.Name))
		case !before:
			<-w.done // it has just ended
		}
	}
	for {
		select {
		case job := <-g.queue:
			g.pool.again([]*Job{job}, "the workers stop")
			continue
		default:
		}
		return errors.Join(append(errs, g.model.Close())...)
	}
}

// replace makes a worker in place of one that was given up.
func (g *generation) replace(gone *worker) error {
	w, err := newWorker(g)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return w.close()
	}
	g.workers = append(slices.DeleteFunc(slices.Clone(g.workers), func(o *worker) bool { return o == gone }), w)
	go w.run()
	return nil
}

// went counts how a run went. The model is reported when it fails again and
// again.
func (g *generation) went(why, reason string) {
	if why == "" {
		g.failures.Store(0)
		return
	}
	p := g.pool
	p.mu.Lock()
	p.health.Failures++
	switch why {
	case whyTimeout:
		p.health.CutOff++
	case whyHang:
		p.health.GivenUp++
	}
	p.mu.Unlock()
	p.deps.Observer.Failed(why)
	if n := g.failures.Add(1); n >= int64(p.cfg.Care.Failures) {
		select {
		case p.sick <- sickness{g, fmt.Sprintf("%d runs in a row failed, the last one: %s", n, reason)}:
		default: // known
		}
	}
}
