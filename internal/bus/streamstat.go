package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamStat is what a stream or bucket of this site holds.
type StreamStat struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// Last is when the newest message came; zero: there is none.
	Last time.Time `json:"last"`
	// MaxAgeSeconds, MaxBytes and MaxMessages are its limits; 0: none.
	MaxAgeSeconds float64 `json:"max_age_s"`
	MaxBytes      int64   `json:"max_bytes"`
	MaxMessages   int64   `json:"max_messages"`
	Consumers     int     `json:"consumers"`
	// Bucket says that it is a key-value or object store.
	Bucket bool `json:"bucket"`
}

// statTimeout bounds a question about the store.
const statTimeout = 2 * time.Second

// Streams lists the streams and buckets of this site that exist, by name. A
// server without JetStream, or one that this login may not ask, is an error.
func (b *Bus) Streams(ctx context.Context) (all []StreamStat, err error) {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	ours := map[string]bool{} // whether it is a bucket, by name
	for _, kind := range []string{"detections", "events", "results", "triggers", "work"} {
		ours[b.subjects.Stream(kind)] = false
	}
	for _, kind := range []string{"config", "track", "runs", "leases"} {
		ours["KV_"+b.subjects.Bucket(kind)] = true
	}
	for _, kind := range []string{"models", "snapshots", "images"} {
		ours["OBJ_"+b.subjects.Bucket(kind)] = true
	}
	list := b.js.ListStreams(ctx)
	for info := range list.Info() {
		bucket, known := ours[info.Config.Name]
		if !known {
			continue
		}
		all = append(all, StreamStat{
			Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, Last: info.State.LastTime,
			MaxAgeSeconds: info.Config.MaxAge.Seconds(), MaxBytes: max(info.Config.MaxBytes, 0), MaxMessages: max(info.Config.MaxMsgs, 0),
			Consumers: info.State.Consumers, Bucket: bucket,
		})
	}
	if err := list.Err(); err != nil {
		return nil, storeError(err)
	}
	slices.SortFunc(all, func(x, y StreamStat) int { return cmp.Compare(x.Name, y.Name) })
	return all, nil
}

// StoreUse is how much this login stores, in bytes, and how much it may; 0:
// nothing says so.
func (b *Bus) StoreUse(ctx context.Context) (used, most int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	info, err := b.js.AccountInfo(ctx)
	if err != nil {
		return 0, 0, storeError(err)
	}
	return int64(info.Store), max(info.Limits.MaxStore, 0), nil
}

// storeError says why there is no answer about what is stored.
func storeError(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return errors.New("the NATS server has no JetStream for this login: enable it (nats-server --jetstream)")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout): // a question that may not be asked is not answered
		return errors.New("the NATS server does not say: this login may not ask, or it is busy")
	}
	return fmt.Errorf("what is stored: %w", err)
}
