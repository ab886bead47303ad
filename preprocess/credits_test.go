package preprocess

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestCreditsGrowAndShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, one := newCredits(1), new(holder)
		var order []int
		take := func(i int) {
			if err := c.acquire(t.Context(), one); err != nil {
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
			{"a worker joins", func() { c.resize(2, 0) }, 2},
			{"and another", func() { c.resize(3, 0) }, 3},
			{"both leave", func() { c.resize(1, 0) }, 3},
			{"two of three come back", func() { c.release(one); c.release(one) }, 3},
			{"the last comes back", func() { c.release(one) }, 4},
			{"nobody is there: one probes", func() { c.resize(0, 0); c.release(one) }, 5},
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
		c, one := newCredits(1), new(holder)
		if err := c.acquire(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var first, second error
		go func() { first = c.acquire(ctx, one) }()
		synctest.Wait()
		done := false
		go func() { second = c.acquire(t.Context(), one); done = true }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		c.release(one)
		synctest.Wait()
		if !errors.Is(first, context.Canceled) || second != nil || !done || c.used != 1 || len(c.waiting) != 0 {
			t.Errorf("first %v, second %v (done %v), %d used, %d waiting", first, second, done, c.used, len(c.waiting))
		}
		// Given and cancelled at the same moment: the credit is not lost.
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			var err error
			go func() { err = c.acquire(ctx, one) }()
			synctest.Wait()
			go cancel()
			c.release(one)
			synctest.Wait()
			if err != nil {
				if err := c.acquire(t.Context(), one); err != nil {
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

// TestCreditsOfOneCamera gives one whose newest frame wins no more than its
// part, however many there are, and does not keep others waiting behind it.
func TestCreditsOfOneCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fresh, whole := newCredits(8), &holder{bounded: true}, &holder{}
		c.resize(8, 2)
		for _, who := range []*holder{fresh, fresh, fresh, whole, whole, fresh, whole} {
			go func() {
				if err := c.acquire(t.Context(), who); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		if fresh.used != 2 || whole.used != 3 || c.used != 5 {
			t.Errorf("%d and %d of %d credits, want 2 and 3 of 5", fresh.used, whole.used, c.used)
		}
		c.release(whole)
		if fresh.used != 2 {
			t.Errorf("%d credits after another gave one back, want 2", fresh.used)
		}
		c.release(fresh)
		if fresh.used != 2 || len(c.waiting) != 1 {
			t.Errorf("%d credits and %d waiting after it gave one back itself, want 2 and 1", fresh.used, len(c.waiting))
		}
		c.resize(8, 3)
		if fresh.used != 3 || len(c.waiting) != 0 {
			t.Errorf("%d credits and %d waiting after its part grew, want 3 and 0", fresh.used, len(c.waiting))
		}
	})
}
