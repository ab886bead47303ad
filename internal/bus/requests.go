package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// workerQueue is the queue group of the workers of a model: each request goes
// to one of them.
const workerQueue = "workers"

// requestPending bounds the requests that wait in a worker's client. Credits
// keep them few; the limit only bounds the harm of an owner that ignores them.
const (
	requestPending      = 64
	requestPendingBytes = 256 << 20
)

// Serve calls handler for each request on subject that this process is chosen
// for, one after the other; the handler may answer later, from anywhere.
// header is the value of the header named key.
func (b *Bus) Serve(subject, key string, handler func(header string, body []byte, respond func([]byte) error)) (stop func() error, err error) {
	sub, err := b.tensors.QueueSubscribe(subject, workerQueue, func(m *nats.Msg) {
		handler(m.Header.Get(key), m.Data, m.Respond)
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(requestPending, requestPendingBytes); err != nil {
		return nil, err
	}
	return sub.Unsubscribe, b.tensors.Flush()
}

// Request sends body, with one header, to whoever serves subject, and waits
// for the answer until ctx ends. body may be used again when Request returns.
// Errors wrap [ErrNoResponders], [ErrTimeout] or ctx's own. A bus that is away
// is [ErrNoResponders], at once: a request that waited for it would be stale.
func (b *Bus) Request(ctx context.Context, subject, key, header string, body []byte) ([]byte, error) {
	away := b.tensorsAway.current()
	if !b.tensors.IsConnected() {
		return nil, fmt.Errorf("%w %s: the bus is away", ErrNoResponders, subject)
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	// The answer to a request in flight is lost with the connection.
	defer context.AfterFunc(away, cancel)()
	m := &nats.Msg{Subject: subject, Header: nats.Header{key: {header}}, Data: body}
	answer, err := b.tensors.RequestMsgWithContext(within, m)
	switch {
	case err == nil:
		return answer.Data, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w %s", ErrNoResponders, subject)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("%w from %s", ErrTimeout, subject)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case away.Err() != nil:
		return nil, fmt.Errorf("%w %s: the bus went away", ErrNoResponders, subject)
	}
	return nil, fmt.Errorf("request to %s: %w", subject, err)
}

// outage tells requests in flight that their connection was lost.
type outage struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

// current ends with the next loss of the connection.
func (o *outage) current() context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ctx
}

// reset ends the current context and begins another.
func (o *outage) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cancel != nil {
		o.cancel()
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
}
