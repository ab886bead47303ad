package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// look asks the hub for its stream and what it knows of this host.
func (g *gatherer) look(ctx context.Context) error {
	g.source = nil
	info, err := g.ask(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return g.create(ctx)
	case err != nil:
		return err
	}
	have := info.Config
	if i := g.find(have.Sources); i < 0 || have.Sources[i].External.APIPrefix != g.prefix || !g.bus.isApart(have) || understood(have) != nil {
		return g.enter(ctx)
	}
	if err := g.known(); err != nil {
		return err
	}
	for _, s := range info.Sources {
		if s.External != nil && s.External.APIPrefix == g.prefix {
			g.source = s
		}
	}
	if g.source == nil {
		return nil // the hub is about to begin
	}
	if g.source.Active >= 0 && g.source.Active < gatherSilence {
		g.silent = time.Time{}
		return nil
	}
	return g.nudge(ctx)
}

func (g *gatherer) ask(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	if !g.bus.control.IsConnected() {
		return nil, errAway
	}
	stream, err := g.bus.hub.js.Stream(ctx, g.stream)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// find looks for this host among what a hub's stream is collected of.
func (g *gatherer) find(sources []*jetstream.StreamSource) int {
	if i := slices.IndexFunc(sources, func(s *jetstream.StreamSource) bool { return s.External != nil && s.External.APIPrefix == g.prefix }); i >= 0 {
		return i
	}
	return g.bus.sourceOf(sources, g.host)
}

// sourceOf looks for a host among what a hub's stream is collected of, for
// whichever generation of its store.
func (b *Bus) sourceOf(sources []*jetstream.StreamSource, host string) int {
	own := b.subjects.Pull(host, "")
	return slices.IndexFunc(sources, func(s *jetstream.StreamSource) bool {
		return s.External != nil && (strings.HasPrefix(s.External.APIPrefix, own) || s.External.APIPrefix == "$JS."+host+".API")
	})
}

// own is this host's entry, from start on.
func (g *gatherer) own(start uint64) *jetstream.StreamSource {
	return &jetstream.StreamSource{
		// Without a start, a hub that has removed old messages would begin with those
		// of the time of its newest.
		Name: g.stream, OptStartSeq: start,
		External: &jetstream.ExternalStream{APIPrefix: g.prefix, DeliverPrefix: g.bus.subjects.Gather(g.host)},
	}
}

// create makes the hub's stream: with the limits of this host's, which whoever
// runs the hub may change.
func (g *gatherer) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	limits := g.bus.limits.Load()
	if limits == nil {
		return nil // about to be
	}
	want := g.bus.detections(*limits)
	g.bus.setApart(&want)
	want.Sources = []*jetstream.StreamSource{g.own(1)}
	err := g.bus.replicatedAtPlant(limits.Replicas, want.Name, func(n int) error {
		want.Replicas = n
		made, err := g.bus.hub.js.CreateStream(ctx, want)
		if err == nil {
			err = understood(made.CachedInfo().Config)
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return g.enter(ctx) // another host was as quick
	}
	if err == nil {
		g.bus.log.Info("the hub's stream of detections is made", "stream", want.Name)
		return g.known()
	}
	return hubError("create stream", want, err)
}

// known notes that the hub has this host's entry.
func (g *gatherer) known() error {
	if g.bus.pulls == nil {
		return nil
	}
	return g.bus.pulls.known()
}

// enter puts this host's entry into the hub's stream: a new one, or in place of
// one of an earlier generation.
func (g *gatherer) enter(ctx context.Context) error {
	return g.alone(ctx, func() error {
		info, err := g.ask(ctx)
		if err != nil {
			return err
		}
		want := info.Config
		if err := g.bus.joinable(&want); err != nil {
			return err
		}
		start := uint64(1)
		if i := g.find(want.Sources); i >= 0 {
			if old := want.Sources[i].External.APIPrefix; old != g.prefix && g.bus.pulls != nil {
				start = g.bus.pulls.start(seen(info, old))
				g.bus.log.Warn("the numbers of this host's stream may have been given again: the hub is told", "from", start)
			}
			want.Sources = slices.Delete(slices.Clone(want.Sources), i, i+1)
		}
		want.Sources = append(slices.Clone(want.Sources), g.own(start))
		if err := g.update(ctx, want); err != nil {
			return err
		}
		g.bus.log.Info("the hub collects what is stored here", "stream", g.stream, "host", g.host)
		return g.known()
	})
}

// seen is up to where a hub has a source.
func seen(info *jetstream.StreamInfo, prefix string) uint64 {
	for _, s := range info.Sources {
		if s.External != nil && s.External.APIPrefix == prefix {
			return s.Seq
		}
	}
	return 0
}

// nudge makes the hub ask again. By itself it does so only after half a minute,
// and after a long outage every two: its question was lost with the connection,
// and it waits for the answer. A source that is taken out and put in again is
// asked at once, and goes on where the hub's stream has it.
func (g *gatherer) nudge(ctx context.Context) error {
	switch {
	case g.silent.IsZero():
		g.silent = time.Now()
		return nil
	case time.Since(g.silent) < gatherSilence, time.Since(g.nudged) < nudgeEvery:
		return nil
	}
	g.nudged = time.Now()
	return g.alone(ctx, func() error {
		info, err := g.ask(ctx)
		if err != nil {
			return err
		}
		want := info.Config
		i := g.find(want.Sources)
		if i < 0 {
			return nil // the next round puts it in
		}
		all := want.Sources
		want.Sources = slices.Delete(slices.Clone(all), i, i+1)
		if err := g.update(ctx, want); err != nil {
			return err
		}
		want.Sources = all
		return g.update(ctx, want)
	})
}

func (g *gatherer) update(ctx context.Context, want jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	have, err := g.bus.hub.js.UpdateStream(ctx, want)
	if err != nil {
		return hubError("update stream", want, err)
	}
	return understood(have.CachedInfo().Config)
}

// errHubOld is a hub that does not know what collecting needs.
var errHubOld = errors.New("the NATS server of the hub is too old to collect: it has to be 2.10 or newer")

// hubError is what the hub says of its stream.
func hubError(action string, want jetstream.StreamConfig, err error) error {
	if errors.Is(err, jetstream.ErrStreamSubjectTransformNotSupported) || errors.Is(err, errHubOld) {
		return errHubOld
	}
	return streamError(action, want, err)
}

// understood reports a hub that leaves out what it does not know.
func understood(have jetstream.StreamConfig) error {
	if have.SubjectTransform == nil {
		return errHubOld
	}
	return nil
}

// alone keeps two hosts from changing the hub's stream at the same time, each
// without what the other one does. One that was killed at it is waited for, but
// not for long.
func (g *gatherer) alone(ctx context.Context, change func() error) error {
	leases, err := g.bus.PlantLeases(ctx)
	if err != nil {
		return err
	}
	self := Holder{Instance: g.id, Host: g.host, Since: vedette.At(time.Now())}
	key := "gather." + g.stream
	lease, err := leases.Take(ctx, key, self)
	for began := time.Now(); errors.Is(err, ErrHeld); {
		if time.Since(began) >= gatherTimeout {
			lease, err = leases.Replace(ctx, lease, self)
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		lease, err = leases.Take(ctx, key, self)
	}
	if err != nil {
		return err
	}
	return errors.Join(change(), leases.Return(ctx, lease))
}
