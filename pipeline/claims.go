package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/proc"
)

// Times of the claims.
const (
	// ghostPatience is how long the holder of a lease may say nothing, asked
	// whether it lives, before somebody else takes its place.
	ghostPatience = 5 * time.Second
	// keepEvery is how often a holder looks whether its leases are still its own.
	keepEvery = 2 * time.Second
)

// ErrOwned is wrapped when a camera belongs to another instance on the bus.
var ErrOwned = errors.New("already")

// OwnedError says which cameras belong to which other instance.
type OwnedError struct {
	Cameras  []string
	Instance string
	Host     string
	PID      int
	Captured bool // captured there; else owned
	// Silent says that nothing is heard of that host, which goes on by itself when
	// it is cut off.
	Silent bool
}

func (e *OwnedError) Error() string {
	what, is, it, ids := "camera", "is", "it", "another id"
	if len(e.Cameras) > 1 {
		what, is, it, ids = "cameras", "are", "them", "other ids"
	}
	done := "owned"
	if e.Captured {
		done = "captured"
	}
	if e.Silent {
		return fmt.Sprintf("%s %s %s %s %v, by the instance %s on the host %s (process %d), of which nothing is heard: it may be cut off and at work; if that host is gone for good, say so with vedette forget %s, else leave %s out here, or give %s %s",
			what, strings.Join(e.Cameras, ", "), is, done, ErrOwned, e.Instance, e.Host, e.PID, e.Host, it, it, ids)
	}
	return fmt.Sprintf("%s %s %s %s %v, by the instance %s on the host %s (process %d): stop that one, leave %s out here, or give %s %s",
		what, strings.Join(e.Cameras, ", "), is, done, ErrOwned, e.Instance, e.Host, e.PID, it, it, ids)
}

func (e *OwnedError) Unwrap() error { return ErrOwned }

// claims make this process the only one on the bus that captures its cameras
// and that owns them.
//
// What counts is a lease, which one of several gets who start at the same
// moment. It does not run out: a holder that is busy, or cut off for a while,
// keeps it, and the ghost of one that was killed is found out when somebody
// wants its place: by the process that is gone, where it was on this machine, or
// by nobody's answering for it when all on the bus are asked. A holder that was
// taken for dead sees that from its lease and gives in.
//
// A host that is a leaf node of a hub has leases of its own and of the plant.
// Those of the host keep its processes apart, whether the hub is there or not;
// those of the plant keep hosts apart: taken when the hub is there, at the start
// or later, and then who came later gives in. The silence of such a host says
// nothing: it may be cut off, and goes on. So nobody takes its place.
type claims struct {
	open   func(context.Context) (*bus.Leases, error)
	roster *roster
	ask    func() // has everybody on the bus say that they live
	self   bus.Holder
	log    *slog.Logger
	plant  *claims // those of the plant; nil: these are

	// changing is held while leases are taken, looked at or returned, so that
	// none is taken again while it is returned.
	changing sync.Mutex

	mu     sync.Mutex
	leases *bus.Leases
	// held are the leases of this process by key; nil is one that could not be
	// written, since the store takes nothing, and will be tried again.
	held map[string]*bus.Lease
}

// Kinds of leases; a key is one of them and the camera.
const (
	ownerKey   = "owner."
	captureKey = "capture."
)

func cameraOf(key string) string {
	_, camera, _ := strings.Cut(key, ".")
	return camera
}

// take makes this process the one for all keys, or none: then the error is an
// [OwnedError]. What is held already stays held.
func (c *claims) take(ctx context.Context, keys ...string) error {
	if c == nil {
		return nil
	}
	keys = slices.DeleteFunc(slices.Clone(keys), c.has)
	c.changing.Lock()
	err := c.obtain(ctx, slices.Clone(keys))
	c.changing.Unlock()
	if err == nil {
		err = c.plant.take(ctx, keys...)
	}
	if err != nil {
		c.giveBack(context.WithoutCancel(ctx), keys...)
	}
	return err
}

