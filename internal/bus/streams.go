package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Limits bound a stream; what is older or too much is dropped. Zero is no
// limit.
type Limits struct {
	Age   time.Duration
	Bytes int64
	// Replicas is how many servers of a cluster keep it; 0: three, or more if
	// there are already, and one where there is no cluster.
	Replicas int
}

// DefaultDetectionLimits keep a day of detections.
func DefaultDetectionLimits() Limits { return Limits{Age: 24 * time.Hour, Bytes: 2 << 30} }

// duplicateWindow is how long the broker recognises a message id again. It
// only guards the short retries of the writer: "exactly one result" rests on
// the expected sequence.
const duplicateWindow = 30 * time.Second

// Codes of the broker that the client library has no names for.
const (
	errNoStorage jetstream.ErrorCode = 10047 // limits beyond what it may store
	errOverlap   jetstream.ErrorCode = 10065 // subjects belong to another stream
	errNoPeers   jetstream.ErrorCode = 10005 // fewer servers than replicas
	errNoCluster jetstream.ErrorCode = 10074 // more than one replica without a cluster
)

// EnsureDetections creates the stream of detections, or brings the limits of
// an existing one up to date. One that exists with settings that cannot be
// changed safely is an error that names them.
func (b *Bus) EnsureDetections(ctx context.Context, limits Limits) (err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	want := b.detections(limits)
	if b.splits {
		b.setApart(&want)
	}
	have, err := b.ensureStream(ctx, want, limits.Replicas)
	if err != nil {
		return err
	}
	b.apart.Store(b.isApart(have))
	b.limits.Store(&limits)
	return b.gather(ctx)
}

// detections is the stream of detections.
func (b *Bus) detections(limits Limits) jetstream.StreamConfig {
	want := jetstream.StreamConfig{
		Name: b.subjects.Stream("detections"), Subjects: []string{b.subjects.Detections()},
		Description: "results of every camera and model, in frame order",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: limits.Age, MaxBytes: limits.Bytes, Duplicates: duplicateWindow, AllowDirect: true,
		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
	}
	if limits.Age > 0 {
		want.Duplicates = min(duplicateWindow, limits.Age)
	}
	if limits.Bytes == 0 {
		want.MaxBytes = -1
	}
	return want
}

// ensureStream makes a stream or brings one up to date, and returns how it is
// set up then; replicas is how many were asked for, or 0.
func (b *Bus) ensureStream(ctx context.Context, want jetstream.StreamConfig, replicas int) (jetstream.StreamConfig, error) {
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = b.replicated(replicas, want.Name, func(n int) error {
			want.Replicas = n
			_, err := b.js.CreateStream(ctx, want)
			return err
		})
		if err == nil {
			return want, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made by another meanwhile
			return want, streamError("create stream", want, err)
		}
		stream, err = b.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return want, streamError("stream", want, err)
	}
	have := stream.CachedInfo().Config
	moved := b.sameIntake(&have, &want)
	if err := differences(have, want); err != nil {
		return have, err
	}
	before := have.Replicas
	raised := b.raise(&have, replicas)
	if !raised && !moved && have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.Duplicates == want.Duplicates && have.AllowDirect == want.AllowDirect {
		return have, nil
	}
	have.MaxAge, have.MaxBytes, have.Duplicates, have.AllowDirect = want.MaxAge, want.MaxBytes, want.Duplicates, want.AllowDirect
	_, err = b.js.UpdateStream(ctx, have)
	if replicas == 0 && fewServers(err) {
		if !noCluster(err) {
			b.log.Warn("the NATS cluster has too few servers for three copies", "stream", want.Name, "copies", before, "error", err)
		}
		have.Replicas = before
		_, err = b.js.UpdateStream(ctx, have)
	}
	if err != nil {
		return have, streamError("update the limits of stream", want, err)
	}
	b.log.Info("stream updated", "stream", want.Name, "age", want.MaxAge, "bytes", want.MaxBytes, "replicas", have.Replicas, "subjects", have.Subjects)
	return have, nil
}

// streamError says what to do about what the broker refuses.
func streamError(doing string, want jetstream.StreamConfig, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == errNoStorage:
		return fmt.Errorf("%w: %s %s: its limit of %s is more than the NATS server may store: lower the stream's retention or raise the server's storage (bus.max_store)",
			ErrConfig, doing, want.Name, humanize.IBytes(uint64(max(want.MaxBytes, 0))))
	case errors.As(err, &api) && api.ErrorCode == errOverlap:
		return fmt.Errorf("%w: %s %s: another stream takes %v already: remove that one, or choose another bus.prefix", ErrConfig, doing, want.Name, want.Subjects)
	case fewServers(err):
		return fmt.Errorf("%w: %s %s: %w: give retention.*.replicas no more than the cluster has servers, or leave it out", ErrConfig, doing, want.Name, api)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %s %s: the NATS server has no JetStream for this login: enable it (nats-server --jetstream)", ErrConfig, doing, want.Name)
	}
	return fmt.Errorf("%s %s: %w", doing, want.Name, err)
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
	differ("the limit of messages", have.MaxMsgs, want.MaxMsgs)
	differ("the limit of messages per subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	differ("the limit of a message's size", have.MaxMsgSize, want.MaxMsgSize)
	differ("no_ack", have.NoAck, want.NoAck)
	differ("sealed", have.Sealed, want.Sealed)
	differ("being a mirror", have.Mirror != nil, false)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stream %s exists with other settings: %w: rename or remove it, or choose another bus.prefix", ErrConfig, have.Name, errors.Join(errs...))
}
