package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/vedette-io/vedette"
)

// Times of who has the hub collect what this host stores.
const (
	// gatherEvery is how often it looks whether the hub does.
	gatherEvery = 2 * time.Second
	// gatherSilence is how long the hub may hear nothing of this host's stream,
	// which sends a sign of life every second.
	gatherSilence = 3 * time.Second
	// nudgeEvery is how often a hub that does not collect is made to.
	nudgeEvery = 15 * time.Second
	// gatherTimeout bounds one question to the hub.
	gatherTimeout = 5 * time.Second
	// gatherComplain is how often it is said that something is wrong.
	gatherComplain = time.Minute
)

// HubState is how it stands with the hub.
type HubState struct {
	// Domain is the hub's JetStream domain.
	Domain string
	// Connected says that the hub answers, since Since.
	Connected bool
	Since     time.Time
	// Collects says that the hub has, or is getting, what this host stored; Waiting
	// is how many detections it lacks, as far as is known.
	Collects bool
	Waiting  uint64
	// Problem is why it does not, or why it is not connected; empty: nothing is
	// wrong, or nobody says.
	Problem string
}

// gatherer has the hub collect what a host stores. The servers do the work; it
// tells the hub of the host's stream, and looks that nothing keeps them from it.
type gatherer struct {
	bus    *Bus
	host   string // JetStream domain
	prefix string // at which the hub asks this host's server
	stream string
	id     string
	state  atomic.Pointer[HubState]
	wg     sync.WaitGroup

	// Of the rounds, which follow each other.
	source     *jetstream.StreamSourceInfo // as the hub has it; nil: it does not
	has        uint64                      // up to where the hub has the stream
	silent     time.Time                   // since when the hub hears nothing; zero: it does
	nudged     time.Time
	complained time.Time
}

// HubState says how it stands with the hub; nil: there is none, or another
// process of this host knows.
func (b *Bus) HubState() *HubState {
	b.gathering.Lock()
	defer b.gathering.Unlock()
	if b.gatherer == nil {
		return nil
	}
	return b.gatherer.state.Load()
}

// gather has the hub collect what this host stores, until the bus is closed.
func (b *Bus) gather(ctx context.Context) error {
	b.gathering.Lock()
	defer b.gathering.Unlock()
	if b.hub == nil || b.hub.served || b.gatherer != nil {
		return nil
	}
	host, err := b.Domain(ctx)
	if err != nil {
		return err
	}
	switch {
	case host == "":
		return fmt.Errorf("%w: hub: the NATS server of this host has no JetStream domain, by which the hub would know it: give it one (domain, in its jetstream block)", ErrConfig)
	case host == b.hub.domain:
		return fmt.Errorf("%w: hub: the NATS server of this host is in the JetStream domain %q itself, as the hub is: give it another (domain, in its jetstream block)", ErrConfig, host)
	}
	g := &gatherer{bus: b, host: host, prefix: cmp.Or(b.hub.pull, "$JS."+host+".API"), id: nuid.Next(), stream: b.subjects.Stream("detections")}
	g.state.Store(&HubState{Domain: b.hub.domain, Since: time.Now()})
	b.gatherer = g
	first, cancelFirst := context.WithTimeout(ctx, gatherTimeout)
	defer cancelFirst()
	g.round(first) // at once, if it is there
	keep, cancel := context.WithCancel(context.Background())
	b.stopGathering = func() { cancel(); g.wg.Wait() }
	g.wg.Go(func() { g.run(keep) })
	return nil
}

func (g *gatherer) run(ctx context.Context) {
	tick := time.NewTicker(gatherEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.round(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// round looks once, and mends what it can.
func (g *gatherer) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*gatherTimeout)
	defer cancel()
	err := g.look(ctx)
	if ctx.Err() != nil && err == nil {
		return
	}
	before := g.state.Load()
	now := *before
	now.Connected, now.Problem = !away(err), ""
	if now.Connected != before.Connected {
		now.Since = time.Now()
	}
	switch {
	case err == nil:
		now.Collects, now.Waiting = g.source != nil && g.silent.IsZero(), g.waiting(ctx)
		if g.source != nil && g.source.Error != nil {
			now.Problem = "the hub cannot read this host's stream: " + g.source.Error.Description
		}
	case away(err):
		now.Collects, now.Waiting = false, g.waiting(ctx)
		if g.bus.server != nil {
			now.Problem = g.bus.server.log.whyAway(now.Since.Add(-gatherComplain))
		}
	default:
		now.Collects, now.Problem = false, err.Error()
	}
	g.state.Store(&now)
	g.tell(before, &now)
}

// tell logs what changed, and now and then what is wrong.
func (g *gatherer) tell(before, now *HubState) {
	log := g.bus.log.With("hub", now.Domain)
	switch {
	case now.Connected && now.Problem != "" && (before.Problem == "" || time.Since(g.complained) >= gatherComplain):
		g.complained = time.Now()
		log.Error("the hub does not collect what is stored here", "reason", now.Problem)
	case now.Connected && !before.Connected:
		log.Info("the hub is there", "waiting", now.Waiting)
	case !now.Connected && (before.Connected || time.Since(g.complained) >= gatherComplain):
		g.complained = time.Now()
		log.Warn("the hub is away; this host goes on, and what it stores waits", "waiting", now.Waiting, "reason", now.Problem)
	}
}

// waiting is how many detections the hub lacks, as far as is known.
func (g *gatherer) waiting(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	stream, err := g.bus.js.Stream(ctx, g.stream)
	if err != nil {
		return 0
	}
	if g.source != nil {
		g.has = g.source.Seq
	}
	s := stream.CachedInfo().State
	return s.LastSeq - min(s.LastSeq, max(g.has, max(s.FirstSeq, 1)-1))
}

// away says that there is nobody who could answer.
func away(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, errAway)
}

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
	if i := g.find(have.Sources); i < 0 || have.Sources[i].External.APIPrefix != g.prefix || !g.bus.isApart(have) {
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

// find looks for this host among what a hub's stream is collected of, also for
// an earlier generation of its store.
func (g *gatherer) find(sources []*jetstream.StreamSource) int {
	own := g.bus.subjects.Pull(g.host, "")
	return slices.IndexFunc(sources, func(s *jetstream.StreamSource) bool {
		return s.External != nil && (s.External.APIPrefix == g.prefix || strings.HasPrefix(s.External.APIPrefix, own) || s.External.APIPrefix == "$JS."+g.host+".API")
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
		_, err := g.bus.hub.js.CreateStream(ctx, want)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return g.enter(ctx) // another host was as quick
	}
	if err == nil {
		g.bus.log.Info("the hub's stream of detections is made", "stream", want.Name)
		return g.known()
	}
	return streamError("create stream", want, err)
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
	if _, err := g.bus.hub.js.UpdateStream(ctx, want); err != nil {
		return streamError("update stream", want, err)
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
