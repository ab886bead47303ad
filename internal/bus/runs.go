package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
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
func (b *Bus) SourceRun(ctx context.Context, camera string) (*SourceRun, error) {
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
func (b *Bus) PutSourceRun(ctx context.Context, camera string, r SourceRun) error {
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
	kv, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: b.subjects.Bucket("runs"), Description: "how far finite sources were read",
	})
	if err != nil {
		return nil, fmt.Errorf("bucket of the runs of sources: %w", err)
	}
	return kv, nil
}

// LastDetection returns the last stored detection of a camera and model, or
// nil if there is none.
func (b *Bus) LastDetection(ctx context.Context, camera, model string) (*vedette.Detection, error) {
	msg, err := b.lastDetection(ctx, b.subjects.Detection(camera, model))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil || msg == nil {
		return nil, err
	}
	var d vedette.Detection
	if err := json.Unmarshal(msg.Data, &d); err != nil {
		return nil, fmt.Errorf("last detection of %s: %w", camera, err)
	}
	return &d, nil
}

func (b *Bus) lastDetection(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	name := b.subjects.Stream("detections")
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}
