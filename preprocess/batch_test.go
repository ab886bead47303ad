package preprocess_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette/preprocess"
)

// request is an item with a name and a deadline.
type request struct {
	name string
	by   time.Time
}

func by(r request) time.Time { return r.by }

func newBatcher(cfg preprocess.BatchConfig, in <-chan request) *preprocess.Batcher[request] {
	return preprocess.NewBatcher(cfg, in, preprocess.BatchHooks[request]{Deadline: by})
}

func names(rs []request) string {
	var s []string
	for _, r := range rs {
		s = append(s, r.name)
	}
	return strings.Join(s, " ")
}

// next is one batch, and how long it took to come.
func next(t *testing.T, b *preprocess.Batcher[request]) (preprocess.Batch[request], time.Duration) {
	t.Helper()
	start := time.Now()
	batch, err := b.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return batch, time.Since(start)
}

func TestBatcherSinglesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 4)
		b := newBatcher(preprocess.SingleBatch(), in)
		in <- request{name: "a"}
		in <- request{name: "b"}
		for _, want := range []string{"a", "b"} {
			batch, took := next(t, b)
			if names(batch.Items) != want || batch.Size != 1 || took != 0 {
				t.Errorf("got %q of size %d after %v, want %q at once", names(batch.Items), batch.Size, took, want)
			}
		}
	})
}

// TestBatcherSizes runs with every number of waiting requests: full batches
// leave at once, others after the wait, in the smallest size that holds them.
func TestBatcherSizes(t *testing.T) {
	for n := 1; n <= 17; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := make(chan request, 20)
				for i := range n {
					in <- request{name: fmt.Sprint(i)}
				}
				batch, took := next(t, newBatcher(preprocess.GPUBatch(), in))
				size := map[bool]int{true: 16}[n > 8]
				for _, s := range []int{8, 4, 2, 1} {
					if n <= s {
						size = s
					}
				}
				wait := 5 * time.Millisecond
				if n >= 16 {
					wait = 0
				}
				if len(batch.Items) != min(n, 16) || batch.Size != size || took != wait {
					t.Errorf("%d items of size %d after %v, want %d of %d after %v", len(batch.Items), batch.Size, took, min(n, 16), size, wait)
				}
			})
		})
	}
}

func TestBatcherGathersWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request)
		go func() {
			for i := range 4 {
				time.Sleep(2 * time.Millisecond)
				in <- request{name: fmt.Sprint(i)}
			}
		}()
		b := newBatcher(preprocess.GPUBatch(), in)
		// The first comes after 2 ms; those at 4 and 6 ms meet its wait of 5 ms.
		if batch, took := next(t, b); names(batch.Items) != "0 1 2" || batch.Size != 4 || took != 7*time.Millisecond {
			t.Errorf("got %q of size %d after %v", names(batch.Items), batch.Size, took)
		}
		if batch, took := next(t, b); names(batch.Items) != "3" || took != 6*time.Millisecond {
			t.Errorf("got %q after %v", names(batch.Items), took)
		}
	})
}

func TestBatcherExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 8)
		b := newBatcher(preprocess.BatchConfig{Sizes: []int{1, 2, 4}, MaxWait: time.Millisecond}, in)
		soon := time.Now().Add(10 * time.Millisecond)
		in <- request{"late", soon}
		in <- request{"in time", soon.Add(time.Hour)}
		in <- request{"no deadline", time.Time{}}
		time.Sleep(10 * time.Millisecond) // the deadline itself is too late
		batch, _ := next(t, b)
		if names(batch.Expired) != "late" || names(batch.Items) != "in time no deadline" || batch.Size != 2 {
			t.Errorf("expired %q, items %q, size %d", names(batch.Expired), names(batch.Items), batch.Size)
		}
		in <- request{"late too", soon}
		batch, took := next(t, b)
		if names(batch.Expired) != "late too" || len(batch.Items) != 0 || took != 0 {
			t.Errorf("expired %q, items %q after %v", names(batch.Expired), names(batch.Items), took)
		}
	})
}

