package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/preprocess"
)

// answerMargin is how much longer than a worker's own time-out an owner waits.
const answerMargin = 5 * time.Second

// workers gives tensors to the instances that serve their model.
type workers struct {
	bus     *bus.Bus
	roster  *roster
	timeout func() time.Duration
}

// Request asks the instance that the roster picks. If that one dies meanwhile,
// it is as if nobody had been there.
func (w workers) Request(ctx context.Context, model string, req *tensor.Request, body []byte, done func(*tensor.Answer, error)) {
	header, err := json.Marshal(req)
	if err != nil {
		done(nil, err)
		return
	}
	edition := serving{model, req.SHA256, req.Edition}
	id, m, free := w.roster.pick(edition)
	if m == nil {
		if why := w.roster.out(edition); why != "" {
			done(nil, fmt.Errorf("%w: %s: %s", preprocess.ErrModelOut, model, why))
			return
		}
		done(nil, preprocess.ErrNoWorker)
		return
	}
	go func() { // credits bound how many there are
		ctx, cancel := context.WithTimeout(ctx, w.timeout())
		defer cancel()
		defer context.AfterFunc(m.ctx, cancel)()
		answer, err := w.bus.Request(ctx, w.bus.Subjects().Tensor(model, id), tensor.Header, string(header), body)
		free()
		switch {
		case err == nil:
			var a tensor.Answer
			if err := json.Unmarshal(answer, &a); err != nil {
				done(nil, fmt.Errorf("answer not understood: %w", err))
				return
			}
			if a.Again {
				done(nil, preprocess.ErrNoWorker)
				return
			}
			done(&a, nil)
		case errors.Is(err, bus.ErrNoResponders):
			w.roster.gone(id, m)
			done(nil, preprocess.ErrNoWorker)
		case m.ctx.Err() != nil:
			done(nil, preprocess.ErrNoWorker)
		case errors.Is(err, bus.ErrTimeout):
			done(nil, preprocess.ErrTimeout)
		default:
			done(nil, err)
		}
	}()
}

// frameOutput publishes what a camera captures.
type frameOutput struct {
	sender *bus.FrameSender
	every  bool
	state  func(ingest.State)
	// held counts lossless frames that the owner has not released yet.
	held sync.WaitGroup
}

func (o *frameOutput) Frame(ctx context.Context, f *vedette.Frame, release func()) error {
	if !o.every {
		return o.sender.Send(ctx, f, nil)
	}
	o.held.Add(1)
	return o.sender.Send(ctx, f, func() {
		release()
		o.held.Done()
	})
}

// last tells the owner, behind every frame, that the camera has ended.
func (o *frameOutput) last(ctx context.Context, camera string) error {
	released := make(chan struct{})
	go func() { o.held.Wait(); close(released) }() // ends with the sender at the latest
	select {
	case <-released:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return o.sender.Send(ctx, &vedette.Frame{Schema: vedette.FrameSchema, Camera: camera, End: true, Last: true}, nil)
}

func (o *frameOutput) State(_ context.Context, s ingest.State) { o.state(s) }
