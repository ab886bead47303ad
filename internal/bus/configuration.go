package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// ErrNoConfiguration says that nobody has put a configuration on the bus yet.
var ErrNoConfiguration = errors.New("the bus has no configuration yet")

// configurationKey is where the bucket of configurations has the one that counts.
const configurationKey = "current"

// configurationHistory is how many configurations the bucket keeps.
const configurationHistory = 16

// configurationTimeout bounds one question to the broker.
const configurationTimeout = 3 * time.Second

// Configuration is a configuration file's text, as an operator put it on the bus:
// references to the environment are in it, not their values.
type Configuration struct {
	Text     []byte
	Revision uint64
	// At is when it was put there, by the server's clock.
	At time.Time
}

// ConfigurationName is what the configuration on the bus is called in messages,
// where subjects begin with prefix.
func ConfigurationName(prefix string) string {
	return "nats:" + vedette.Subjects{Prefix: prefix}.Bucket("config") + "/" + configurationKey
}

// Configuration returns the one that counts. The error wraps [ErrNoConfiguration]
// if there is none.
func (b *Bus) Configuration(ctx context.Context) (_ *Configuration, err error) {
	ctx, cancel := context.WithTimeout(ctx, configurationTimeout)
	defer cancel()
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	kv, err := b.plant().KeyValue(ctx, b.subjects.Bucket("config")) // only an operator may make it
	var entry jetstream.KeyValueEntry
	if err == nil {
		entry, err = kv.Get(ctx, configurationKey)
	}
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, ErrNoConfiguration
	case err != nil:
		return nil, fmt.Errorf("configuration on the bus: %w", err)
	}
	return &Configuration{Text: entry.Value(), Revision: entry.Revision(), At: entry.Created()}, nil
}

// PutConfiguration makes text the configuration that counts. Earlier ones are kept
// for a while.
func (b *Bus) PutConfiguration(ctx context.Context, text []byte) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, configurationTimeout)
	defer cancel()
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	bucket := b.subjects.Bucket("config")
	kv, err := b.plant().KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = b.replicatedAtPlant(0, bucket, func(replicas int) error {
			kv, err = b.plant().CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket: bucket, Description: "the configuration of the plant", History: configurationHistory, Replicas: replicas,
			})
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("bucket of configurations: %w", err)
	}
	if revision, err = kv.Put(ctx, configurationKey, text); err != nil {
		return 0, fmt.Errorf("put the configuration on the bus: %w", err)
	}
	return revision, nil
}
