//go:build cv

package preprocess_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/preprocess"
)

// spool is a disk in memory, which owners come and go over.
type spool struct {
	mu      sync.Mutex
	next    uint64
	entries []preprocess.SpoolEntry
	bodies  map[uint64][]byte
	room    int // bodies; 0: any number
	away    bool
	refuses bool // as with a full disk
	reads   int
}

func (s *spool) Open(context.Context, string, string) (preprocess.SpoolLog, []preprocess.SpoolEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, slices.Clone(s.entries), nil
}

func (s *spool) Append(_ context.Context, header, body []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away:
		return 0, errors.New("nobody there")
	case s.refuses:
		return 0, fmt.Errorf("%w: no space left", preprocess.ErrSpoolRefused)
	case s.room > 0 && len(body) > 0 && len(s.bodies) >= s.room:
		return 0, fmt.Errorf("%w: %d tensors", preprocess.ErrSpoolFull, len(s.bodies))
	}
	s.next++
	s.entries = append(s.entries, preprocess.SpoolEntry{ID: s.next, Header: slices.Clone(header)})
	if len(body) > 0 {
		s.bodies[s.next] = slices.Clone(body)
	}
	return s.next, nil
}

func (s *spool) Read(_ context.Context, id uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	b, ok := s.bodies[id]
	if !ok {
		return nil, fmt.Errorf("no entry %d", id)
	}
	return b, nil
}

func (s *spool) Trim(_ context.Context, id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = slices.DeleteFunc(s.entries, func(e preprocess.SpoolEntry) bool { return e.ID <= id })
	for k := range s.bodies {
		if k <= id {
			delete(s.bodies, k)
		}
	}
	return nil
}

func (s *spool) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

func (s *spool) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func newSpool() *spool { return &spool{bodies: map[uint64][]byte{}} }

func slow(d time.Duration) func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
	return func(*tensor.Request) (*tensor.Answer, time.Duration, error) { return okAnswer(), d, nil }
}

// checkSpooled compares the results of all owners with the frames 0 to n-1 of
// one epoch: each once, in order, each naming the one before it.
func checkSpooled(t *testing.T, n int, results ...[]*vedette.Detection) {
	t.Helper()
	seq := uint64(0)
	for _, d := range slices.Concat(results...) {
		if d.Seq != seq || d.PrevSeq != int64(seq)-1 || len(d.GapBefore) != 0 {
			t.Errorf("result of frame %d (prev_seq %d, gap_before %v), want that of %d", d.Seq, d.PrevSeq, d.GapBefore, seq)
		}
		seq = d.Seq + 1
	}
	if seq != uint64(n) {
		t.Errorf("results up to frame %d, want %d", int(seq)-1, n-1)
	}
}

// A frame's pixels are free as soon as it is in the spool, however long its
// turn takes, and what does not fit in memory is read back.
func TestSpoolFreesPixels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		r := newSpooledRig(t, s, nil, slow(time.Second))
		for seq := range uint64(40) {
			r.deliver(t, r.frame("e1", seq))
		}
		time.Sleep(100 * time.Millisecond)
		if n := r.freed(); n != 40 {
			t.Errorf("%d of 40 pictures are free", n)
		}
		if len(r.results()) != 0 || s.left() != 40 {
			t.Errorf("%d results and %d entries before any answer", len(r.results()), s.left())
		}
		r.finish(t)
		checkSpooled(t, 40, r.writer.out)
		if s.left() != 0 {
			t.Errorf("%d entries stay in the spool", s.left())
		}
		if s.reads == 0 || s.reads > 32 {
			t.Errorf("%d tensors were read back", s.reads)
		}
	})
}

