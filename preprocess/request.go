package preprocess

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// Retry delays of a lossless lane while nobody serves its model.
const (
	retryFirst = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	// everyAttempts is how often a lossless frame is given to workers that do
	// not answer before its result is "failed".
	everyAttempts = 3
)

// request is one tensor on its way to a worker, and again if need be.
type request struct {
	lane     *lane
	fit      *fitting // it holds a credit of
	ticket   *ticket
	req      *tensor.Request
	body     *[]byte
	attempts int
	delay    time.Duration
	behind   bool // it was tried although another edition had taken its place
}

func (r *request) send(ctx context.Context) {
	r.attempts++
	// Requests outlive the owner's context: what a worker has is waited for.
	r.lane.camera.owner.deps.Workers.Request(context.WithoutCancel(ctx), r.lane.name, r.req, *r.body,
		func(a *tensor.Answer, err error) { r.answered(ctx, a, err) })
}

func (r *request) answered(ctx context.Context, a *tensor.Answer, err error) {
	if err == nil || !r.again(ctx, err) {
		r.conclude(ctx, a, err)
	}
}

// conclude says what became of the frame.
func (r *request) conclude(ctx context.Context, a *tensor.Answer, err error) {
	t := r.ticket
	switch {
	case err == nil:
		r.lane.fill(t, a, r.lane.minScore(r.fit))
	case ctx.Err() != nil && !errors.Is(err, ErrTimeout):
		t.dropped = DropShutdown
	case errors.Is(err, ErrNoWorker):
		t.dropped = DropNoWorker
	case errors.Is(err, ErrModelOut) && r.lane.camera.cfg.Delivery == Latest:
		t.dropped = DropModelOut
	case errors.Is(err, ErrModelOut): // every frame has a result
		t.fail(DropModelOut, err.Error())
	case errors.Is(err, ErrTimeout):
		t.fail("timeout", "timeout")
	case errors.Is(err, errReplaced):
		t.fail("model", err.Error())
	case errors.Is(err, errOverwritten):
		t.dropped = DropOverwritten
	default:
		t.fail("request", err.Error())
	}
	r.fit.model.pool.Put(r.body)
	r.fit.model.credits.release(&r.fit.holder)
	close(t.done)
}

// again repeats a lossless request that no worker took or answered.
func (r *request) again(ctx context.Context, err error) bool {
	if r.lane.camera.cfg.Delivery != Every || ctx.Err() != nil || errors.Is(err, ErrModelOut) {
		return false
	}
	if !errors.Is(err, ErrNoWorker) && r.attempts >= everyAttempts {
		return false
	}
	if errors.Is(err, ErrNoWorker) {
		r.attempts-- // nobody tried
	}
	r.delay = min(max(2*r.delay, retryFirst), retryMost)
	timer := time.NewTimer(r.delay)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C:
			if errors.Is(err, ErrNoWorker) {
				if err := r.renew(ctx); err != nil {
					r.conclude(ctx, nil, err)
					return
				}
			}
			r.send(ctx)
		case <-ctx.Done():
			r.answered(ctx, nil, err)
		}
	}()
	return true
}

// fill completes the detection from a worker's answer.
func (l *lane) fill(t *ticket, a *tensor.Answer, minScore float64) {
	d := t.det
	d.Status, d.Reason, d.Model = a.Status, a.Reason, a.Model
	d.Timing.Infer, d.Timing.Postprocess = a.InferMillis, a.PostprocessMillis
	spent := d.Timing.Preprocess + d.Timing.Infer + d.Timing.Postprocess
	d.Timing.Queue = max(0, vedette.Millis(time.Since(t.frame.CapturedAt.Time))-spent)
	switch a.Status {
	case vedette.StatusOK:
		t.out = outInferred
		d.Objects, d.Classes = l.wanted(a.Objects, minScore), a.Classes
	case vedette.StatusExpired:
		t.out = outExpired
	case vedette.StatusUnfit:
		t.out = outUnfit
	default:
		t.out, t.why = outFailed, "model"
	}
}

// wanted keeps the objects that the camera's configuration asks for.
func (l *lane) wanted(all *[]vedette.Object, minScore float64) *[]vedette.Object {
	if all == nil {
		return nil
	}
	kept := slices.DeleteFunc(*all, func(o vedette.Object) bool {
		return o.Score < minScore || (len(l.cfg.Labels) > 0 && !slices.Contains(l.cfg.Labels, o.Label))
	})
	if kept == nil {
		kept = []vedette.Object{}
	}
	return &kept
}
