package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrSpoolFull says that the spool has no room for another tensor.
	ErrSpoolFull = errors.New("the spool has reached its limit (bus.spool)")
	// ErrSpoolRefused says that the server is there and cannot store: its disk is
	// full, most likely. It is tried again with a later entry.
	ErrSpoolRefused = errors.New("the spool cannot be written")
	// ErrSpoolLost says that the spool does not have an entry.
	ErrSpoolLost = errors.New("the spool does not have it")
)

// DefaultSpool bounds a host's spool: at 25 frames a second of 640×640 pixels
// in colour about two minutes of one camera.
const DefaultSpool = 4 << 30

const (
	// spoolNotes is room beyond the limit for entries without a body, so that a
	// frame for which there is no room is at least noted.
	spoolNotes = 64 << 20
	// spoolWait bounds each call to the server.
	spoolWait = 5 * time.Second
	// spoolProbe is how often a spool that cannot be written is tried again, and
	// spoolProbeWait how long.
	spoolProbe, spoolProbeWait = 2 * time.Second, 500 * time.Millisecond
	// spoolHeader carries an entry's header.
	spoolHeader = "Vedette-Spool"
)

// Codes of the broker that say that a stream, or its disk, is full.
const (
	errStoreFailed jetstream.ErrorCode = 10077
	errResources   jetstream.ErrorCode = 10023
)

// Spool is the stream in which the lossless frames of a host's live cameras
// wait for inference. Each log in it has one writer and reader, the camera's
// owner, and nothing older than the oldest result that is outstanding. Hosts
// that share a server share its limit. It is safe for concurrent use.
type Spool struct {
	bus    *Bus
	js     jetstream.JetStream
	stream jetstream.Stream
	host   string
	limit  int64

	mu   sync.Mutex
	used int64 // bytes, as the server last said plus what was appended since
	// probeAt is when a spool that cannot be written is tried again; zero: it can.
	probeAt time.Time
}

// OpenSpool opens the spool of host, and makes it if need be. limit bounds its
// bytes; 0 is [DefaultSpool].
func (b *Bus) OpenSpool(ctx context.Context, host string, limit int64) (s *Spool, err error) {
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	if limit <= 0 {
		limit = DefaultSpool
	}
	js, err := jetstream.New(b.tensors, jetstream.WithDefaultTimeout(spoolWait))
	if err != nil {
		return nil, err
	}
	want := jetstream.StreamConfig{
		Name: b.subjects.Stream("work"), Subjects: []string{b.subjects.Work("*", "*", "*")},
		Description: "lossless frames of live cameras that wait for inference",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxBytes: limit + spoolNotes, AllowDirect: true, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Duplicates: 100 * time.Millisecond, // no ids are used; this is the least that the server takes
	}
	if _, err := b.ensureStream(ctx, want, 0); err != nil {
		return nil, err
	}
	s = &Spool{bus: b, js: js, host: host, limit: limit}
	if s.stream, err = js.Stream(ctx, want.Name); err != nil {
		return nil, streamError("stream", want, err)
	}
	s.used = int64(s.stream.CachedInfo().State.Bytes)
	return s, nil
}

// Bytes is what the spool holds, and its limit.
func (s *Spool) Bytes() (used, limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.limit
}

// SpoolEntry is an entry's header under its id; ids ascend.
type SpoolEntry struct {
	ID     uint64
	Header []byte
}

// SpoolLog is the part of a spool for one camera and model.
type SpoolLog struct {
	spool   *Spool
	subject string
}

// Log returns the log of a camera and model.
func (s *Spool) Log(camera, model string) *SpoolLog {
	return &SpoolLog{spool: s, subject: s.bus.subjects.Work(s.host, camera, model)}
}

// Forget removes everything that waits for a camera and model for which keep
// is false, and says how many frames those were.
func (s *Spool) Forget(ctx context.Context, keep func(camera, model string) bool) (frames uint64, err error) {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(s.bus.subjects.WorkOf(s.host)))
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	for subject, n := range info.State.Subjects {
		camera, model, err := s.bus.subjects.ParseWork(s.host, subject)
		if err == nil && keep(camera, model) {
			continue
		}
		if err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return frames, fmt.Errorf("spool: %w", err)
		}
		frames += n
	}
	return frames, s.refresh(ctx)
}

