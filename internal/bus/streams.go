package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Limits bound a stream; what is older or too much is dropped.
type Limits struct {
	Age   time.Duration
	Bytes int64
}

// DefaultDetectionLimits keep a day of detections.
func DefaultDetectionLimits() Limits { return Limits{Age: 24 * time.Hour, Bytes: 2 << 30} }

// duplicateWindow is how long the broker recognises a message id again. It
// only guards the short retries of the writer: "exactly one result" rests on
// the expected sequence.
const duplicateWindow = 30 * time.Second

// EnsureDetections creates the stream of detections, or brings the limits of
// an existing one up to date. One that exists with settings that cannot be
// changed safely is an error that names them.
func (b *Bus) EnsureDetections(ctx context.Context, limits Limits) error {
	want := jetstream.StreamConfig{
		Name: b.subjects.Stream("detections"), Subjects: []string{b.subjects.Detections()},
		Description: "results of every camera and model, in frame order",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: limits.Age, MaxBytes: limits.Bytes, Duplicates: min(duplicateWindow, limits.Age), AllowDirect: true,
	}
	return b.ensureStream(ctx, want)
}

func (b *Bus) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = b.js.CreateStream(ctx, want); err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made by another meanwhile
			return fmt.Errorf("create stream %s: %w", want.Name, err)
		}
		stream, err = b.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	have := stream.CachedInfo().Config
	if err := differences(have, want); err != nil {
		return err
	}
	if have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.Duplicates == want.Duplicates && have.AllowDirect == want.AllowDirect {
		return nil
	}
	have.MaxAge, have.MaxBytes, have.Duplicates, have.AllowDirect = want.MaxAge, want.MaxBytes, want.Duplicates, want.AllowDirect
	if _, err := b.js.UpdateStream(ctx, have); err != nil {
		return fmt.Errorf("update the limits of stream %s: %w", want.Name, err)
	}
	b.log.Info("stream limits updated", "stream", want.Name, "age", want.MaxAge, "bytes", want.MaxBytes)
	return nil
}

// differences reports the settings that decide what a stream is.
func differences(have, want jetstream.StreamConfig) error {
	var errs []error
	differ := func(what string, have, want any) {
		if fmt.Sprint(have) != fmt.Sprint(want) {
			errs = append(errs, fmt.Errorf("%s is %v, vedette needs %v", what, have, want))
		}
	}
	differ("subjects", have.Subjects, want.Subjects)
	differ("storage", have.Storage, want.Storage)
	differ("retention", have.Retention, want.Retention)
	differ("discard", have.Discard, want.Discard)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("stream %s exists with other settings: %w: rename or remove it, or choose another bus.prefix", have.Name, errors.Join(errs...))
}
