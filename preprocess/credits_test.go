package preprocess

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestCreditsGrowAndShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCredits(1)
		var order []int
		take := func(i int) {
			if err := c.acquire(t.Context()); err != nil {
				t.Error(err)
			}
			order = append(order, i)
		}
		for i := range 5 {
			go take(i)
			synctest.Wait() // so that they queue in this order
		}
		steps := []struct {
			what string
			do   func()
			want int // credits given so far
		}{
			{"one at first", func() {}, 1},
			{"a worker joins", func() { c.resize(2) }, 2},
			{"and another", func() { c.resize(3) }, 3},
			{"both leave", func() { c.resize(1) }, 3},
			{"two of three come back", func() { c.release(); c.release() }, 3},
			{"the last comes back", func() { c.release() }, 4},
			{"nobody is there: one probes", func() { c.resize(0); c.release() }, 5},
		}
		for _, s := range steps {
			s.do()
			synctest.Wait()
			if len(order) != s.want {
				t.Errorf("%s: %d credits given, want %d", s.what, len(order), s.want)
			}
		}
		for i, got := range order {
			if got != i {
				t.Errorf("order %v, want first come, first served", order)
				break
			}
		}
	})
}

func TestCreditsOfThoseWhoLeaveAreHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCredits(1)
		if err := c.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var first, second error
		go func() { first = c.acquire(ctx) }()
		synctest.Wait()
		done := false
		go func() { second = c.acquire(t.Context()); done = true }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		c.release()
		synctest.Wait()
		if !errors.Is(first, context.Canceled) || second != nil || !done || c.used != 1 || len(c.waiting) != 0 {
			t.Errorf("first %v, second %v (done %v), %d used, %d waiting", first, second, done, c.used, len(c.waiting))
		}
		// Given and cancelled at the same moment: the credit is not lost.
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			var err error
			go func() { err = c.acquire(ctx) }()
			synctest.Wait()
			go cancel()
			c.release()
			synctest.Wait()
			if err != nil {
				if err := c.acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if c.used != 1 {
				t.Fatalf("%d credits used, want 1", c.used)
			}
			cancel()
		}
	})
}
