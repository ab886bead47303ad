package pipeline

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/models"
)

// Times of the roster.
const (
	// announceEvery is how often an instance says that it lives.
	announceEvery = time.Second
	// silenceLimit is how long an instance may say nothing before it counts as
	// dead. A process that was killed is noticed at once, by a request that
	// nobody takes.
	silenceLimit = 3 * time.Second
)

// roster knows which instances live, from what they announce, and which of
// them a tensor should go to.
//
// Each instance that runs models hands out credits: how many requests it wants
// at a time. What all living instances of a model hand out is shared evenly
// among the owners that use the model, so that no owner's cameras starve
// another's, and each owner gives a tensor to the instance that has most of
// its credits left. An owner that is alone uses them all. A camera whose newest
// frame wins gets no more of a model's credits than runs are made at once: what
// it sends beyond that would wait for a run and grow old.
type roster struct {
	self string
	log  *slog.Logger
	now  func() time.Time
	// changed is told of this owner's share of a model's credits, and of how
	// many a camera whose newest frame wins may have. It is called with the
	// roster locked.
	changed func(model string, credits, each int)

	mu      sync.Mutex
	news    chan struct{}        // closed, and made anew, with each announcement
	died    map[string]time.Time // who said lately that it stops
	members map[string]*member
	models  map[string]serving // those this owner uses, by name
	shares  map[string]share
}

// share is what an owner may have under way of one model.
type share struct{ credits, each int }

// member is a living instance.
type member struct {
	seen  time.Time
	host  string
	apart atomic.Bool // it cannot read this process's memory, though on one host
	gives map[serving]*ModelStatus
	uses  map[serving]string // models whose tensors it makes, or wants to: how
	busy  map[serving]int    // requests of this owner that it has
	ctx   context.Context    // ends with the member
	lose  context.CancelFunc
}

// serving is an edition of a model as an instance has it.
type serving struct{ model, sha256, edition string }

// servingOf is the edition of a model.
func servingOf(name string, m *models.Model) serving {
	return serving{name, m.Report.SHA256, m.Edition()}
}

// credits are those that the member hands out for a model.
func (m *member) credits(s serving) int {
	if g := m.gives[s]; g != nil {
		return g.Credits
	}
	return 0
}

// note takes what the member announces of its models.
func (m *member) note(s *Status) {
	m.gives, m.uses = map[serving]*ModelStatus{}, map[serving]string{}
	for i := range s.Models {
		model := &s.Models[i]
		key := serving{model.Name, model.SHA256, model.Edition}
		if m.credits(key) == 0 { // else one that leaves, and this one is in its place
			m.gives[key] = model
		}
	}
	for _, u := range s.Uses {
		m.uses[serving{u.Name, u.SHA256, u.Edition}] = u.State
	}
}

func newRoster(self string, log *slog.Logger) *roster {
	return &roster{
		self: self, log: log, now: time.Now, changed: func(string, int, int) {},
		members: map[string]*member{}, models: map[string]serving{}, shares: map[string]share{}, news: make(chan struct{}), died: map[string]time.Time{},
	}
}

// await waits until each of the instances has said, after began, that it lives
// or that it stops, or until ctx ends. It returns those that do not live.
func (r *roster) await(ctx context.Context, instances map[string]bool, began time.Time) (silent map[string]bool) {
	for {
		silent = map[string]bool{}
		open := false
		r.mu.Lock()
		for id := range instances {
			if m := r.members[id]; m == nil || !m.seen.After(began) {
				silent[id] = true
				open = open || !r.died[id].After(began)
			}
		}
		news := r.news
		r.mu.Unlock()
		if !open {
			return silent
		}
		select {
		case <-news:
		case <-ctx.Done():
			return silent
		}
	}
}

// own makes this process an owner.
func (r *roster) own(changed func(model string, credits, each int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = changed
}

// use says that this owner uses a model, in this edition and no other one.
func (r *roster) use(s serving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.models[s.model] = s
	delete(r.shares, s.model) // the owner is told anew
	r.divide()
}

// drop says that this owner uses a model no more.
func (r *roster) drop(model string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.models, model)
	delete(r.shares, model)
}

// used is the edition of a model that this owner uses.
func (r *roster) used(model string) serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.models[model]
}

// awaits returns a channel that is closed with the next announcement.
func (r *roster) awaits() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

