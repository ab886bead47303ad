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
	ticket   *ticket
	req      *tensor.Request
	body     *[]byte
	attempts int
	delay    time.Duration
}

func (r *request) send(ctx context.Context) {
	r.attempts++
	// Requests outlive the owner's context: what a worker has is waited for.
	r.lane.camera.owner.deps.Workers.Request(context.WithoutCancel(ctx), r.lane.model.cfg.Ref.Name, r.req, *r.body,
		func(a *tensor.Answer, err error) { r.answered(ctx, a, err) })
}

func (r *request) answered(ctx context.Context, a *tensor.Answer, err error) {
	t := r.ticket
	if err != nil && r.again(ctx, err) {
		return
	}
	switch {
	case err == nil:
		r.lane.fill(t, a)
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
	default:
		t.fail("request", err.Error())
	}
	r.lane.model.pool.Put(r.body)
	r.lane.model.credits.release(&r.lane.holder)
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
			r.send(ctx)
		case <-ctx.Done():
			r.answered(ctx, nil, err)
		}
	}()
	return true
}

// fill completes the detection from a worker's answer.
func (l *lane) fill(t *ticket, a *tensor.Answer) {
	d := t.det
	d.Status, d.Reason, d.Model = a.Status, a.Reason, a.Model
	d.Timing.Infer, d.Timing.Postprocess = a.InferMillis, a.PostprocessMillis
	spent := d.Timing.Preprocess + d.Timing.Infer + d.Timing.Postprocess
	d.Timing.Queue = max(0, vedette.Millis(time.Since(t.frame.CapturedAt.Time))-spent)
	switch a.Status {
	case vedette.StatusOK:
		t.out = outInferred
		d.Objects, d.Classes = l.wanted(a.Objects), a.Classes
	case vedette.StatusExpired:
		t.out = outExpired
	case vedette.StatusUnfit:
		t.out = outUnfit
	default:
		t.out, t.why = outFailed, "model"
	}
}

// wanted keeps the objects that the camera's configuration asks for.
func (l *lane) wanted(all *[]vedette.Object) *[]vedette.Object {
	if all == nil {
		return nil
	}
	kept := slices.DeleteFunc(*all, func(o vedette.Object) bool {
		return o.Score < l.cfg.MinScore || (len(l.cfg.Labels) > 0 && !slices.Contains(l.cfg.Labels, o.Label))
	})
	if kept == nil {
		kept = []vedette.Object{}
	}
	return &kept
}