// An owner that is cut off leaves the rest to the next one, wherever it was.
func TestSpoolOutlivesItsOwner(t *testing.T) {
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 1550 * time.Millisecond, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpool()
			first := newSpooledRig(t, s, nil, slow(300*time.Millisecond))
			for seq := range uint64(20) {
				first.deliver(t, first.frame("e1", seq))
			}
			time.Sleep(after)
			stop, cancel := context.WithCancel(t.Context())
			cancel() // it is not waited for
			_ = first.owner.Close(stop)
			time.Sleep(time.Second) // answers under way come to nothing, or are stored
			out := first.results()
			resume := map[string]preprocess.Place{}
			if n := len(out); n > 0 {
				resume["m"] = preprocess.Place{Epoch: "e1", Seq: out[n-1].Seq}
			}
			second := newSpooledRig(t, s, resume, slow(10*time.Millisecond))
			for seq := range uint64(25) { // the sender does not know what was taken
				second.deliver(t, second.frame("e1", seq))
			}
			second.finish(t)
			checkSpooled(t, 25, out, second.writer.out)
			if c := second.owner.Accounts()["cam"]["m"]; c.Balance() != 0 || c.InFlight != 0 || c.Inferred != uint64(25-len(out)) {
				t.Errorf("account %+v", c)
			}
			if s.left() != 0 {
				t.Errorf("%d entries stay in the spool", s.left())
			}
		})
	}
}

// While the spool is full each frame fails with that reason, in its place.
func TestSpoolFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		s.room = 5
		r := newSpooledRig(t, s, nil, slow(time.Second))
		for seq := range uint64(8) {
			r.deliver(t, r.frame("e1", seq))
		}
		over := r.frame("e1", 8)
		over.Overflow = true
		r.deliver(t, over)
		time.Sleep(20 * time.Second)
		r.deliver(t, r.frame("e1", 9))
		r.finish(t)
		checkSpooled(t, 10, r.writer.out)
		for _, d := range r.writer.out {
			full := d.Seq >= 5 && d.Seq <= 8
			if full != (d.Status == vedette.StatusFailed && d.Reason == preprocess.FailedSpoolFull && d.Objects == nil) {
				t.Errorf("frame %d: %s %q", d.Seq, d.Status, d.Reason)
			}
		}
		if c := r.owner.Accounts()["cam"]["m"]; c.Failed != 4 || c.Inferred != 6 || c.Balance() != 0 {
			t.Errorf("account %+v", c)
		}
	})
}

// A spool that cannot be reached holds frames up, and loses none.
func TestSpoolAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		s.away = true
		r := newSpooledRig(t, s, nil, slow(time.Millisecond))
		for seq := range uint64(10) {
			r.deliver(t, r.frame("e1", seq))
		}
		time.Sleep(30 * time.Second)
		if n := r.freed(); n != 0 || len(r.results()) != 0 {
			t.Errorf("%d pictures are free and %d results are out without a spool", n, len(r.results()))
		}
		s.set(func() { s.away = false })
		r.finish(t)
		checkSpooled(t, 10, r.writer.out)
	})
}

// While the spool cannot be written, frames go on in memory, as many as there is
// room for; the others wait where they are. None is lost.
func TestSpoolRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		r := newSpooledRig(t, s, nil, slow(time.Second))
		for seq := range uint64(40) {
			if seq == 10 {
				s.set(func() { s.refuses = true })
			}
			r.deliver(t, r.frame("e1", seq))
			time.Sleep(10 * time.Millisecond)
		}
		if n := r.freed(); n < 10 || n > 25 {
			t.Errorf("%d of 40 pictures are free: ten are on the disk, and a few more in memory", n)
		}
		time.Sleep(25 * time.Second)
		s.set(func() { s.refuses = false })
		r.deliver(t, r.frame("e1", 40))
		r.finish(t)
		checkSpooled(t, 41, r.writer.out)
		for _, d := range r.writer.out {
			if d.Status != vedette.StatusOK {
				t.Errorf("frame %d: %s %q", d.Seq, d.Status, d.Reason)
			}
		}
		if s.left() != 0 {
			t.Errorf("%d entries stay in the spool", s.left())
		}
	})
}

