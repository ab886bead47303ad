package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
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
		now.Collects, now.Waiting, now.Problem = false, g.waiting(ctx), g.whyAway(now.Since)
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
	case !now.Connected && (before.Connected || (before.Problem == "" && now.Problem != "") || time.Since(g.complained) >= gatherComplain):
		g.complained = time.Now()
		log.Warn("the hub is away; this host goes on, and what it stores waits", "waiting", now.Waiting, "reason", now.Problem)
	}
}

// hubSilent is a hub that does not say why it is not connected.
const hubSilent = "it ends the connection, or says nothing: is that the address at which it takes leaf nodes, and does it speak TLS there if and only if bus.hub.url begins with tls://?"

func noHubDomain(domain string) string {
	return fmt.Sprintf("it is connected, but no JetStream answers there in the domain %s: check bus.hub.domain, and domain in the jetstream block of its configuration", domain)
}

func noHubBehind(domain string) string {
	return fmt.Sprintf("no JetStream answers in the domain %s: is the server of this host connected to the hub as a leaf node, and is that the hub's domain (bus.hub.domain)?", domain)
}

// whyAway is why the hub does not answer, which it does not since a time.
func (g *gatherer) whyAway(since time.Time) string {
	if g.bus.server == nil { // another one on this host knows
		return noHubBehind(g.bus.hub.domain)
	}
	if g.bus.server.server.NumLeafNodes() > 0 {
		return noHubDomain(g.bus.hub.domain)
	}
	why := g.bus.server.log.whyAway(since.Add(-gatherComplain))
	if why == "" && time.Since(since) > gatherTimeout {
		why = hubSilent
	}
	return why
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
