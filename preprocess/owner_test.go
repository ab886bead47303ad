//go:build cv

package preprocess_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// pictures is a ring whose slots are lost when the test says so.
type pictures struct {
	mu   sync.Mutex
	lost map[uint64]bool // by generation
}

func (p *pictures) View(vedette.RingRef) ([]byte, error) { return make([]byte, 8*8*3), nil }
func (p *pictures) Close() error                         { return nil }
func (p *pictures) Valid(ref vedette.RingRef) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.lost[ref.Generation]
}

func (p *pictures) lose(generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost[generation] = true
}

// workers answer after a while, out of order, or not at all.
type workers struct {
	answer func(req *tensor.Request) (*tensor.Answer, time.Duration, error)
	see    func(req *tensor.Request, body []byte) // nil: nobody looks
	mu     sync.Mutex
	starts []uint64
	active int
	most   int
}

func (w *workers) Request(_ context.Context, _ string, req *tensor.Request, body []byte, done func(*tensor.Answer, error)) {
	w.mu.Lock()
	if w.see != nil {
		w.see(req, body)
	}
	w.starts = append(w.starts, req.Seq)
	w.active++
	w.most = max(w.most, w.active)
	w.mu.Unlock()
	a, wait, err := w.answer(req)
	go func() {
		time.Sleep(wait)
		w.mu.Lock()
		w.active--
		w.mu.Unlock()
		done(a, err)
	}()
}

type writer struct {
	mu   sync.Mutex
	out  []*vedette.Detection
	fail func(*vedette.Detection) error
}

func (w *writer) Write(_ context.Context, d *vedette.Detection, done func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(d); err != nil {
			go done(err)
			return
		}
	}
	w.out = append(w.out, d)
	go done(nil)
}

type observer struct{}

func (observer) Captured(_, _ string, _ uint64)        {}
func (observer) SourceGap(string, uint64)              {}
func (observer) Unstored(string, string)               {}
func (observer) Frames(_, _, _, _ string, _ uint64)    {}
func (observer) Stage(_, _, _ string, _ time.Duration) {}
func (observer) Latency(_, _ string, _ time.Duration)  {}

func okAnswer(objects ...vedette.Object) *tensor.Answer {
	if objects == nil {
		objects = []vedette.Object{}
	}
	return &tensor.Answer{Status: vedette.StatusOK, Objects: &objects}
}

type rig struct {
	owner    *preprocess.Owner
	pictures *pictures
	workers  *workers
	writer   *writer
	released sync.Map
	count    int
	delivery preprocess.Delivery
	resume   preprocess.Place
}

func newRig(t *testing.T, cfg preprocess.CameraConfig, credits int, answer func(*tensor.Request) (*tensor.Answer, time.Duration, error)) *rig {
	t.Helper()
	return newRigOn(t, nil, firstModel(credits), cfg, answer)
}

// firstModel is what rigs look with unless told otherwise.
func firstModel(credits int) preprocess.ModelConfig {
	return preprocess.ModelConfig{
		Ref:     vedette.ModelRef{Name: "m", SHA256: "abc"},
		Input:   models.Input{Width: 4, Height: 4, Layout: models.NCHW, Color: models.BGR, Resize: models.Stretch, Interpolation: models.Nearest, Type: models.Float32, Scale: 1},
		Credits: credits,
	}
}

// newSpooledRig owns a lossless camera with a spool.
func newSpooledRig(t *testing.T, s *spool, resume map[string]preprocess.Place, answer func(*tensor.Request) (*tensor.Answer, time.Duration, error)) *rig {
	t.Helper()
	return newRigOn(t, s, firstModel(2), preprocess.CameraConfig{Delivery: preprocess.Every, Spool: true, Resume: resume}, answer)
}

