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

// Batcher stands at the head of an inference worker and puts its requests
// together. Several workers may read one channel, each with a Batcher of its
// own; a Batcher is not safe for concurrent use.
type Batcher[T any] struct {
	cfg      BatchConfig
	in       <-chan T
	deadline func(T) time.Time

	items, expired []T
	timer          *time.Timer
	// busy is about how long the worker takes from a batch to the next: an
	// item must leave that long before its deadline for the answer to be in time.
	busy time.Duration
	left time.Time // when a batch with items was last handed out
}

// NewBatcher reads requests from in. deadline says when an answer stops being
// of use; the zero time means never. cfg must be valid.
func NewBatcher[T any](cfg BatchConfig, in <-chan T, deadline func(T) time.Time) *Batcher[T] {
	t := time.NewTimer(0)
	t.Stop()
	return &Batcher[T]{cfg: cfg, in: in, deadline: deadline, timer: t}
}

// Next waits for a request and, as configured, a little for more. It returns
// early when a request would otherwise come too late. The batch is valid until
// the next call. When ctx ends before any request it returns ctx's error, and
// [io.EOF] once the channel is closed and empty; no request that it received is
// ever lost with an error.
func (b *Batcher[T]) Next(ctx context.Context) (Batch[T], error) {
	b.observe()
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
	return b.sorted(), nil
}

// gather adds requests until the batch is full or must leave.
func (b *Batcher[T]) gather(ctx context.Context) {
	largest := b.cfg.Sizes[len(b.cfg.Sizes)-1]
	leave := b.latest(time.Now().Add(b.cfg.MaxWait), b.items[0])
	for len(b.items) < largest {
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
	d := b.deadline(item)
	if d.IsZero() {
		return leave
	}
	if must := d.Add(-b.busy); must.Before(leave) {
		return must
	}
	return leave
}

// sorted moves what has expired out of the items. Only what is certainly late
// goes: dropping by estimate would never correct an estimate that is wrong.
func (b *Batcher[T]) sorted() Batch[T] {
	now := time.Now()
	keep := b.items[:0]
	for _, item := range b.items {
		if d := b.deadline(item); !d.IsZero() && !now.Before(d) {
			b.expired = append(b.expired, item)
			continue
		}
		keep = append(keep, item)
	}
	clear(b.items[len(keep):])
	b.items = keep
	batch := Batch[T]{Items: b.items, Expired: b.expired}
	if len(keep) > 0 {
		i, _ := slices.BinarySearch(b.cfg.Sizes, len(keep))
		batch.Size = b.cfg.Sizes[i]
		b.left = now
	}
	return batch
}

// observe takes the time since the last batch left into the estimate.
func (b *Batcher[T]) observe() {
	if b.left.IsZero() {
		return
	}
	took := time.Since(b.left)
	b.left = time.Time{}
	if b.busy == 0 {
		b.busy = took
		return
	}
	b.busy += (took - b.busy) / 4
}

// clearAll empties s but keeps its memory, without holding on to the items.
func clearAll[T any](s []T) []T {
	clear(s)
	return s[:0]
}
