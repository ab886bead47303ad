package infer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette/infer"
)

// load is a model that competes for a device: lanes that run for so long, with
// a pause between an end and the next request.
type load struct {
	weight     float64
	cost, most int
	run, pause time.Duration
	after      time.Duration // when it begins
	want       float64       // part of the device
}

// compete lets loads run for a while and returns the slot time each got and
// the longest that each waited for a turn.
func compete(t *testing.T, slots int, length time.Duration, loads ...load) (got []float64, waited []time.Duration) {
	t.Helper()
	share := infer.NewShare(slots)
	got, waited = make([]float64, len(loads)), make([]time.Duration, len(loads))
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for i, l := range loads {
		m := share.Join(l.weight, l.cost, l.most)
		defer m.Leave()
		ready := make(chan struct{}, 1) // the way of the next request
		ready <- struct{}{}
		go func() {
			time.Sleep(l.after)
			for {
				select {
				case <-ready:
				case <-ctx.Done():
					return
				}
				began := time.Now()
				turn, err := m.Acquire(ctx)
				if err != nil {
					return
				}
				waited[i] = max(waited[i], time.Since(began))
				if l.pause == 0 { // requests without end
					ready <- struct{}{}
				}
				go func() {
					began := time.Now()
					select {
					case <-time.After(l.run):
					case <-ctx.Done():
					}
					turn.Release()
					turn.Release() // once is enough
					mu.Lock()
					got[i] += time.Since(began).Seconds() * float64(l.cost)
					mu.Unlock()
					if l.pause > 0 {
						time.Sleep(l.pause)
						ready <- struct{}{}
					}
				}()
			}
		}()
	}
	<-ctx.Done()
	time.Sleep(time.Second)
	synctest.Wait()
	return got, waited
}

// TestShareByWeight has models compete in many ways: each gets its part of the
// time that there is, whatever its runs cost.
func TestShareByWeight(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		slots int
		loads []load
	}{
		"alone":                   {2, []load{{1, 1, 2, 10 * ms, 0, 0, 1}}},
		"alike":                   {2, []load{{1, 1, 2, 10 * ms, 0, 0, 0.5}, {1, 1, 2, 10 * ms, 0, 0, 0.5}}},
		"a slow one gets no more": {2, []load{{1, 1, 2, 5 * ms, 0, 0, 0.5}, {1, 1, 2, 300 * ms, 0, 0, 0.5}}},
		"three times the weight":  {2, []load{{3, 1, 2, 20 * ms, 0, 0, 0.75}, {1, 1, 2, 20 * ms, 0, 0, 0.25}}},
		"weight of a slow one":    {1, []load{{1, 1, 1, 5 * ms, 0, 0, 0.2}, {4, 1, 1, 200 * ms, 0, 0, 0.8}}},
		"three models":            {4, []load{{1, 1, 4, 7 * ms, 0, 0, 1.0 / 6}, {2, 1, 4, 30 * ms, 0, 0, 2.0 / 6}, {3, 1, 4, 90 * ms, 0, 0, 0.5}}},
		"what is left over":       {2, []load{{1, 1, 1, 10 * ms, 90 * ms, 0, 0.05}, {1, 1, 2, 10 * ms, 0, 0, 0.95}}},
		"one that may run once":   {4, []load{{100, 1, 1, 10 * ms, 0, 0, 0.25}, {1, 1, 4, 10 * ms, 0, 0, 0.75}}},
		"two threads a run":       {2, []load{{1, 2, 1, 20 * ms, 0, 0, 0.5}, {1, 1, 2, 20 * ms, 0, 0, 0.5}}},
		"one by one":              {1, []load{{3, 1, 1, 60 * ms, 2 * ms, 0, 0.74}, {1, 1, 1, 60 * ms, 2 * ms, 0, 0.24}}},
		"nothing is saved up":     {1, []load{{1, 1, 1, 10 * ms, 0, 0, 0.75}, {1, 1, 1, 10 * ms, 0, 10 * time.Second, 0.25}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const length = 20 * time.Second
				got, _ := compete(t, c.slots, length, c.loads...)
				for i, l := range c.loads {
					part := got[i] / length.Seconds() / float64(c.slots)
					t.Logf("weight %v, runs of %v: %.3f of the device, want %.3f", l.weight, l.run, part, l.want)
					if math.Abs(part-l.want) > 0.03 {
						t.Errorf("model %d got %.3f of the device, want %.3f", i, part, l.want)
					}
				}
			})
		})
	}
}

// TestShareStarvesNobody: however slow and heavy the others are, a fast model
// waits no longer than their runs under way take and its share asks for.
func TestShareStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 400 * time.Millisecond
		_, waited := compete(t, 2, time.Minute,
			load{1, 1, 2, 10 * time.Millisecond, 40 * time.Millisecond, 0, 0}, load{1, 1, 2, slow, 0, 0, 0}, load{1, 1, 2, slow, 0, 0, 0})
		t.Logf("longest wait of the fast one %v, of the slow ones %v and %v", waited[0], waited[1], waited[2])
		if waited[0] > slow {
			t.Errorf("the fast model waited %v beside runs of %v", waited[0], slow)
		}
	})
}

// TestShareRuns says how many runs at once a model can count on.
func TestShareRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		share := infer.NewShare(4)
		a, b := share.Join(1, 1, 4), share.Join(3, 1, 4)
		runs := func(what string, wantA, wantB int) {
			t.Helper()
			if a.Runs() != wantA || b.Runs() != wantB {
				t.Errorf("%s: %d and %d, want %d and %d", what, a.Runs(), b.Runs(), wantA, wantB)
			}
		}
		take := func(m *infer.Member) *infer.Turn {
			t.Helper()
			turn, err := m.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return turn
		}
		runs("both idle", 4, 4)
		turns := []*infer.Turn{take(b), take(b), take(b), take(b)}
		time.Sleep(10 * time.Second)
		runs("one has it all", 1, 4)
		turns[0].Release()
		turns[1].Release()
		time.Sleep(10 * time.Second)
		runs("one has half", 2, 4)
		turns[2].Release()
		turns[3].Release()
		turns = []*infer.Turn{take(a), take(a), take(a), take(a)}
		time.Sleep(10 * time.Second)
		runs("the lighter one has it all", 4, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn where there is no room: %v", err)
		}
		for _, turn := range turns {
			turn.Release()
		}
		take(b).Release() // the one given up in vain is not lost
		b.Leave()
		time.Sleep(10 * time.Second)
		if a.Runs() != 4 {
			t.Errorf("alone: %d", a.Runs())
		}
	})
}

// TestSharesByDevice: what competes for one device has one share.
func TestSharesByDevice(t *testing.T) {
	s := infer.NewShares(2)
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"cpu", "cpu", true}, {"cpu", "cuda:0", false}, {"cuda:0", "tensorrt:0", true}, {"cuda:0", "cuda:1", false},
	} {
		if same := s.On(c.a) == s.On(c.b); same != c.same {
			t.Errorf("%s and %s share: %v, want %v", c.a, c.b, same, c.same)
		}
	}
}

// BenchmarkTurn is the cost of a turn where nobody else wants one.
func BenchmarkTurn(b *testing.B) {
	for _, members := range []int{1, 4} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			share := infer.NewShare(2)
			m := share.Join(1, 1, 2)
			for range members - 1 {
				share.Join(1, 1, 2)
			}
			b.ReportAllocs()
			for b.Loop() {
				turn, err := m.Acquire(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				turn.Release()
			}
		})
	}
}
