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

// workers gives tensors to the instances that serve their model: by memory to
// those on this host, in the message to others.
type workers struct {
	bus        *bus.Bus
	roster     *roster
	self, host string
	memory     *tensorMemory
	encode     *tensorEncoder // nil: pictures go to other hosts as they are
	timeout    func() time.Duration
}

// Request asks the instance that the roster picks. If that one dies meanwhile,
// it is as if nobody had been there.
func (w *workers) Request(ctx context.Context, model string, req *tensor.Request, body []byte, done func(*tensor.Answer, error)) {
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
		a, err := w.ask(ctx, w.bus.Subjects().Tensor(model, id), id, m, req, body)
		free()
		switch {
		case err == nil && a.Again:
			done(nil, preprocess.ErrNoWorker)
		case err == nil:
			done(a, nil)
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

// ask sends a request in the cheapest way that reaches the instance.
func (w *workers) ask(ctx context.Context, subject, id string, m *member, req *tensor.Request, body []byte) (*tensor.Answer, error) {
	switch {
	case id == w.self: // the bus hands it over by memory
	case m.host == w.host && !m.apart.Load():
		ref, done, ok := w.memory.put(body)
		if !ok {
			break
		}
		a, err := w.send(ctx, subject, tensor.Request{Ref: &ref}, req, nil)
		done()
		if err != nil || !a.Send {
			return a, err
		}
		m.apart.Store(true)
	case w.encode != nil:
		encoded, err := w.encode.encode(req.SHA256, body)
		if err != nil {
			return nil, err
		}
		if encoded != nil {
			return w.send(ctx, subject, tensor.Request{Encoding: tensor.JPEG}, req, encoded)
		}
	}
	return w.send(ctx, subject, tensor.Request{}, req, body)
}

// send sends a request, with what how says of its body, and reads the answer.
func (w *workers) send(ctx context.Context, subject string, how tensor.Request, req *tensor.Request, body []byte) (*tensor.Answer, error) {
	r := *req
	r.Ref, r.Encoding = how.Ref, how.Encoding
	header, err := json.Marshal(&r)
	if err != nil {
		return nil, err
	}
	answer, err := w.bus.Request(ctx, subject, tensor.Header, string(header), body)
	if err != nil {
		return nil, err
	}
	var a tensor.Answer
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("answer not understood: %w", err)
	}
	return &a, nil
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
