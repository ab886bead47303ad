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

// leaseTimeout bounds one question to the broker.
const leaseTimeout = 3 * time.Second

// ErrHeld says that somebody else has the lease.
var ErrHeld = errors.New("somebody else has the lease")

// Holder is who has a lease.
type Holder struct {
	Instance string       `json:"instance"`
	Host     string       `json:"host"`
	PID      int          `json:"pid"`
	Process  string       `json:"process"` // see package process
	Since    vedette.Time `json:"since"`
	// Domain is where it stores, if that is not where the lease is: it goes on while
	// it is cut off from there, and nothing is heard of it.
	Domain string `json:"domain,omitempty"`
}

// Lease is the right to be the only one who does something.
type Lease struct {
	Key      string
	Holder   Holder
	revision uint64
}

// Leases are kept in a key-value bucket. Who takes one names the revision that
// it found, so that of several at the same moment one gets it. They do not
// expire: whether a holder still lives is for others to find out.
type Leases struct{ kv jetstream.KeyValue }

// Leases opens the bucket, or makes it.
func (b *Bus) Leases(ctx context.Context) (l *Leases, err error) { return b.leases(ctx, b.keyValue) }

// PlantLeases are those of the whole plant, at the hub; without one they are
// [Bus.Leases].
func (b *Bus) PlantLeases(ctx context.Context) (l *Leases, err error) {
	return b.leases(ctx, b.plantKeyValue)
}

func (b *Bus) leases(ctx context.Context, open func(ctx context.Context, kind, about string) (jetstream.KeyValue, error)) (l *Leases, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	ctx, done := b.jetStream(ctx, &err)
	defer done()
	kv, err := open(ctx, "leases", "who captures and who owns each camera")
	if err != nil {
		return nil, fmt.Errorf("bucket of leases: %w", err)
	}
	return &Leases{kv}, nil
}

// Take takes a lease that nobody has. If somebody has it the error is
// [ErrHeld], and the lease is theirs.
func (l *Leases) Take(ctx context.Context, key string, h Holder) (lease *Lease, err error) {
	for range 10 { // it may be taken and returned again and again meanwhile
		lease, err = l.write(ctx, key, h, func(ctx context.Context, data []byte) (uint64, error) {
			return l.kv.Create(ctx, key, data)
		})
		if !errors.Is(err, errFree) {
			break
		}
	}
	return lease, err
}

// Replace takes a lease from its holder, as it was found, or, if it was
// returned meanwhile, as [Leases.Take] does. If it changed hands the error is
// [ErrHeld], and the lease is the new one.
func (l *Leases) Replace(ctx context.Context, old *Lease, h Holder) (*Lease, error) {
	lease, err := l.write(ctx, old.Key, h, func(ctx context.Context, data []byte) (uint64, error) {
		return l.kv.Update(ctx, old.Key, data, old.revision)
	})
	if errors.Is(err, errFree) {
		return l.Take(ctx, old.Key, h)
	}
	return lease, err
}

// errFree says that a lease that was to be replaced is nobody's.
var errFree = errors.New("nobody has the lease")

// taken reports whether a write failed because the lease is not as it was found.
func taken(err error) bool {
	return wrongLast(err) || errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

func (l *Leases) write(ctx context.Context, key string, h Holder, put func(context.Context, []byte) (uint64, error)) (*Lease, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	revision, err := put(within, data)
	if err == nil {
		return &Lease{Key: key, Holder: h, revision: revision}, nil
	}
	// The answer may be lost while the lease was written: who has it now?
	now, findErr := l.Find(ctx, key)
	switch {
	case findErr == nil && now != nil && now.Holder.Instance == h.Instance:
		return now, nil
	case findErr == nil && now != nil && taken(err):
		return now, ErrHeld
	case findErr == nil && taken(err):
		return nil, fmt.Errorf("lease %s: %w", key, errFree)
	}
	return nil, fmt.Errorf("lease %s: %w", key, err)
}

// Find returns a lease, or nil if nobody has it.
func (l *Leases) Find(ctx context.Context, key string) (*Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	entry, err := l.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lease %s: %w", key, err)
	}
	found := Lease{Key: key, revision: entry.Revision()}
	// One that cannot be read has a holder of whom nothing is heard.
	_ = json.Unmarshal(entry.Value(), &found.Holder)
	return &found, nil
}

// Return gives a lease back, unless somebody else has it by now.
func (l *Leases) Return(ctx context.Context, lease *Lease) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	err := l.kv.Delete(ctx, lease.Key, jetstream.LastRevision(lease.revision))
	if err == nil || taken(err) {
		return nil
	}
	return fmt.Errorf("lease %s: %w", lease.Key, err)
}
