package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// Incoming is one inference request as it arrives from the bus. Body belongs
// to the service until Respond returns.
type Incoming struct {
	Header  string // JSON of a [tensor.Request]
	Body    []byte
	Respond func(answer []byte) error
}

// Job is a request that fits the model and waits to be run.
type Job struct {
	req *tensor.Request
	in  Incoming
}

// Deadline is when the answer stops being of use; zero: never.
func (j *Job) Deadline() time.Time {
	if j.req.Deadline == nil {
		return time.Time{}
	}
	return j.req.Deadline.Time
}

// Batch is what to run next: see the Batch of package preprocess, which a
// [Gatherer] makes.
type Batch struct {
	Items, Expired []*Job
	Size           int
}

// Gatherer puts the requests that arrive on in together to batches of the
// given sizes. It waits for admit before it hands one out; busy says how long a
// run takes. The stages know nothing of each other: package pipeline makes one
// of package preprocess's Batcher.
type Gatherer func(sizes []int, maxWait time.Duration, in <-chan *Job, busy func() time.Duration, admit func(context.Context) error) Gather

// Gather returns the next batch, good until the next call, or ctx's error.
type Gather func(ctx context.Context) (Batch, error)

// errOther says that a request is for another model, or another edition of this
// one. That is nobody's fault: it was on its way while one took the place of the
// other, and is for whoever has that one.
var errOther = errors.New("the tensor is for another model")

// Answers reports whether the pool is who a request is meant for: it has the
// file, and the manifest unless the request leaves that open.
func (p *Pool) Answers(req *tensor.Request) bool {
	return req.SHA256 == p.cfg.SHA256 && (req.Edition == "" || req.Edition == p.cfg.Edition)
}

// check reads a request, or says what is wrong with it.
func (p *Pool) check(in Incoming) (*Job, error) {
	req, err := tensor.ParseRequest(in.Header)
	if err != nil {
		return nil, err
	}
	if !p.Answers(req) {
		return nil, fmt.Errorf("%w: %.12s…, edition %s; this worker has %.12s…, edition %s", errOther, req.SHA256, req.Edition, p.cfg.SHA256, p.cfg.Edition)
	}
	if len(in.Body) != p.size {
		return nil, fmt.Errorf("tensor of %d bytes, model %s takes %d", len(in.Body), p.ref.Name, p.size)
	}
	return &Job{req: req, in: in}, nil
}

// answer answers a request, once.
func (p *Pool) answer(in Incoming, a tensor.Answer) {
	a.Model = p.ref
	body, err := json.Marshal(&a)
	if err == nil {
		err = in.Respond(body)
	}
	p.open.Add(-1)
	if err != nil {
		p.deps.Log.Warn("answer not sent", "model", p.ref.Name, "error", err)
	}
}

func (p *Pool) failed(jobs []*Job, reason string) {
	for _, j := range jobs {
		p.answer(j.in, tensor.Answer{Status: vedette.StatusFailed, Reason: reason})
	}
}

// again leaves jobs to others: they were not tried here.
func (p *Pool) again(jobs []*Job, reason string) {
	for _, j := range jobs {
		p.answer(j.in, tensor.Answer{Again: true, Reason: reason})
	}
}

func (p *Pool) expired(jobs []*Job) {
	for _, j := range jobs {
		p.answer(j.in, tensor.Answer{Status: vedette.StatusExpired, Reason: "too old when its turn came"})
	}
}