// refresh asks the server how much the spool holds.
func (s *Spool) refresh(ctx context.Context) error {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.mu.Lock()
	s.used = int64(info.State.Bytes)
	s.mu.Unlock()
	return nil
}

// reserve takes room for an entry, if there is room.
func (s *Spool) reserve(n int64, note bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !note && s.used+n > s.limit {
		return fmt.Errorf("%w of %s", ErrSpoolFull, humanize.IBytes(uint64(s.limit)))
	}
	s.used += n
	return nil
}

// turn says how long the next entry may take; false: the spool cannot be
// written, and it is not yet time to try again.
func (s *Spool) turn() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.probeAt.IsZero() && s.bus.storeBroken():
		return spoolProbeWait, true
	case s.probeAt.IsZero():
		return spoolWait, true
	case now.Before(s.probeAt):
		return 0, false
	}
	s.probeAt = now.Add(spoolProbe)
	return spoolProbeWait, true
}

// Writable reports whether the server takes what is appended, as far as is known.
func (s *Spool) Writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probeAt.IsZero()
}

// Append writes an entry and returns when the server has stored it. header is
// JSON. The error wraps [ErrSpoolFull] when there is no room under the limit, and
// [ErrSpoolRefused] when the server is there and cannot store.
func (l *SpoolLog) Append(ctx context.Context, header, body []byte) (id uint64, err error) {
	s, size := l.spool, int64(len(header)+len(body)+100) // about what the store adds
	patience, ok := s.turn()
	if !ok {
		return 0, ErrSpoolRefused
	}
	if err := s.reserve(size, len(body) == 0); err != nil {
		return 0, err
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	within, stop := s.bus.whileStored(within)
	defer stop()
	away := s.bus.tensorsAway.current() // asked for before anything is sent
	msg := &nats.Msg{Subject: l.subject, Header: nats.Header{spoolHeader: {string(header)}}, Data: body}
	ack, err := s.js.PublishMsg(within, msg, jetstream.WithExpectStream(s.stream.CachedInfo().Config.Name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.probeAt = time.Time{}
		return ack.Sequence, nil
	}
	s.used -= size
	var api *jetstream.APIError
	isAPI := errors.As(err, &api)
	switch {
	case isAPI && (api.ErrorCode == errStoreFailed || api.ErrorCode == errResources) && strings.Contains(api.Description, "maximum bytes"):
		return 0, fmt.Errorf("%w: %s", ErrSpoolFull, api.Description)
	case ctx.Err() != nil, away.Err() != nil, !s.bus.tensors.IsConnected(), errors.Is(err, jetstream.ErrNoStreamResponse):
		return 0, fmt.Errorf("spool: %w", err) // nobody is there
	}
	s.probeAt = time.Now().Add(spoolProbe)
	return 0, fmt.Errorf("%w: %w", ErrSpoolRefused, err)
}

// Read returns the body of an entry.
func (l *SpoolLog) Read(ctx context.Context, id uint64) ([]byte, error) {
	m, err := l.spool.stream.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: entry %d", ErrSpoolLost, id)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: entry %d: %w", id, err)
	}
	return m.Data, nil
}

// Trim removes every entry up to id.
func (l *SpoolLog) Trim(ctx context.Context, id uint64) error {
	if err := l.spool.stream.Purge(ctx, jetstream.WithPurgeSubject(l.subject), jetstream.WithPurgeSequence(id+1)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return l.spool.refresh(ctx)
}

// Entries returns what the log holds, in order, without the bodies.
func (l *SpoolLog) Entries(ctx context.Context) ([]SpoolEntry, error) {
	consumer, err := l.spool.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: l.subject, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	defer l.spool.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) //nolint:errcheck // it ends by itself
	left := consumer.CachedInfo().NumPending
	var all []SpoolEntry
	for left > 0 {
		batch, err := consumer.Fetch(int(min(left, 500)), jetstream.FetchMaxWait(spoolWait))
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		got := uint64(0)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return nil, fmt.Errorf("spool: %w", err)
			}
			all = append(all, SpoolEntry{ID: meta.Sequence.Stream, Header: []byte(m.Headers().Get(spoolHeader))})
			got, left = got+1, meta.NumPending
		}
		if err := batch.Error(); err != nil || got == 0 {
			return nil, fmt.Errorf("spool: %d of its entries cannot be read: %w", left, errors.Join(err, ctx.Err()))
		}
	}
	return all, nil
}
