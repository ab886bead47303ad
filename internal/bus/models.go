package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoModel says that the bus does not have a model.
var ErrNoModel = errors.New("the bus does not have the model")

// metaSHA256 is where a manifest's object names the model file.
const metaSHA256 = "Vedette-Sha256"

// StoredModel is a model in the object store: the file under its SHA-256, and
// the manifest under the model's name.
type StoredModel struct {
	Name, SHA256   string
	Manifest, ONNX []byte
}

// PutModel stores a model unless the bus has the very same.
func (b *Bus) PutModel(ctx context.Context, m StoredModel) (err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	bucket := b.subjects.Bucket("models")
	store, err := b.plant().ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = b.replicatedAtPlant(0, bucket, func(replicas int) error {
			store, err = b.plant().CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
				Bucket: bucket, Description: "models, for workers that lack them", Replicas: replicas,
			})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("bucket of models: %w", err)
	}
	if _, err := store.GetInfo(ctx, m.SHA256); errors.Is(err, jetstream.ErrObjectNotFound) {
		meta := jetstream.ObjectMeta{Name: m.SHA256, Description: "ONNX file of " + m.Name}
		if _, err := store.Put(ctx, meta, bytes.NewReader(m.ONNX)); err != nil {
			return fmt.Errorf("store model %s: %w", m.Name, err)
		}
	} else if err != nil {
		return fmt.Errorf("store model %s: %w", m.Name, err)
	}
	if info, err := store.GetInfo(ctx, m.Name); err == nil && info.Headers.Get(metaSHA256) == m.SHA256 {
		if old, err := store.GetBytes(ctx, m.Name); err == nil && bytes.Equal(old, m.Manifest) {
			return nil
		}
	}
	meta := jetstream.ObjectMeta{Name: m.Name, Description: "manifest", Headers: nats.Header{metaSHA256: {m.SHA256}}}
	if _, err := store.Put(ctx, meta, bytes.NewReader(m.Manifest)); err != nil {
		return fmt.Errorf("store the manifest of %s: %w", m.Name, err)
	}
	return nil
}

// GetModel fetches a model by its name and checks the file's hash. The error
// wraps [ErrNoModel] if the bus does not have it.
func (b *Bus) GetModel(ctx context.Context, name string) (_ *StoredModel, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	store, err := b.plant().ObjectStore(ctx, b.subjects.Bucket("models")) // a worker may not make it
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w %s", ErrNoModel, name)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket of models: %w", err)
	}
	m := &StoredModel{Name: name}
	object, err := store.Get(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w %s", ErrNoModel, name)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the manifest of %s: %w", name, err)
	}
	info, err := object.Info()
	if err == nil {
		m.Manifest, err = io.ReadAll(object)
	}
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, fmt.Errorf("fetch the manifest of %s: %w", name, err)
	}
	m.SHA256 = info.Headers.Get(metaSHA256)
	if m.ONNX, err = store.GetBytes(ctx, m.SHA256); err != nil {
		return nil, fmt.Errorf("fetch model %s, sha256 %.12s…: %w", name, m.SHA256, err)
	}
	sum := sha256.Sum256(m.ONNX)
	if got := hex.EncodeToString(sum[:]); got != m.SHA256 {
		return nil, fmt.Errorf("fetch model %s: its file has sha256 %.12s…, want %.12s…", name, got, m.SHA256)
	}
	return m, nil
}