// TestBatcherLeavesForDeadline cuts the wait short for a request that needs
// it, when a run takes 20 ms.
func TestBatcherLeavesForDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 8)
		b := preprocess.NewBatcher(preprocess.BatchConfig{Sizes: []int{1, 2, 4}, MaxWait: 50 * time.Millisecond}, in,
			preprocess.BatchHooks[request]{Deadline: by, Busy: func() time.Duration { return 20 * time.Millisecond }})
		in <- request{name: "first"}
		if _, took := next(t, b); took != 50*time.Millisecond {
			t.Fatalf("without a deadline it took %v", took)
		}
		in <- request{"second", time.Now().Add(time.Hour)}
		in <- request{"hasty", time.Now().Add(30 * time.Millisecond)}
		batch, took := next(t, b)
		if names(batch.Items) != "second hasty" || took != 10*time.Millisecond {
			t.Errorf("%q left after %v, want both after 10 ms", names(batch.Items), took)
		}
		in <- request{"hopeless", time.Now().Add(time.Millisecond)}
		if batch, took := next(t, b); names(batch.Items) != "hopeless" || took != 0 {
			t.Errorf("%q and expired %q after %v, want it run at once", names(batch.Items), names(batch.Expired), took)
		}
	})
}

// TestBatcherIsAdmitted lets a batch wait for its turn: what comes meanwhile
// goes along, what expires meanwhile does not.
func TestBatcherIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 8)
		b := preprocess.NewBatcher(preprocess.BatchConfig{Sizes: []int{1, 2, 4}, MaxWait: 5 * time.Millisecond}, in,
			preprocess.BatchHooks[request]{Deadline: by, Admit: func(context.Context) error {
				time.Sleep(20 * time.Millisecond)
				return nil
			}})
		in <- request{name: "a"}
		in <- request{"hasty", time.Now().Add(10 * time.Millisecond)}
		go func() {
			time.Sleep(15 * time.Millisecond)
			for _, name := range []string{"b", "c", "d", "e"} {
				in <- request{name: name}
			}
		}()
		batch, took := next(t, b)
		if names(batch.Items) != "a b c d" || names(batch.Expired) != "hasty" || batch.Size != 4 || took != 25*time.Millisecond {
			t.Errorf("%q, expired %q, of size %d after %v", names(batch.Items), names(batch.Expired), batch.Size, took)
		}
		if batch, _ := next(t, b); names(batch.Items) != "e" {
			t.Errorf("then %q, want what had no room", names(batch.Items))
		}
	})
}

// TestBatcherNotAdmitted keeps what was received when the wait is given up.
func TestBatcherNotAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 1)
		b := preprocess.NewBatcher(preprocess.SingleBatch(), in, preprocess.BatchHooks[request]{
			Deadline: by, Admit: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		in <- request{name: "a"}
		batch, err := b.Next(ctx)
		if err != nil || names(batch.Items) != "a" || batch.Size != 1 {
			t.Errorf("got %q of size %d, %v", names(batch.Items), batch.Size, err)
		}
	})
}

func TestBatcherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 2)
		b := newBatcher(preprocess.GPUBatch(), in)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nothing to do: %v", err)
		}
		in <- request{name: "kept"}
		if _, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || len(in) != 1 {
			t.Errorf("after the end: %v, %d left in the channel, want 1", err, len(in))
		}
		in <- request{name: "last"}
		close(in)
		if batch, took := next(t, b); names(batch.Items) != "kept last" || took != 0 {
			t.Errorf("got %q after %v", names(batch.Items), took)
		}
		if _, err := b.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("closed and empty: %v", err)
		}
	})
}

// TestBatcherKeepsWhatItReceived ends the context in the middle of a wait: the
// request must come out all the same.
func TestBatcherKeepsWhatItReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan request, 1)
		b := newBatcher(preprocess.BatchConfig{Sizes: []int{1, 2}, MaxWait: time.Hour}, in)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		in <- request{name: "a"}
		batch, err := b.Next(ctx)
		if err != nil || names(batch.Items) != "a" {
			t.Errorf("got %q, %v", names(batch.Items), err)
		}
	})
}

func TestBatchConfigValidate(t *testing.T) {
	for _, good := range []preprocess.BatchConfig{preprocess.SingleBatch(), preprocess.GPUBatch()} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []preprocess.BatchConfig{{}, {Sizes: []int{0, 1}}, {Sizes: []int{4, 2}}, {Sizes: []int{1}, MaxWait: -1}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	if c := preprocess.GPUBatch(); !slices.Equal(c.Sizes, []int{1, 2, 4, 8, 16}) {
		t.Errorf("sizes %v", c.Sizes)
	}
}
