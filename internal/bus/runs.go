package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// SourceRun is one reading of a finite source, a file or pictures, so that a
// process that comes after a crash can go on with it.
type SourceRun struct {
	Source string    `json:"source"` // hash of what is read
	Epoch  string    `json:"epoch"`
	Start  time.Time `json:"start"`
	Ended  bool      `json:"ended"` // it was read to its end
}

// SourceRun returns the last noted run of a camera's source, or nil.
func (b *Bus) SourceRun(ctx context.Context, camera string) (_ *SourceRun, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	kv, err := b.runs(ctx)
	if err != nil {
		return nil, err
	}
	entry, err := kv.Get(ctx, camera)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run of the source: %w", err)
	}
	var r SourceRun
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return nil, fmt.Errorf("run of the source: %w", err)
	}
	return &r, nil
}

// PutSourceRun notes a run of a camera's source.
func (b *Bus) PutSourceRun(ctx context.Context, camera string, r SourceRun) (err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	kv, err := b.runs(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := kv.Put(ctx, camera, data); err != nil {
		return fmt.Errorf("note the run of the source: %w", err)
	}
	return nil
}

func (b *Bus) runs(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := b.keyValue(ctx, "runs", "how far finite sources were read")
	if err != nil {
		return nil, fmt.Errorf("bucket of the runs of sources: %w", err)
	}
	return kv, nil
}

// keyValue opens a bucket of this site, or makes it.
func (b *Bus) keyValue(ctx context.Context, kind, about string) (kv jetstream.KeyValue, err error) {
	return b.bucket(ctx, b.js, b.replicated, kind, about)
}

// plantKeyValue is keyValue for what the whole plant shares.
func (b *Bus) plantKeyValue(ctx context.Context, kind, about string) (kv jetstream.KeyValue, err error) {
	return b.bucket(ctx, b.plant(), b.replicatedAtPlant, kind, about)
}

func (b *Bus) bucket(ctx context.Context, js jetstream.JetStream, replicated replicator, kind, about string) (kv jetstream.KeyValue, err error) {
	name := b.subjects.Bucket(kind)
	kv, err = js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = replicated(0, name, func(replicas int) error {
			kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, Description: about, Replicas: replicas})
			return err
		})
	}
	return kv, err
}
