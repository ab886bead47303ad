package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vedette-io/vedette/internal/bench"
)

// slice is how long one of two that are compared runs before it is paused and
// the other one goes on: short, so that what else the machine does meets both,
// and shorter than anything in the pipeline that would take a pause for a
// failure.
const slice = 500 * time.Millisecond

// settle is how long each runs before anything is counted.
const settle = time.Second

// contender is one of two that are compared: processes that work without a
// break and count, and are paused while the other one runs.
type contender struct {
	processes []*benchProcess
	counters  []*bench.Counter
}

// stretch is what a contender did in one slice, or in several.
type stretch struct {
	frames  uint64
	seconds float64
	cpu     float64 // seconds
}

func (s stretch) fps() float64 { return float64(s.frames) / s.seconds }

func (s stretch) cpuMillis() float64 { return 1000 * s.cpu / float64(max(s.frames, 1)) }

func (s stretch) add(o stretch) stretch {
	return stretch{s.frames + o.frames, s.seconds + o.seconds, s.cpu + o.cpu}
}

// startContender starts the processes of one job, and pauses them when they
// have settled.
func (b *benchmark) startContender(ctx context.Context, jobs []benchJob) (_ *contender, err error) {
	c := &contender{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	for i := range jobs {
		b.counters++
		jobs[i].Counter = filepath.Join(b.dir, fmt.Sprintf("counter-%d", b.counters))
		counter, err := bench.OpenCounter(jobs[i].Counter)
		if err != nil {
			return nil, err
		}
		c.counters = append(c.counters, counter)
		p, err := startBenchProcess(ctx, &jobs[i])
		if err != nil {
			return nil, err
		}
		c.processes = append(c.processes, p)
		if err := b.guard.watch(p.cmd.Process.Pid); err != nil {
			return nil, err
		}
	}
	for _, p := range c.processes {
		if err := p.isReady(); err != nil {
			return nil, err
		}
	}
	for _, p := range c.processes {
		if err := p.tell("go\n"); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	return c, bench.Pause(ctx, c.pids())
}

func (c *contender) pids() []int {
	var all []int
	for _, p := range c.processes {
		all = append(all, bench.Family(p.cmd.Process.Pid)...)
	}
	return all
}

// state is what was counted and used so far.
func (c *contender) state() (s stretch, err error) {
	for i, p := range c.processes {
		tree, err := bench.ReadCPU(p.cmd.Process.Pid)
		if err != nil {
			return s, p.failed(err)
		}
		s.cpu += tree.CPU.Seconds()
		s.frames += c.counters[i].Get()
	}
	return s, nil
}

// run lets the contender work for one slice.
func (c *contender) run(ctx context.Context) (stretch, error) {
	before, err := c.state()
	if err != nil {
		return stretch{}, err
	}
	pids := c.pids()
	began := time.Now()
	if err := bench.Continue(pids); err != nil {
		return stretch{}, err
	}
	if err := pause(ctx, slice); err != nil {
		return stretch{}, err
	}
	took := time.Since(began)
	if err := bench.Pause(ctx, pids); err != nil {
		return stretch{}, err
	}
	after, err := c.state()
	return stretch{after.frames - before.frames, took.Seconds(), after.cpu - before.cpu}, err
}

// finish lets the processes end by themselves, and gives their results as one.
func (c *contender) finish() (benchResult, error) {
	results := make([]benchResult, len(c.processes))
	if err := bench.Continue(c.pids()); err != nil {
		return benchResult{}, err
	}
	for _, p := range c.processes {
		if err := p.tell("end\n"); err != nil {
			return benchResult{}, err
		}
	}
	for i, p := range c.processes {
		if err := p.result(&results[i]); err != nil {
			return benchResult{}, err
		}
	}
	total := sum(results)
	total.Model, total.EngineName, total.Device = results[0].Model, results[0].EngineName, results[0].Device
	total.Width, total.Height = results[0].Width, results[0].Height
	return total, nil
}

// close ends what still runs, or is paused.
func (c *contender) close() error {
	errs := []error{bench.Continue(c.pids())}
	for _, p := range c.processes {
		p.stop(func() { errs = append(errs, bench.Kill(bench.Family(p.cmd.Process.Pid))) })
	}
	for _, counter := range c.counters {
		errs = append(errs, counter.Close())
	}
	return errors.Join(errs...)
}

// duel lets two contenders take turns, A B B A and so on, until each has run
// for as long as a measurement lasts, and gives the pairs.
func (b *benchmark) duel(ctx context.Context, line, pipe *contender) (pairs [][2]stretch, err error) {
	turns := max(2, int(b.o.duration/slice))
	for i := range turns {
		var pair [2]stretch
		order := []int{0, 1}
		if i%2 == 1 {
			order = []int{1, 0}
		}
		for _, who := range order {
			if pair[who], err = []*contender{line, pipe}[who].run(ctx); err != nil {
				return pairs, err
			}
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
