package client

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/nats-io/nats.go"
)

// refusals tell who waits for an answer that the server refused the question.
// It says so on the connection; on the reply subject nothing would ever come.
type refusals struct {
	mu      sync.Mutex
	waiting map[*context.CancelCauseFunc]struct{}
}

// watch returns a context that ends when the server refuses something.
func (r *refusals) watch(ctx context.Context) (context.Context, func()) {
	ctx, refuse := context.WithCancelCause(ctx)
	key := &refuse
	r.mu.Lock()
	if r.waiting == nil {
		r.waiting = map[*context.CancelCauseFunc]struct{}{}
	}
	r.waiting[key] = struct{}{}
	r.mu.Unlock()
	return ctx, func() {
		r.mu.Lock()
		delete(r.waiting, key)
		r.mu.Unlock()
		refuse(nil)
	}
}

// note reports whether err is a refusal that somebody waited for.
func (r *refusals) note(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for refuse := range r.waiting {
		(*refuse)(denied(err))
	}
	return len(r.waiting) > 0
}

var refusal = regexp.MustCompile(`(?:Publish|Subscription) to "([^"\s]+)"`)

// denied is [ErrDenied] with the subject.
func denied(err error) error {
	if m := refusal.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%w: %s", ErrDenied, m[1])
	}
	return fmt.Errorf("%w: %w", ErrDenied, err)
}
