package bus_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
)

func leases(t *testing.T, b *bus.Bus) *bus.Leases {
	t.Helper()
	l, err := b.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Of many who take a lease at the same moment one gets it, whether nobody had
// it, it was returned, or its holder died; the others learn who.
func TestOneTakesTheLease(t *testing.T) {
	server := spawn(t, t.TempDir())
	t.Cleanup(server.kill)
	const many = 8
	var all []*bus.Leases
	for range many {
		all = append(all, leases(t, start(t, bus.Config{URL: server.url})))
	}
	var last *bus.Lease
	for round, how := range []string{"nobody had it", "it was returned", "its holder died"} {
		var wg sync.WaitGroup
		got := make([]*bus.Lease, many)
		won := make([]bool, many)
		for i, l := range all {
			wg.Go(func() {
				h := bus.Holder{Instance: fmt.Sprintf("i%d-%d", round, i), Host: "here", PID: i}
				var err error
				if how == "its holder died" {
					got[i], err = l.Replace(t.Context(), last, h)
				} else {
					got[i], err = l.Take(t.Context(), "owner.gate", h)
				}
				won[i] = err == nil
				if err != nil && !errors.Is(err, bus.ErrHeld) {
					t.Errorf("%s: %v", how, err)
				}
			})
		}
		wg.Wait()
		winners := 0
		for i := range all {
			if won[i] {
				winners++
				last = got[i]
			}
		}
		if winners != 1 {
			t.Fatalf("%s: %d have the lease", how, winners)
		}
		for i := range all {
			if got[i] == nil || got[i].Holder.Instance != last.Holder.Instance {
				t.Errorf("%s: %d thinks that %+v has it, not %+v", how, i, got[i], last)
			}
		}
		if how == "nobody had it" {
			if err := all[0].Return(t.Context(), last); err != nil {
				t.Fatal(err)
			}
			if now, err := all[1].Find(t.Context(), "owner.gate"); now != nil || err != nil {
				t.Errorf("after it was returned: %+v, %v", now, err)
			}
		}
	}
}

// Who was replaced cannot return what is another's now.
func TestReturnOfALostLease(t *testing.T) {
	l := leases(t, start(t, bus.Config{}))
	first, err := l.Take(t.Context(), "owner.gate", bus.Holder{Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.Replace(t.Context(), first, bus.Holder{Instance: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Return(t.Context(), first); err != nil {
		t.Error(err)
	}
	now, err := l.Find(t.Context(), "owner.gate")
	if err != nil || now == nil || now.Holder != second.Holder {
		t.Errorf("the lease is %+v, %v", now, err)
	}
	if err := l.Return(t.Context(), second); err != nil {
		t.Error(err)
	}
	second, err = l.Replace(t.Context(), second, bus.Holder{Instance: "b"}) // it is free
	if err != nil || second.Holder.Instance != "b" {
		t.Errorf("%+v, %v", second, err)
	}
	// One's own is taken again without a quarrel.
	if again, err := l.Take(t.Context(), "owner.gate", bus.Holder{Instance: "b"}); err != nil || again.Holder.Instance != "b" {
		t.Errorf("%+v, %v", again, err)
	}
}
