package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ForgetHost makes free what a host that is gone for good had of the plant: its
// leases, whose keys are returned, and its place among those of which the hub
// collects. What the hub has of it stays. It is for an operator at the hub.
func (b *Bus) ForgetHost(ctx context.Context, host string) (keys []string, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	leases, err := b.Leases(ctx)
	if err != nil {
		return nil, err
	}
	held, err := leases.of(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, lease := range held {
		if err := leases.Return(ctx, lease); err != nil {
			return keys, err
		}
		keys = append(keys, lease.Key)
	}
	return keys, b.forgetSource(ctx, host)
}

// of are the leases that somebody on a host has.
func (l *Leases) of(ctx context.Context, host string) (held []*Lease, err error) {
	keys, err := l.kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	for key := range keys.Keys() {
		lease, err := l.Find(ctx, key)
		if err != nil {
			return nil, errors.Join(err, keys.Stop())
		}
		if lease != nil && lease.Holder.Host == host {
			held = append(held, lease)
		}
	}
	slices.SortFunc(held, func(a, b *Lease) int { return strings.Compare(a.Key, b.Key) })
	return held, nil
}

// forgetSource has the stream of detections not ask a host for more.
func (b *Bus) forgetSource(ctx context.Context, host string) error {
	stream, err := b.js.Stream(ctx, b.subjects.Stream("detections"))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream of detections: %w", err)
	}
	want := stream.CachedInfo().Config
	i := b.sourceOf(want.Sources, host)
	if i < 0 {
		return nil
	}
	want.Sources = slices.Delete(slices.Clone(want.Sources), i, i+1)
	if _, err := b.js.UpdateStream(ctx, want); err != nil {
		return streamError("update stream", want, err)
	}
	return nil
}
