package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// denials tell who waits for an answer that the question was refused: the
// server says so on the connection, not on the reply subject, where nothing
// would ever come.
type denials struct {
	mu      sync.Mutex
	waiting map[*question]struct{}
	said    time.Time // when the log was told last
	unsaid  int       // of how many it was not
	told    string    // subject of the last refusal that somebody waited for
}

// question is one that waits for its answer.
type question struct {
	subjects []string // a trailing dot makes it a prefix
	refuse   context.CancelCauseFunc
}

// watch returns a context that ends with [ErrDenied] if a publication on one of
// the subjects is refused; one that ends with a dot stands for all below it.
func (d *denials) watch(ctx context.Context, subjects ...string) (context.Context, context.CancelFunc) {
	ctx, refuse := context.WithCancelCause(ctx)
	q := &question{subjects, refuse}
	d.mu.Lock()
	if d.waiting == nil {
		d.waiting = map[*question]struct{}{}
	}
	d.waiting[q] = struct{}{}
	d.mu.Unlock()
	return ctx, func() {
		d.mu.Lock()
		delete(d.waiting, q)
		d.mu.Unlock()
		refuse(context.Canceled)
	}
}

var refusal = regexp.MustCompile(`(Publish|Subscription) to "([^"\s]+)"`)

// deniedError is [ErrDenied] with what was refused.
func deniedError(err error) error {
	if m := refusal.FindStringSubmatch(err.Error()); m != nil {
		what := "subscribe to"
		if m[1] == "Publish" {
			what = "publish on"
		}
		return fmt.Errorf("%w: %s %s", ErrDenied, what, m[2])
	}
	return fmt.Errorf("%w: %w", ErrDenied, err)
}

// note takes a refusal, and tells who asked, or the log, once a second.
func (d *denials) note(log *slog.Logger, connection string, err error) {
	subject := ""
	if m := refusal.FindStringSubmatch(err.Error()); m != nil && m[1] == "Publish" {
		subject = m[2]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := false
	for q := range d.waiting {
		for _, s := range q.subjects {
			if subject == s || (strings.HasSuffix(s, ".") && strings.HasPrefix(subject, s)) {
				q.refuse(deniedError(err))
				asked = true
			}
		}
	}
	switch {
	case asked:
		d.told = subject
	case time.Since(d.said) < time.Second:
		d.unsaid++
	default:
		log.Warn("bus: this login may not do that", "connection", connection, "error", err, "more_before", d.unsaid)
		d.said, d.unsaid = time.Now(), 0
	}
}

// whyDenied replaces the error of a question that was refused.
func whyDenied(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDenied) {
		return cause
	}
	return err
}

// jetStream is for what asks JetStream: it ends ctx when the server refuses, and
// done puts that into err.
func (b *Bus) jetStream(ctx context.Context, err *error) (context.Context, func()) {
	questions := []string{b.api, "$KV.", "$O."}
	if b.hub != nil {
		questions = append(questions, b.hub.api)
	}
	ctx, answered := b.denials.watch(ctx, questions...)
	return ctx, func() {
		*err = whyDenied(ctx, *err)
		answered()
	}
}

// Permitted reports what the server refused last, if nobody was told. A process
// that lacks a right, or cannot get replies, finds out at its start, instead of
// doing half its work.
func (b *Bus) Permitted(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for _, nc := range []*nats.Conn{b.frames, b.tensors, b.control} {
		inbox, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		_ = nc.FlushWithContext(within) // a bus that is away refuses nothing yet
		_ = inbox.Unsubscribe()         // it fails only with the connection
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = nc.LastError()
		if !errors.Is(err, nats.ErrPermissionViolation) {
			continue
		}
		b.denials.mu.Lock()
		m := refusal.FindStringSubmatch(err.Error())
		told := m != nil && m[2] == b.denials.told
		b.denials.mu.Unlock()
		if !told {
			return fmt.Errorf("%w: %w: log in with the key of the right role (bus.nkey)", ErrConfig, deniedError(err))
		}
	}
	return nil
}