// served reports whether some instance serves an edition, and whether each one
// that serves another edition serves it, too.
func (r *roster) served(now, before serving) (some, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = true
	for _, m := range r.members {
		switch {
		case m.credits(now) > 0:
			some = true
		case m.credits(before) > 0:
			all = false
		}
	}
	return some, all
}

// users are the instances that use an edition of a model, or are about to.
func (r *roster) users(s serving) (instances []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if _, uses := m.uses[s]; uses {
			instances = append(instances, id)
		}
	}
	slices.Sort(instances)
	return instances
}

// wanted are the editions of a model that owners use, or are about to.
func (r *roster) wanted(model string) []serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []serving
	for _, m := range r.members {
		for s, how := range m.uses {
			if s.model == model && how != UseLeaving && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// note takes one announcement.
func (r *roster) note(s *Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
	m := r.members[s.Instance]
	if s.State == Death {
		r.died[s.Instance] = r.now()
		r.remove(s.Instance, "it stopped")
		return
	}
	if m == nil {
		m = &member{host: s.Host, busy: map[serving]int{}}
		m.ctx, m.lose = context.WithCancel(context.Background())
		r.members[s.Instance] = m
	}
	m.seen = r.now()
	m.note(s)
	r.divide()
}

// sweep removes who was silent for too long.
func (r *roster) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if id != r.self && r.now().Sub(m.seen) > silenceLimit {
			r.remove(id, "it is silent")
		}
	}
	for id, at := range r.died {
		if r.now().Sub(at) > ghostPatience {
			delete(r.died, id)
		}
	}
}

// gone says that nobody answers at m any more.
func (r *roster) gone(id string, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[id] == m {
		r.remove(id, "it takes no requests")
	}
}

// remove forgets an instance; requests that it has end. mu is held.
func (r *roster) remove(id, why string) {
	m := r.members[id]
	if m == nil {
		return
	}
	m.lose()
	delete(r.members, id)
	if len(m.gives) > 0 && id != r.self {
		r.log.Info("workers are gone", "instance", id, "reason", why)
	}
	r.divide()
}

// divide works out what this owner may have under way. mu is held.
func (r *roster) divide() {
	for model, key := range r.models {
		total, runs, owners := 0, 0, []string{r.self}
		for id, m := range r.members {
			if n := m.credits(key); n > 0 {
				total += n
				runs += m.gives[key].Workers
			}
			if m.uses[key] == UseNow && id != r.self {
				owners = append(owners, id)
			}
		}
		slices.Sort(owners)
		now := share{total / len(owners), runs}
		if slices.Index(owners, r.self) < total%len(owners) {
			now.credits++
		}
		if old, known := r.shares[model]; !known || old != now {
			r.shares[model] = now
			r.changed(model, now.credits, now.each)
		}
	}
}

// pick chooses the instance for the next tensor of a model: of those with most
// credits left the first one behind this owner's own name, so that owners do
// not all begin with the same one. The member is nil if nobody serves the model. done gives
// the credit back.
func (r *roster) pick(s serving) (id string, m *member, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	best, behind := 0, false
	for other, o := range r.members {
		credits := o.credits(s)
		if credits == 0 {
			continue
		}
		left, after := credits-o.busy[s], other >= r.self
		switch {
		case m == nil, left > best:
		case left < best, behind && !after:
			continue
		case behind == after && other > id:
			continue
		}
		id, m, best, behind = other, o, left, after
	}
	if m == nil {
		return "", nil, nil
	}
	m.busy[s]++
	return id, m, func() {
		r.mu.Lock()
		if m.busy[s]--; m.busy[s] == 0 {
			delete(m.busy, s)
		}
		r.mu.Unlock()
	}
}

// out says why a model was taken out; empty: it is served, or nobody has it, or
// it is about to come back.
func (r *roster) out(s serving) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	why := ""
	for _, m := range r.members {
		switch g := m.gives[s]; {
		case g == nil:
		case g.State == string(infer.StateOut):
			why = max(why, g.Reason) // always the same of several
		default:
			return ""
		}
	}
	return why
}

// others reports whether anybody else lives.
func (r *roster) others() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.members {
		if id != r.self {
			return true
		}
	}
	return false
}

// close ends all members.
func (r *roster) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		m.lose()
		delete(r.members, id)
	}
}