func newRigOn(t *testing.T, spool preprocess.Spool, model preprocess.ModelConfig, cfg preprocess.CameraConfig, answer func(*tensor.Request) (*tensor.Answer, time.Duration, error)) *rig {
	t.Helper()
	r := &rig{delivery: cfg.Delivery, resume: cfg.Resume["m"], pictures: &pictures{lost: map[uint64]bool{}}, workers: &workers{answer: answer}, writer: &writer{}}
	var err error
	r.owner, err = preprocess.NewOwner([]preprocess.ModelConfig{model}, preprocess.OwnerDeps{
		Log: slog.New(slog.DiscardHandler), Pictures: func() preprocess.Pictures { return r.pictures }, Workers: r.workers, Writer: r.writer, Observer: observer{}, Spool: spool,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.ID = "cam"
	if cfg.Detect == nil {
		cfg.Detect = []preprocess.DetectConfig{{Model: "m"}}
	}
	if err := r.owner.Add(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) frame(epoch string, seq uint64) *vedette.Frame {
	now := vedette.At(time.Now())
	return &vedette.Frame{
		Camera: "cam", Epoch: epoch, Seq: seq, CaptureTime: now, CapturedAt: now, Width: 8, Height: 8, Format: vedette.BGR24,
		Ref: vedette.RingRef{Stride: 24, Bytes: 8 * 8 * 3, Generation: seq},
	}
}

func (r *rig) deliver(t *testing.T, f *vedette.Frame) {
	t.Helper()
	r.count++
	key := fmt.Sprint(r.count)
	r.owner.Deliver(f, func() {
		if _, twice := r.released.LoadOrStore(key, true); twice {
			t.Errorf("frame %s released twice", f.ID())
		}
	})
}

// results are those that were written so far.
func (r *rig) results() []*vedette.Detection {
	r.writer.mu.Lock()
	defer r.writer.mu.Unlock()
	return slices.Clone(r.writer.out)
}

// freed is how many deliveries were released.
func (r *rig) freed() (n int) {
	r.released.Range(func(any, any) bool { n++; return true })
	return n
}

// finish drains the owner and checks what always holds.
func (r *rig) finish(t *testing.T) preprocess.Counts {
	t.Helper()
	if err := r.owner.Finish(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	c := r.owner.Accounts()["cam"]["m"]
	if c.Balance() != 0 || c.InFlight != 0 {
		t.Errorf("account does not close: %+v, balance %d", c, c.Balance())
	}
	released := r.freed()
	// What a stop finds unfinished stays with the sender of lossless frames.
	kept := 0
	if r.delivery == preprocess.Every {
		kept = int(c.Dropped[preprocess.DropShutdown])
	}
	if released != r.count-kept {
		t.Errorf("%d of %d deliveries released, want all but %d", released, r.count, kept)
	}
	r.checkOrder(t)
	return c
}

// checkOrder: results are in order, once, and prev_seq with gap_before
// accounts for every frame between two results.
func (r *rig) checkOrder(t *testing.T) {
	t.Helper()
	epoch, prev := r.resume.Epoch, int64(r.resume.Seq)
	if epoch == "" {
		prev = -1
	}
	for _, d := range r.writer.out {
		if d.Epoch != epoch {
			epoch, prev = d.Epoch, -1
		}
		if int64(d.Seq) <= prev || d.PrevSeq != prev {
			t.Fatalf("seq %d (prev_seq %d) after %d", d.Seq, d.PrevSeq, prev)
		}
		var gap int64
		for why, n := range d.GapBefore {
			if why != vedette.GapSource { // it has no seq
				gap += int64(n)
			}
		}
		if gap != int64(d.Seq)-prev-1 {
			t.Errorf("seq %d after %d: gap_before %v adds up to %d", d.Seq, prev, d.GapBefore, gap)
		}
		prev = int64(d.Seq)
	}
}

func TestEveryKeepsAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 4, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), time.Duration(rng.IntN(50)) * time.Millisecond, nil
		})
		const n = 500
		for seq := range uint64(n) {
			r.deliver(t, r.frame("e1", seq))
		}
		c := r.finish(t)
		if len(r.writer.out) != n || c.Inferred != n {
			t.Errorf("%d results, %d inferred, want %d", len(r.writer.out), c.Inferred, n)
		}
		if r.workers.most > 4 {
			t.Errorf("%d requests under way with 4 credits", r.workers.most)
		}
	})
}

func TestLatestTakesNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Latest}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), 95 * time.Millisecond, nil
		})
		// 30 fps into an engine of about 10 fps.
		var newest uint64
		for seq := range uint64(300) {
			r.deliver(t, r.frame("e1", seq))
			newest = seq
			time.Sleep(33 * time.Millisecond)
			r.workers.mu.Lock()
			if k := len(r.workers.starts); k > 0 && newest-r.workers.starts[k-1] > 4 {
				t.Fatalf("newest frame is %d, the last run started with %d", newest, r.workers.starts[k-1])
			}
			r.workers.mu.Unlock()
		}
		c := r.finish(t)
		if c.Captured != 300 || c.Dropped[preprocess.DropStale] < 150 || c.Inferred < 90 {
			t.Errorf("account %+v", c)
		}
	})
}

func TestGapsAreAccounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 2, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), time.Millisecond, nil
		})
		r.deliver(t, r.frame("e1", 0))
		f := r.frame("e1", 5) // 1..4 missing: three sampled out, one lost
		f.Sampled = 3
		r.deliver(t, f)
		r.deliver(t, f) // again: counted once
		f = r.frame("e1", 6)
		f.Sampled, f.SourceGap = 3, 7
		r.pictures.lose(6)
		r.deliver(t, f)
		f = r.frame("e1", 7)
		f.Sampled, f.SourceGap = 3, 7
		r.deliver(t, f)
		end := r.frame("e1", 10) // 8 and 9 sampled out at the end
		end.Sampled, end.SourceGap, end.End = 5, 7, true
		r.deliver(t, end)
		r.deliver(t, r.frame("e2", 0))
		c := r.finish(t)
		want := map[string]uint64{preprocess.DropSampled: 5, preprocess.DropBus: 1, preprocess.DropOverwritten: 1}
		if fmt.Sprint(c.Dropped) != fmt.Sprint(want) || c.Captured != 11 || c.Inferred != 4 || c.SourceGap != 7 {
			t.Errorf("account %+v, want dropped %v", c, want)
		}
		// What the source left out is told with the next result that there is.
		out := r.writer.out
		if got := fmt.Sprint(out[2].Seq, out[2].GapBefore); len(out) != 4 || got != "7 map[overwritten:1 source_gap:7]" {
			t.Errorf("results %v: the third is %s", len(out), got)
		}
	})
}

func TestWorkerTroubles(t *testing.T) {
	table := []struct {
		name     string
		delivery preprocess.Delivery
		answer   func(try int) (*tensor.Answer, error)
		want     func(c preprocess.Counts) bool
		status   vedette.Status
	}{
		{"every waits for a worker", preprocess.Every, func(try int) (*tensor.Answer, error) {
			if try < 20 {
				return nil, preprocess.ErrNoWorker
			}
			return okAnswer(), nil
		}, func(c preprocess.Counts) bool { return c.Inferred == 1 }, vedette.StatusOK},
		{"latest drops without a worker", preprocess.Latest, func(int) (*tensor.Answer, error) {
			return nil, preprocess.ErrNoWorker
		}, func(c preprocess.Counts) bool { return c.Dropped[preprocess.DropNoWorker] == 1 }, ""},
		{"latest drops while the model is out", preprocess.Latest, func(int) (*tensor.Answer, error) {
			return nil, fmt.Errorf("%w: it hangs", preprocess.ErrModelOut)
		}, func(c preprocess.Counts) bool { return c.Dropped[preprocess.DropModelOut] == 1 }, ""},
		{"every fails while the model is out", preprocess.Every, func(int) (*tensor.Answer, error) {
			return nil, fmt.Errorf("%w: it hangs", preprocess.ErrModelOut)
		}, func(c preprocess.Counts) bool { return c.Failed == 1 }, vedette.StatusFailed},
		{"every tries again after a timeout", preprocess.Every, func(try int) (*tensor.Answer, error) {
			if try == 0 {
				return nil, preprocess.ErrTimeout
			}
			return okAnswer(), nil
		}, func(c preprocess.Counts) bool { return c.Inferred == 1 }, vedette.StatusOK},
		{"every gives up after three timeouts", preprocess.Every, func(int) (*tensor.Answer, error) {
			return nil, preprocess.ErrTimeout
		}, func(c preprocess.Counts) bool { return c.Failed == 1 }, vedette.StatusFailed},
		{"latest fails at once", preprocess.Latest, func(int) (*tensor.Answer, error) {
			return nil, errors.New("boom")
		}, func(c preprocess.Counts) bool { return c.Failed == 1 }, vedette.StatusFailed},
		{"expired", preprocess.Latest, func(int) (*tensor.Answer, error) {
			return &tensor.Answer{Status: vedette.StatusExpired, Reason: "old"}, nil
		}, func(c preprocess.Counts) bool { return c.Expired == 1 }, vedette.StatusExpired},
	}
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				try := 0
				r := newRig(t, preprocess.CameraConfig{Delivery: tt.delivery}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
					a, err := tt.answer(try)
					try++
					return a, time.Millisecond, err
				})
				r.deliver(t, r.frame("e1", 0))
				c := r.finish(t)
				if !tt.want(c) {
					t.Errorf("account %+v", c)
				}
				switch {
				case tt.status == "" && len(r.writer.out) != 0:
					t.Errorf("published %+v", r.writer.out[0])
				case tt.status != "" && (len(r.writer.out) != 1 || r.writer.out[0].Status != tt.status):
					t.Errorf("published %+v, want one with status %s", r.writer.out, tt.status)
				case tt.status != "" && tt.status != vedette.StatusOK && r.writer.out[0].Objects != nil:
					t.Error("objects beside a status that is not ok")
				}
			})
		})
	}
}

func TestFilterAndUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{
			Delivery: preprocess.Every,
			Detect:   []preprocess.DetectConfig{{Model: "m", MinScore: 0.5, Labels: []string{"car"}}},
		}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(vedette.Object{Label: "car", Score: 0.9}, vedette.Object{Label: "car", Score: 0.4}, vedette.Object{Label: "cat", Score: 0.9}), 0, nil
		})
		r.deliver(t, r.frame("e1", 0))
		bad := r.frame("e1", 1)
		bad.Unreadable, bad.Reason, bad.Item = true, "not a picture", "x.jpg"
		r.deliver(t, bad)
		c := r.finish(t)
		if got := *r.writer.out[0].Objects; len(got) != 1 || got[0].Label != "car" {
			t.Errorf("objects %+v", got)
		}
		if d := r.writer.out[1]; d.Status != vedette.StatusFailed || d.Reason != "not a picture" || d.Item != "x.jpg" || c.Failed != 1 {
			t.Errorf("unreadable item: %+v, account %+v", d, c)
		}
	})
}

func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{
			Delivery: preprocess.Every,
			Detect:   []preprocess.DetectConfig{{Model: "m", FPS: 2}},
		}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) { return okAnswer(), 0, nil })
		// The camera's only model asks for 2 fps, so capture samples and the
		// lane takes all it is given.
		for seq := range uint64(10) {
			r.deliver(t, r.frame("e1", seq))
			time.Sleep(100 * time.Millisecond)
		}
		if c := r.finish(t); c.Inferred != 10 {
			t.Errorf("account %+v", c)
		}
	})
}

func TestCloseDropsWhatWaitsAndPublishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 2, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), time.Second, nil
		})
		for seq := range uint64(10) {
			r.deliver(t, r.frame("e1", seq))
		}
		synctest.Wait()
		if err := r.owner.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := r.finish(t)
		if c.Inferred != 2 || c.Dropped[preprocess.DropShutdown] != 8 {
			t.Errorf("account %+v, want two inferred and eight dropped", c)
		}
	})
}

func TestUnpublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 2, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(), 0, nil
		})
		r.writer.fail = func(*vedette.Detection) error { return errors.New("refused") }
		r.deliver(t, r.frame("e1", 0))
		if c := r.finish(t); c.Dropped[preprocess.DropUnpublished] != 1 {
			t.Errorf("account %+v", c)
		}
	})
}
