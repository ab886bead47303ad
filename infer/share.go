package infer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/vedette-io/vedette/internal/engine"
)

// Times of a [Share].
const (
	// linger is how long a model may be without work before it counts as idle;
	// an idle model saves up nothing for later.
	linger = 50 * time.Millisecond
	// patience is the longest that a slot is kept free for the model whose turn
	// it is, while its next request is on its way.
	patience = 5 * time.Millisecond
	// usageSpan is the time over which the use of slots is averaged.
	usageSpan = time.Second
)

// Shares are the devices of a machine, each with its [Share].
type Shares struct {
	cores  int
	mu     sync.Mutex
	shares map[string]*Share
}

// NewShares is for a machine with so many cores.
func NewShares(cores int) *Shares {
	return &Shares{cores: max(cores, 1), shares: map[string]*Share{}}
}

// On is the share of a device as [engine.Info] names it. CUDA and TensorRT
// compete for the same GPU.
func (s *Shares) On(device string) *Share {
	slots := s.cores
	if d, err := engine.ParseDevice(device); err == nil && d.Kind.Batches() {
		device, slots = fmt.Sprintf("gpu:%d", d.Index), 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares[device] == nil {
		s.shares[device] = NewShare(slots)
	}
	return s.shares[device]
}

// Share divides a device's slots among the models that run on it, by weight. A
// slot is what one thread of a run takes on a CPU, and one run on a GPU.
//
// It is start-time fair queueing by run time: a model is charged the time of
// its runs divided by its weight, and of the models that wait the one that was
// charged least goes first. So a slow model gets no more of the device than a
// fast one of the same weight, and what a model leaves, the others get. A run
// is never interrupted, so that the wait of a model is bounded by the others'
// runs under way and its share.
type Share struct {
	mu      sync.Mutex
	base    int // slots of the device
	slots   int // the same, or more where a model alone was given more workers
	used    int
	members []*Member
	clock   float64 // what the last to go had been charged
	held    *time.Timer
}

// NewShare divides so many slots; a member that is alone to have more workers
// raises them.
func NewShare(slots int) *Share { return &Share{base: max(slots, 1), slots: max(slots, 1)} }

// Member is a model's part in a [Share].
type Member struct {
	share      *Share
	weight     float64
	cost, most int

	turns   []*Turn // under way
	waiting *wait   // nil: it wants nothing
	charged float64 // seconds of a slot, divided by the weight
	mean    time.Duration
	idle    time.Time // since when there are no turns and no wait
	think   time.Duration
	usage   float64 // slots in use, averaged
	usageAt time.Time
}

type wait struct {
	since   time.Time
	granted chan *Turn // holds one
}

// Turn is the right to run once.
type Turn struct {
	member  *Member
	began   time.Time
	charged time.Duration
	over    bool
}

// Join makes a member that takes cost slots a run and runs up to most times at
// once. A weight of 0 is 1.
func (s *Share) Join(weight float64, cost, most int) *Member {
	if weight <= 0 {
		weight = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	m := &Member{share: s, weight: weight, cost: max(cost, 1), most: max(most, 1), charged: s.clock, idle: now, usageAt: now}
	s.members = append(s.members, m)
	s.resize()
	return m
}

// Leave takes the member out once its turns are over.
func (m *Member) Leave() {
	s := m.share
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = slices.DeleteFunc(s.members, func(o *Member) bool { return o == m })
	s.resize()
	s.serve(time.Now())
}

func (s *Share) resize() {
	s.slots = s.base
	for _, m := range s.members {
		s.slots = max(s.slots, m.cost*m.most)
	}
}

// Acquire waits for the member's turn, or until ctx ends. One call at a time.
func (m *Member) Acquire(ctx context.Context) (*Turn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s := m.share
	s.mu.Lock()
	now := time.Now()
	if len(m.turns) == 0 {
		gap := now.Sub(m.idle)
		if gap > linger {
			m.charged = max(m.charged, s.clock)
		}
		m.think += (min(gap, linger) - m.think) / 4
	}
	w := &wait{since: now, granted: make(chan *Turn, 1)}
	m.waiting = w
	s.serve(now)
	s.mu.Unlock()
	select {
	case t := <-w.granted:
		return t, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if m.waiting == w {
		m.waiting, m.idle = nil, time.Now()
	}
	s.mu.Unlock()
	select {
	case t := <-w.granted: // it came meanwhile
		t.Release()
	default:
	}
	return nil, context.Cause(ctx)
}

// Release ends the turn. It may be called again.
func (t *Turn) Release() {
	m := t.member
	s := m.share
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	now := time.Now()
	m.count(now)
	took := now.Sub(t.began)
	m.charge(took - t.charged)
	if m.mean == 0 {
		m.mean = took
	}
	m.mean += (took - m.mean) / 8
	m.turns = slices.DeleteFunc(m.turns, func(o *Turn) bool { return o == t })
	s.used -= m.cost
	m.idle = now
	s.serve(now)
}

// charge counts d of one run. mu is held.
func (m *Member) charge(d time.Duration) {
	m.charged += d.Seconds() * float64(m.cost) / m.weight
}

// due is what the member has been charged, with what its runs under way have
// taken beyond what was expected. mu is held.
func (m *Member) due(now time.Time) float64 {
	due := m.charged
	for _, t := range m.turns {
		if over := now.Sub(t.began) - t.charged; over > 0 {
			due += over.Seconds() * float64(m.cost) / m.weight
		}
	}
	return due
}

// serve gives free slots to those who wait. mu is held.
func (s *Share) serve(now time.Time) {
	for {
		m := s.next(now)
		// One that needs more slots than are free keeps them from others, or it
		// would never get its turn.
		if m == nil || m.cost > s.slots-s.used || s.keep(now, m) {
			return
		}
		t := &Turn{member: m, began: now, charged: m.mean}
		m.count(now)
		s.clock = max(s.clock, m.charged)
		m.charge(t.charged)
		m.turns = append(m.turns, t)
		s.used += m.cost
		m.waiting.granted <- t
		m.waiting = nil
	}
}

// next is who goes next of those who wait. mu is held.
func (s *Share) next(now time.Time) *Member {
	var first *Member
	for _, m := range s.members {
		if m.waiting == nil || len(m.turns) >= m.most {
			continue
		}
		if first == nil {
			first = m
			continue
		}
		if a, b := m.due(now), first.due(now); a < b || a == b && m.waiting.since.Before(first.waiting.since) {
			first = m
		}
	}
	return first
}

// keep reports whether to leave a slot free for a moment: a model that comes
// before the one waiting has just ended a run, and its next request is, as
// before, about to come. Without this, a model that sends its requests one by
// one would get every other turn whatever its weight. mu is held.
func (s *Share) keep(now time.Time, waiting *Member) bool {
	var until time.Time
	for _, m := range s.members {
		limit := min(patience, m.mean/8)
		if m == waiting || m.waiting != nil || len(m.turns) > 0 || m.think > limit || m.due(now) >= waiting.due(now) {
			continue
		}
		if s.used+waiting.cost+m.cost <= s.slots {
			continue // there is room for both
		}
		if end := m.idle.Add(limit); end.After(until) {
			until = end
		}
	}
	if !until.After(now) {
		return false
	}
	if s.held != nil {
		s.held.Stop()
	}
	s.held = time.AfterFunc(until.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serve(time.Now())
	})
	return true
}

// count brings the average of the slots in use up to now. mu is held.
func (m *Member) count(now time.Time) {
	old := math.Exp(-now.Sub(m.usageAt).Seconds() / usageSpan.Seconds())
	m.usage = m.usage*old + float64(len(m.turns)*m.cost)*(1-old)
	m.usageAt = now
}

// Runs is how many runs at once the member can count on: its share by weight
// of those that have work, or what the others leave if that is more.
func (m *Member) Runs() int {
	s := m.share
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	weights, others := m.weight, 0.0
	for _, o := range s.members {
		o.count(now)
		if o == m {
			continue
		}
		others += o.usage
		if o.usage > 0.01 {
			weights += o.weight
		}
	}
	// An average that is nearly whole is whole.
	const nearly = 0.25
	fair := float64(s.slots) * m.weight / weights
	left := float64(s.slots) - others - nearly
	return min(max(int(math.Ceil(max(fair, left)/float64(m.cost))), 1), m.most)
}
