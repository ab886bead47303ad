package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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

// drainTimeout bounds how long the end of a subscription waits for its handler
// and for the server's word that nothing more comes.
const drainTimeout = 5 * time.Second

// Handler takes one request: the value of its header and its body, which is
// the handler's until respond returns. It may answer later, from anywhere, and
// may be called from several goroutines.
type Handler = func(header string, body []byte, respond func([]byte) error)

// Serve calls handler for each request on subject that this process is chosen
// for. header is the value of the header named key. stop takes no more, and
// returns when the handler has been called for what was on its way.
//
// With an embedded server, requests from this process go to the handler by
// memory: half a megabyte through the server and back costs more than the rest
// of a frame's way together. Those of other processes come over the bus.
func (b *Bus) Serve(subject, key string, handler Handler) (stop func() error, err error) {
	sub, err := b.tensors.QueueSubscribe(subject, workerQueue, func(m *nats.Msg) {
		if meant(m, subject) {
			handler(m.Header.Get(key), m.Data, m.Respond)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(requestPending, requestPendingBytes); err != nil {
		return nil, err
	}
	if b.server != nil {
		b.local.Store(subject, &handler)
	}
	leave := drain(sub)
	return func() error {
		b.local.CompareAndDelete(subject, &handler) // another may serve it by now
		return leave()
	}, b.tensors.Flush()
}

// drain returns a function that ends sub once its handler has taken what was
// sent to it.
func drain(sub *nats.Subscription) func() error {
	done := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(done) })
	return func() error {
		if err := sub.Drain(); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(drainTimeout):
			return sub.Unsubscribe()
		}
	}
}

// Request sends body, with one header, to whoever serves subject, and waits
// for the answer until ctx ends. body may be used again when Request returns.
// Errors wrap [ErrNoResponders], [ErrTimeout] or ctx's own. A bus that is away
// is [ErrNoResponders], at once: a request that waited for it would be stale.
func (b *Bus) Request(ctx context.Context, subject, key, header string, body []byte) ([]byte, error) {
	if h, ok := b.local.Load(subject); ok {
		answer, err := b.requestLocal(ctx, *h.(*Handler), header, body)
		return answer, requestError(ctx, subject, err)
	}
	away := b.tensorsAway.current()
	if !b.tensors.IsConnected() {
		return nil, fmt.Errorf("%w %s: the bus is away", ErrNoResponders, subject)
	}
	within, cancel := b.denials.watch(ctx, subject)
	defer cancel()
	// The answer to a request in flight is lost with the connection.
	defer context.AfterFunc(away, cancel)()
	m := &nats.Msg{Subject: subject, Header: nats.Header{key: {header}}, Data: body}
	answer, err := b.tensors.RequestMsgWithContext(within, m)
	if err == nil {
		return answer.Data, nil
	}
	if denied := whyDenied(within, err); errors.Is(denied, ErrDenied) {
		return nil, denied
	}
	if ctx.Err() == nil && (away.Err() != nil || errors.Is(err, nats.ErrDisconnected)) {
		return nil, fmt.Errorf("%w %s: the bus went away", ErrNoResponders, subject)
	}
	return nil, requestError(ctx, subject, err)
}

func requestError(ctx context.Context, subject string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w %s", ErrNoResponders, subject)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w from %s", ErrTimeout, subject)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("request to %s: %w", subject, err)
}

// requestLocal hands the handler a copy of body, since it may still read it
// after ctx has ended.
func (b *Bus) requestLocal(ctx context.Context, handler Handler, header string, body []byte) ([]byte, error) {
	copied, _ := b.bodies.Get().(*[]byte)
	if copied == nil {
		copied = new([]byte)
	}
	*copied = append((*copied)[:0], body...)
	answered := make(chan []byte, 1)
	var once sync.Once
	go handler(header, *copied, func(answer []byte) error {
		once.Do(func() {
			answered <- answer
			b.bodies.Put(copied)
		})
		return nil
	})
	select {
	case answer := <-answered:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
