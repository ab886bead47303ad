package pipeline

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
)

// newInstance names this process's part on the bus: the host, and what tells
// it from others there and from those before it.
func newInstance(host string) string {
	const most = 48 // an id has 64 characters at most
	return host[:min(len(host), most)] + "-" + strconv.FormatUint(rand.Uint64N(1<<40)|1<<39, 36)
}

// announce tells everybody that this instance lives, until ctx ends. Who is
// born is answered at once, so that it need not wait to know the others.
func (p *Pipeline) announce(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.roster.sweep()
		case <-p.asked:
		case <-ctx.Done():
			return
		}
		p.say(Health)
	}
}

// announceSoon has the status published at once.
func (p *Pipeline) announceSoon() {
	select {
	case p.asked <- struct{}{}:
	default: // about to be
	}
}

// say publishes this instance's status. One that is lost is followed by
// another.
func (p *Pipeline) say(state string) {
	s := p.Status()
	s.State = state
	p.roster.note(&s)
	data, err := json.Marshal(s)
	if err == nil {
		err = p.bus.Publish(p.bus.Subjects().Status(s.Stage, s.Instance), data)
	}
	if err != nil {
		p.deps.Log.Debug("status not published", "error", err)
	}
}

// follow keeps the roster up to date.
func (p *Pipeline) follow() error {
	stop, err := p.bus.Subscribe(p.bus.Subjects().Statuses(), func(_ string, data []byte) {
		var s Status
		if err := json.Unmarshal(data, &s); err != nil || s.Instance == "" || s.Instance == p.instance {
			return // our own, or of a version that this one does not know
		}
		p.roster.note(&s)
		if s.State == Birth {
			p.announceSoon()
		}
	})
	if err != nil {
		return err
	}
	p.stops = append(p.stops, stop)
	return nil
}

// leave tells the owners to send nothing more, and waits until what is here
// was answered, or ctx ends.
func (p *Pipeline) leave(ctx context.Context) {
	if len(p.services()) == 0 || p.roster == nil || !p.roster.others() {
		return
	}
	p.leaving.Store(true)
	p.say(Health)
	const look = 10 * time.Millisecond
	for idle := 0; idle < 5; idle++ { // what is on its way here comes within that time
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
		if !p.idle() {
			idle = 0
		}
	}
}

// discover makes the instance known to the NATS micro services API.
func (p *Pipeline) discover() error {
	stop, err := p.bus.AddService(bus.ServiceName, p.deps.Version,
		map[string]string{"stage": p.cfg.Stages.name(), "host": p.cfg.Host, "site": p.cfg.Site, "instance": p.instance},
		func() any { return p.Status() })
	if err != nil {
		return err
	}
	p.stops = append(p.stops, stop)
	return nil
}
