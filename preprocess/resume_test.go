//go:build cv

package preprocess_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/preprocess"
)

// An owner that starts anew goes on behind the last published result: what has
// one already is not inferred again, and what was captured meanwhile without
// an owner has a reason.
func TestResume(t *testing.T) {
	at := func(epoch string, seq uint64) map[string]preprocess.Place {
		return map[string]preprocess.Place{"m": {Epoch: epoch, Seq: seq}}
	}
	for _, tt := range []struct {
		name     string
		delivery preprocess.Delivery
		resume   map[string]preprocess.Place
		frames   []uint64 // of epoch e2
		out      []uint64
		prev     int64 // of the first result
		restart  uint64
	}{
		{"the sender repeats all", preprocess.Every, at("e2", 3), []uint64{2, 3, 4, 5}, []uint64{4, 5}, 3, 0},
		{"the sender kept the rest", preprocess.Every, at("e2", 3), []uint64{4, 5}, []uint64{4, 5}, 3, 0},
		{"frames passed meanwhile", preprocess.Latest, at("e2", 3), []uint64{9, 10}, []uint64{9, 10}, 3, 5},
		{"the camera began anew", preprocess.Every, at("e1", 99), []uint64{0, 1}, []uint64{0, 1}, -1, 0},
		{"nothing was published", preprocess.Every, nil, []uint64{0, 1}, []uint64{0, 1}, -1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, preprocess.CameraConfig{Delivery: tt.delivery, Resume: tt.resume}, 2,
					func(*tensor.Request) (*tensor.Answer, time.Duration, error) { return okAnswer(), time.Millisecond, nil })
				for _, seq := range tt.frames {
					r.deliver(t, r.frame("e2", seq))
					time.Sleep(10 * time.Millisecond)
				}
				if err := r.owner.Finish(t.Context(), "cam"); err != nil {
					t.Fatal(err)
				}
				var got []uint64
				for _, d := range r.writer.out {
					got = append(got, d.Seq)
				}
				c := r.owner.Accounts()["cam"]["m"]
				if len(got) != len(tt.out) || got[0] != tt.out[0] || r.writer.out[0].PrevSeq != tt.prev || r.writer.out[0].GapBefore[preprocess.DropRestart] != tt.restart {
					t.Errorf("results %v, want %v; the first has prev_seq %d, gap_before %v", got, tt.out, r.writer.out[0].PrevSeq, r.writer.out[0].GapBefore)
				}
				if c.Dropped[preprocess.DropRestart] != tt.restart || c.Balance() != 0 || c.InFlight != 0 || c.Dropped[preprocess.DropBus] != 0 {
					t.Errorf("account %+v", c)
				}
			})
		})
	}
}

// A lossless frame stays with its sender until its result is safe.
func TestEveryReleasesWhatIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), time.Second, nil
		})
		var released atomic.Bool
		r.owner.Deliver(r.frame("e1", 0), func() {
			released.Store(true)
			r.writer.mu.Lock()
			defer r.writer.mu.Unlock()
			if len(r.writer.out) != 1 {
				t.Error("released before its result was written")
			}
		})
		time.Sleep(500 * time.Millisecond)
		if released.Load() {
			t.Error("released while a worker has it")
		}
		r.finish(t)
		if !released.Load() {
			t.Error("not released")
		}
	})
}