// What the store refuses is a result all the same, and is counted.
func TestUnstoredIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		r := newSpooledRig(t, s, nil, slow(time.Millisecond))
		r.writer.fail = func(*vedette.Detection) error { return preprocess.ErrUnstored }
		for seq := range uint64(5) {
			r.deliver(t, r.frame("e1", seq))
		}
		r.finish(t)
		if c := r.owner.Accounts()["cam"]["m"]; c.Inferred != 5 || c.Unstored != 5 || c.Balance() != 0 {
			t.Errorf("account %+v", c)
		}
		if r.freed() != 5 || s.left() != 0 {
			t.Errorf("%d pictures are free, %d entries stay", r.freed(), s.left())
		}
	})
}

// An owner that stops publishes nothing behind a frame that it leaves to the
// next one: that frame would seem to have its result.
func TestStopLeavesNoHole(t *testing.T) {
	for _, spooling := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := preprocess.CameraConfig{Delivery: preprocess.Every}
			answer := func(req *tensor.Request) (*tensor.Answer, time.Duration, error) {
				if req.Seq == 2 {
					return nil, time.Millisecond, preprocess.ErrNoWorker
				}
				return okAnswer(), 100 * time.Millisecond, nil
			}
			var r *rig
			if spooling {
				r = newSpooledRig(t, newSpool(), nil, answer)
			} else {
				r = newRig(t, cfg, 4, answer)
			}
			for seq := range uint64(6) {
				r.deliver(t, r.frame("e1", seq))
			}
			time.Sleep(time.Second)
			if err := r.owner.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkSpooled(t, 2, r.writer.out)
			if c := r.owner.Accounts()["cam"]["m"]; c.Balance() != 0 || c.InFlight != 0 {
				t.Errorf("account %+v", c)
			}
		})
	}
}

// A camera that is removed with more in its spool than is waited for leaves that
// there: nothing of it is published later, and who adds it again goes on with it.
func TestSpoolOutlivesItsCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		r := newSpooledRig(t, s, nil, slow(time.Second))
		for seq := range uint64(30) {
			r.deliver(t, r.frame("e1", seq))
		}
		within, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		if err := r.owner.Remove(within, "cam"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("removed with much to do: %v", err)
		}
		n := len(r.results())
		if n == 0 || n == 30 {
			t.Fatalf("%d results", n)
		}
		time.Sleep(10 * time.Second) // answers under way come to nothing
		if len(r.results()) != n || s.left() != 30-n {
			t.Errorf("%d results after the camera's end, %d at it; %d frames in the spool", len(r.results()), n, s.left())
		}
		if got := r.uses(); got != "" {
			t.Errorf("in use without a camera: %s", got)
		}
		cfg := preprocess.CameraConfig{
			ID: "cam", Delivery: preprocess.Every, Spool: true, Detect: []preprocess.DetectConfig{{Model: "m"}},
			Resume: map[string]preprocess.Place{"m": {Epoch: "e1", Seq: uint64(n - 1)}},
		}
		if err := r.owner.Add(cfg); err != nil {
			t.Fatal(err)
		}
		r.finish(t)
		checkSpooled(t, 30, r.results())
		if s.left() != 0 {
			t.Errorf("%d entries stay in the spool", s.left())
		}
	})
}

// What a lossless camera without a spool has under way when it is given up is not
// published behind its end: it is read again.
func TestNothingComesBehindTheEnd(t *testing.T) {
	for _, delivery := range []preprocess.Delivery{preprocess.Every, preprocess.Latest} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, preprocess.CameraConfig{Delivery: delivery}, 2, slow(time.Minute))
			r.deliver(t, r.frame("e1", 0))
			time.Sleep(time.Second)
			within, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.owner.Remove(within, "cam"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("removed with a run under way: %v", err)
			}
			time.Sleep(2 * time.Minute)
			if n := len(r.results()); n != 0 {
				t.Errorf("%s: %d results behind the camera's end", delivery, n)
			}
			if got := r.uses(); got != "" {
				t.Errorf("%s: in use without a camera: %s", delivery, got)
			}
			if err := r.owner.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