// obtain is take for keys that are not held. Everybody takes them in the same
// order, and none behind one that another has: so of two who want the same
// cameras one gets them all. changing is held.
func (c *claims) obtain(ctx context.Context, keys []string) error {
	slices.Sort(keys)
	for len(keys) > 0 {
		leases, err := c.bucket(ctx)
		var lease *bus.Lease
		if err == nil {
			lease, err = leases.Take(ctx, keys[0], c.self)
		}
		if leases == nil && c.self.Domain != "" && ctx.Err() == nil { // the hub is away: none can be taken
			for _, key := range keys {
				c.keep(key, nil, err)
			}
			return nil
		}
		if errors.Is(err, bus.ErrHeld) {
			if keys, err = c.inherit(ctx, leases, lease, keys); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.keep(keys[0], lease, err)
		keys = keys[1:]
	}
	return nil
}

// inherit takes the leases of holders that are gone: first, which is that of
// keys[0], and those of the other keys. left are the keys that are to be taken
// again. If some holder lives, nothing is taken.
func (c *claims) inherit(ctx context.Context, leases *bus.Leases, first *bus.Lease, keys []string) (left []string, err error) {
	found := []*bus.Lease{first}
	for _, key := range keys[1:] {
		lease, err := leases.Find(ctx, key)
		if err == nil && lease != nil && lease.Holder.Instance != c.self.Instance {
			found = append(found, lease)
			continue
		}
		left = append(left, key)
	}
	living, err := c.living(ctx, found)
	if err != nil {
		return nil, err
	}
	if refused := slices.DeleteFunc(slices.Clone(found), func(l *bus.Lease) bool { return !living[l.Holder.Instance] }); len(refused) > 0 {
		return nil, owned(refused, false)
	}
	if silent := slices.DeleteFunc(slices.Clone(found), func(l *bus.Lease) bool { return l.Holder.Domain == "" || l.Holder.Host == c.self.Host }); len(silent) > 0 {
		return nil, owned(silent, true)
	}
	for _, ghost := range found {
		lease, err := leases.Replace(ctx, ghost, c.self)
		switch {
		case errors.Is(err, bus.ErrHeld): // somebody else was as quick
			left = append(left, ghost.Key)
			continue
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil:
			c.log.Info("goes on for an instance that is gone", "lease", ghost.Key, "instance", ghost.Holder.Instance, "host", ghost.Holder.Host)
		}
		c.keep(ghost.Key, lease, err)
	}
	slices.Sort(left)
	return left, nil
}

// living tells which of the holders live.
func (c *claims) living(ctx context.Context, found []*bus.Lease) (map[string]bool, error) {
	asked := map[string]bool{}
	for _, lease := range found {
		if h := lease.Holder; h.Instance != "" && !proc.Gone(h.Process) {
			asked[h.Instance] = true
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	began := c.roster.now()
	c.ask()
	within, cancel := context.WithTimeout(ctx, ghostPatience)
	defer cancel()
	silent := c.roster.await(within, asked, began)
	for instance := range silent {
		delete(asked, instance)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return asked, nil
}

// owned makes errors of leases, one for each holder.
func owned(leases []*bus.Lease, silent bool) error {
	by := map[string]*OwnedError{}
	slices.SortFunc(leases, func(a, b *bus.Lease) int { return strings.Compare(a.Key, b.Key) })
	for _, l := range leases {
		e := by[l.Holder.Instance]
		if e == nil {
			e = &OwnedError{Instance: l.Holder.Instance, Host: l.Holder.Host, PID: l.Holder.PID, Captured: true, Silent: silent}
			by[l.Holder.Instance] = e
		}
		e.Captured = e.Captured && strings.HasPrefix(l.Key, captureKey)
		if camera := cameraOf(l.Key); !slices.Contains(e.Cameras, camera) {
			e.Cameras = append(e.Cameras, camera)
		}
	}
	var errs []error
	for _, instance := range slices.Sorted(maps.Keys(by)) {
		errs = append(errs, by[instance])
	}
	return errors.Join(errs...)
}

// lost looks whether the leases are still this process's own, takes those that
// are not written yet, and returns who has the others now.
func (c *claims) lost(ctx context.Context) map[string]*OwnedError {
	lost := map[string]*OwnedError{}
	if c.plant != nil {
		maps.Copy(lost, c.plant.lost(ctx))
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	held := maps.Clone(c.held)
	c.mu.Unlock()
	for key, lease := range held {
		leases, err := c.bucket(ctx)
		var now *bus.Lease
		if err == nil {
			now, err = leases.Find(ctx, key)
		}
		switch {
		case err != nil:
			return lost // the bus or its store is away: nobody else can take one either
		case now != nil && now.Holder.Instance == c.self.Instance:
			c.keep(key, now, nil)
			continue
		case now != nil && lease != nil:
			err = owned([]*bus.Lease{now}, false)
		default: // not written yet, or gone with the broker's store
			err = c.obtain(ctx, []string{key})
		}
		var o *OwnedError
		if errors.As(err, &o) {
			lost[key] = o
		}
	}
	return lost
}

// bucket opens the bucket once.
func (c *claims) bucket(ctx context.Context) (*bus.Leases, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases == nil {
		leases, err := c.open(ctx)
		if err != nil {
			return nil, err
		}
		c.leases = leases
	}
	return c.leases, nil
}

func (c *claims) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.held[key]
	return held
}

// keep notes a lease. A store that is full must not keep a camera from being
// watched: then it goes without.
func (c *claims) keep(key string, lease *bus.Lease, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.held[key]
	if err != nil {
		lease = nil
		if !known || before != nil {
			c.log.Warn("the lease of a camera cannot be written: a second instance for it would not be refused", "lease", key, "error", err)
		}
	}
	c.held[key] = lease
}

func (c *claims) forget(key string) *bus.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	lease := c.held[key]
	delete(c.held, key)
	return lease
}

// close returns all leases.
func (c *claims) close(ctx context.Context) {
	if c == nil {
		return
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	keys := slices.Collect(maps.Keys(c.held))
	c.mu.Unlock()
	c.leave(ctx, keys)
	c.plant.close(ctx)
}

// giveBack returns leases.
func (c *claims) giveBack(ctx context.Context, keys ...string) {
	if c == nil {
		return
	}
	c.plant.giveBack(ctx, keys...)
	c.changing.Lock()
	defer c.changing.Unlock()
	c.leave(ctx, keys)
}

// leave returns leases. What cannot be returned is taken by whoever finds this
// process gone. changing is held.
func (c *claims) leave(ctx context.Context, keys []string) {
	for _, key := range keys {
		lease := c.forget(key)
		if lease == nil || ctx.Err() != nil {
			continue
		}
		if err := c.leases.Return(ctx, lease); err != nil {
			c.log.Debug("lease not returned", "lease", key, "error", err)
		}
	}
}
