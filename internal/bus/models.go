package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoModel says that the bus does not have a model.
var ErrNoModel = errors.New("the bus does not have the model")

// metaSHA256 is where a manifest's object names the model file.
const metaSHA256 = "Vedette-Sha256"

// StoredModel is a model in the object store: the file under its SHA-256, and
// the manifest under the model's name, which is that of the latest edition, and
// under name and edition.
type StoredModel struct {
	Name, SHA256 string
	Edition      string // what it answers; empty: it is stored under its name only
	Manifest     []byte
	ONNX         []byte
}

// object is where a manifest is: a model's name has no dot.
func (m *StoredModel) object() string { return editionObject(m.Name, m.Edition) }

func editionObject(name, edition string) string {
	if edition == "" {
		return name
	}
	return name + "." + edition
}

// modelStore opens the object store, or makes it.
func (b *Bus) modelStore(ctx context.Context) (jetstream.ObjectStore, error) {
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
		return nil, fmt.Errorf("bucket of models: %w", err)
	}
	return store, nil
}

// PutModel stores a model unless the bus has the very same.
func (b *Bus) PutModel(ctx context.Context, m StoredModel) (err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	store, err := b.modelStore(ctx)
	if err != nil {
		return err
	}
	if _, err := store.GetInfo(ctx, m.SHA256); errors.Is(err, jetstream.ErrObjectNotFound) {
		meta := jetstream.ObjectMeta{Name: m.SHA256, Description: "ONNX file of " + m.Name}
		if _, err := store.Put(ctx, meta, bytes.NewReader(m.ONNX)); err != nil {
			return fmt.Errorf("store model %s: %w", m.Name, err)
		}
	} else if err != nil {
		return fmt.Errorf("store model %s: %w", m.Name, err)
	}
	for _, object := range slices.Compact([]string{m.object(), m.Name}) { // the latest last
		if info, err := store.GetInfo(ctx, object); err == nil && info.Headers.Get(metaSHA256) == m.SHA256 {
			if old, err := store.GetBytes(ctx, object); err == nil && bytes.Equal(old, m.Manifest) {
				continue
			}
		}
		meta := jetstream.ObjectMeta{Name: object, Description: "manifest", Headers: nats.Header{metaSHA256: {m.SHA256}}}
		if _, err := store.Put(ctx, meta, bytes.NewReader(m.Manifest)); err != nil {
			return fmt.Errorf("store the manifest of %s: %w", m.Name, err)
		}
	}
	return nil
}

// GetModel fetches a model by its name, in an edition or (empty) the latest one,
// and checks the file's hash. The error wraps [ErrNoModel] if the bus does not
// have it.
func (b *Bus) GetModel(ctx context.Context, name, edition string) (*StoredModel, error) {
	m, err := b.GetManifest(ctx, name, edition)
	if err != nil {
		return nil, err
	}
	m.ONNX, err = b.GetModelFile(ctx, m.SHA256)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return m, nil
}

// GetManifest is [Bus.GetModel] without the model's file.
func (b *Bus) GetManifest(ctx context.Context, name, edition string) (_ *StoredModel, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	store, err := b.plant().ObjectStore(ctx, b.subjects.Bucket("models")) // a worker may not make it
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w %s", ErrNoModel, name)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket of models: %w", err)
	}
	m := &StoredModel{Name: name, Edition: edition}
	object, err := store.Get(ctx, m.object())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w %s", ErrNoModel, m.object())
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
	return m, nil
}

// GetModelFile fetches the file with a hash, and checks that.
func (b *Bus) GetModelFile(ctx context.Context, sum string) (_ []byte, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	store, err := b.plant().ObjectStore(ctx, b.subjects.Bucket("models"))
	if err != nil {
		return nil, fmt.Errorf("bucket of models: %w", err)
	}
	data, err := store.GetBytes(ctx, sum)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w with sha256 %.12s…", ErrNoModel, sum)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the file with sha256 %.12s…: %w", sum, err)
	}
	got := sha256.Sum256(data)
	if got := hex.EncodeToString(got[:]); got != sum {
		return nil, fmt.Errorf("the file fetched has sha256 %.12s…, want %.12s…", got, sum)
	}
	return data, nil
}

// DropModel removes an edition of a model that nobody needs any more, and its
// file unless another manifest names it.
func (b *Bus) DropModel(ctx context.Context, name, edition, sum string) (err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	store, err := b.plant().ObjectStore(ctx, b.subjects.Bucket("models"))
	if err != nil {
		return fmt.Errorf("bucket of models: %w", err)
	}
	object := editionObject(name, edition)
	if err := store.Delete(ctx, object); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("remove the manifest %s: %w", object, err)
	}
	infos, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return fmt.Errorf("list the models: %w", err)
	}
	for _, info := range infos {
		if info.Headers.Get(metaSHA256) == sum {
			return nil
		}
	}
	if err := store.Delete(ctx, sum); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("remove the file of %s: %w", object, err)
	}
	return nil
}
