package preprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// BatchConfig says how inference requests are put together.
type BatchConfig struct {
	// Sizes are the batch sizes that the engine has prepared, ascending. One
	// size of 1 hands on every request at once: right for CPUs, where batches
	// gain nothing.
	Sizes []int
	// MaxWait bounds how long the first request of a batch waits for others.
	MaxWait time.Duration
}

// SingleBatch is for CPUs, where parallel runs of one picture each are fastest.
func SingleBatch() BatchConfig { return BatchConfig{Sizes: []int{1}} }

// GPUBatch has few sizes, so that a GPU tunes itself for each only once.
func GPUBatch() BatchConfig {
	return BatchConfig{Sizes: []int{1, 2, 4, 8, 16}, MaxWait: 5 * time.Millisecond}
}

// Validate names what makes no sense.
func (c BatchConfig) Validate() error {
	if len(c.Sizes) == 0 || c.Sizes[0] < 1 || !slices.IsSorted(c.Sizes) {
		return fmt.Errorf("batch: sizes %v: want at least one, from 1 upwards, ascending", c.Sizes)
	}
	if c.MaxWait < 0 {
		return errors.New("batch: the maximum wait must not be negative")
	}
	return nil
}

// Batch is what to run next.
type Batch[T any] struct {
	// Items are in the order in which they came; none when all had expired.
	Items []T
	// Expired passed their deadlines while they waited. They must be answered,
	// not run.
	Expired []T
	// Size is the batch size to run: the smallest prepared one that has room
	// for Items. Places beyond them are to be ignored.
	Size int
}

// BatchHooks are what a Batcher asks its user.
type BatchHooks[T any] struct {
	// Deadline says when an answer stops being of use; the zero time means
	// never.
	Deadline func(T) time.Time
	// Busy, which may be nil, says about how long a batch takes from leaving to
	// its answers: an item must leave that long before its deadline.
	Busy func() time.Duration
	// Admit, which may be nil, waits until a batch may be run, or ctx ends. What
	// comes meanwhile goes along where there is room, and what expires meanwhile
	// does not.
	Admit func(ctx context.Context) error
}

// Batcher stands at the head of the workers of a model and puts their requests
// together. It is not safe for concurrent use.
type Batcher[T any] struct {
	cfg   BatchConfig
	in    <-chan T
	hooks BatchHooks[T]

	items, expired []T
	timer          *time.Timer
	busy           time.Duration // what hooks.Busy says
}

// NewBatcher reads requests from in. cfg must be valid.
func NewBatcher[T any](cfg BatchConfig, in <-chan T, hooks BatchHooks[T]) *Batcher[T] {
	t := time.NewTimer(0)
	t.Stop()
	return &Batcher[T]{cfg: cfg, in: in, hooks: hooks, timer: t}
}

// Next waits for a request and, as configured, a little for more, and then to
// be admitted. It stops waiting for more when a request would otherwise come
// too late. The batch is valid until the next call. When ctx ends before any
// request it returns ctx's error, and [io.EOF] once the channel is closed and
// empty. No request that it received is ever lost with an error: when Admit
// fails, the batch is returned as it is, and Admit's own side knows it.
func (b *Batcher[T]) Next(ctx context.Context) (Batch[T], error) {
	if b.hooks.Busy != nil {
		b.busy = b.hooks.Busy()
	}
	b.items, b.expired = clearAll(b.items), clearAll(b.expired)
	if err := ctx.Err(); err != nil {
		return Batch[T]{}, err
	}
	select {
	case item, ok := <-b.in:
		if !ok {
			return Batch[T]{}, io.EOF
		}
		b.items = append(b.items, item)
	case <-ctx.Done():
		return Batch[T]{}, ctx.Err()
	}
	b.gather(ctx)
	if b.hooks.Admit != nil && b.hooks.Admit(ctx) == nil {
		b.expire()
		b.topUp()
	}
	b.expire()
	batch := Batch[T]{Items: b.items, Expired: b.expired}
	if n := len(b.items); n > 0 {
		i, _ := slices.BinarySearch(b.cfg.Sizes, n)
		batch.Size = b.cfg.Sizes[i]
	}
	return batch, nil
}

// topUp adds what came while the batch waited to be admitted.
func (b *Batcher[T]) topUp() {
	for len(b.items) < b.largest() {
		select {
		case item, ok := <-b.in:
			if !ok {
				return
			}
			b.items = append(b.items, item)
		default:
			return
		}
	}
}

func (b *Batcher[T]) largest() int { return b.cfg.Sizes[len(b.cfg.Sizes)-1] }

// gather adds requests until the batch is full or must leave.
func (b *Batcher[T]) gather(ctx context.Context) {
	leave := b.latest(time.Now().Add(b.cfg.MaxWait), b.items[0])
	for len(b.items) < b.largest() {
		select { // what is there already costs no wait
		case item, ok := <-b.in:
			if !ok {
				return
			}
			b.items = append(b.items, item)
			leave = b.latest(leave, item)
			continue
		default:
		}
		wait := time.Until(leave)
		if wait <= 0 {
			return
		}
		b.timer.Reset(wait)
		select {
		case item, ok := <-b.in:
			b.timer.Stop()
			if !ok {
				return
			}
			b.items = append(b.items, item)
			leave = b.latest(leave, item)
		case <-b.timer.C:
			return
		case <-ctx.Done():
			b.timer.Stop()
			return
		}
	}
}

// latest is when a batch that leaves by leave must leave with item in it.
func (b *Batcher[T]) latest(leave time.Time, item T) time.Time {
	d := b.hooks.Deadline(item)
	if d.IsZero() {
		return leave
	}
	if must := d.Add(-b.busy); must.Before(leave) {
		return must
	}
	return leave
}

// expire moves what has expired out of the items. Only what is certainly late
// goes: dropping by estimate would never correct an estimate that is wrong.
func (b *Batcher[T]) expire() {
	now := time.Now()
	keep := b.items[:0]
	for _, item := range b.items {
		if d := b.hooks.Deadline(item); !d.IsZero() && !now.Before(d) {
			b.expired = append(b.expired, item)
			continue
		}
		keep = append(keep, item)
	}
	clear(b.items[len(keep):])
	b.items = keep
}

// clearAll empties s but keeps its memory, without holding on to the items.
func clearAll[T any](s []T) []T {
	clear(s)
	return s[:0]
}
