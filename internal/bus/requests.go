package bus

import (
	"context"
	"errors"
	"fmt"

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
	sub, err := b.control.QueueSubscribe(subject, workerQueue, func(m *nats.Msg) {
		handler(m.Header.Get(key), m.Data, m.Respond)
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(requestPending, requestPendingBytes); err != nil {
		return nil, err
	}
	return sub.Unsubscribe, b.control.Flush()
}

// Request sends body, with one header, to whoever serves subject, and waits
// for the answer until ctx ends. Errors wrap [ErrNoResponders], [ErrTimeout] or
// ctx's own.
func (b *Bus) Request(ctx context.Context, subject, key, header string, body []byte) ([]byte, error) {
	m := &nats.Msg{Subject: subject, Header: nats.Header{key: {header}}, Data: body}
	answer, err := b.control.RequestMsgWithContext(ctx, m)
	switch {
	case err == nil:
		return answer.Data, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w %s", ErrNoResponders, subject)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("%w from %s", ErrTimeout, subject)
	}
	return nil, fmt.Errorf("request to %s: %w", subject, err)
}
