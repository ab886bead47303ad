package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// AnswerAll answers each request on subject, as every other instance that
// serves it does. Requests wait for each other.
func (b *Bus) AnswerAll(subject string, handler func(body []byte) []byte) (stop func() error, err error) {
	sub, err := b.control.Subscribe(subject, func(m *nats.Msg) {
		if !meant(m, subject) {
			return
		}
		if err := m.Respond(handler(m.Data)); err != nil {
			b.log.Warn("answer not sent", "subject", subject, "error", err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", subject, err)
	}
	return sub.Unsubscribe, b.control.Flush()
}

// AskAll asks every instance that serves subject and gathers the answers until
// there are n of them or wait is over. That nobody is there is no error.
func (b *Bus) AskAll(ctx context.Context, subject string, body []byte, n int, wait time.Duration) ([][]byte, error) {
	inbox := b.control.NewInbox()
	sub, err := b.control.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails only with the connection
	asking, answered := b.denials.watch(ctx, subject)
	defer answered()
	if err := b.control.PublishRequest(subject, inbox, body); err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	within, cancel := context.WithTimeout(asking, wait)
	defer cancel()
	var answers [][]byte
	for len(answers) < n {
		m, err := sub.NextMsgWithContext(within)
		switch {
		case err != nil && asking.Err() != nil: // ctx ended, or we may not ask
			return nil, context.Cause(asking)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return answers, nil
		case err != nil:
			return nil, fmt.Errorf("answers from %s: %w", subject, err)
		}
		answers = append(answers, m.Data)
	}
	return answers, nil
}

// meant reports whether a message was published on a subject that its
// subscription is for. A subscriber cannot publish, but can have the server
// deliver stored messages to a subject of its choice: these keep their own.
func meant(m *nats.Msg, subject string) bool { return server.SubjectMatchesFilter(m.Subject, subject) }
