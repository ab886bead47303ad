//go:build cv

package preprocess_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// edition is one of model m, that takes pictures of side × side pixels.
func edition(sum string, side int) preprocess.ModelConfig {
	return preprocess.ModelConfig{
		Ref: vedette.ModelRef{Name: "m", SHA256: sum}, Edition: "of-" + sum, Credits: 2,
		Input: models.Input{Width: side, Height: side, Layout: models.NCHW, Color: models.BGR, Resize: models.Stretch, Interpolation: models.Nearest, Type: models.Float32, Scale: 1},
	}
}

// served answers with the model that a request names, unless the edition is not
// there any more.
func served(gone func(sum string) bool) func(req *tensor.Request) (*tensor.Answer, time.Duration, error) {
	return func(req *tensor.Request) (*tensor.Answer, time.Duration, error) {
		if gone(req.SHA256) {
			return nil, time.Millisecond, preprocess.ErrNoWorker
		}
		a := okAnswer()
		a.Model = vedette.ModelRef{Name: "m", SHA256: req.SHA256}
		return a, 50 * time.Millisecond, nil
	}
}

// editions are those of results, in order and without repeats.
func editions(out []*vedette.Detection) (all []string) {
	for _, d := range out {
		if d.Status == vedette.StatusOK {
			all = append(all, d.Model.SHA256)
		}
	}
	return slices.Compact(all)
}

// watch checks that each tensor has the size of the edition that it is for.
func (r *rig) watch(t *testing.T, sides map[string]int) {
	r.workers.mu.Lock()
	defer r.workers.mu.Unlock()
	r.workers.see = func(req *tensor.Request, body []byte) {
		side := sides[req.SHA256]
		if len(body) != 3*side*side || req.Geometry.ScaleX != float64(side)/8 {
			t.Errorf("a tensor of %d bytes, scaled by %v, for %s", len(body), req.Geometry.ScaleX, req.SHA256)
		}
		if req.Edition != "of-"+req.SHA256 && req.SHA256 != "abc" {
			t.Errorf("a tensor for %s of edition %s", req.SHA256, req.Edition)
		}
	}
}

func (r *rig) set(t *testing.T, m preprocess.ModelConfig) {
	t.Helper()
	if err := r.owner.SetModel(m); err != nil {
		t.Fatal(err)
	}
}

// uses are the editions that somebody has to serve.
func (r *rig) uses() string {
	var parts []string
	for _, u := range r.owner.Uses() {
		parts = append(parts, fmt.Sprintf("%s %d", u.Ref.SHA256, u.Cameras))
		if u.Leaving {
			parts[len(parts)-1] += " leaving"
		}
	}
	return strings.Join(parts, ", ")
}

// A model is changed while frames come: each has one result, in order, first of
// the one and then of the other, made for the one that it is of.
func TestModelIsChanged(t *testing.T) {
	for _, delivery := range []preprocess.Delivery{preprocess.Every, preprocess.Latest} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, preprocess.CameraConfig{Delivery: delivery}, 2, served(func(string) bool { return false }))
			r.watch(t, map[string]int{"abc": 4, "new": 6, "newer": 2})
			for seq := range uint64(150) {
				r.deliver(t, r.frame("e1", seq))
				switch seq {
				case 50:
					r.set(t, edition("new", 6))
				case 100:
					r.set(t, edition("newer", 2))
				}
				time.Sleep(20 * time.Millisecond)
			}
			c := r.finish(t)
			if got := editions(r.writer.out); !slices.Equal(got, []string{"abc", "new", "newer"}) {
				t.Errorf("%s: results of %v", delivery, got)
			}
			if delivery == preprocess.Every && (len(r.writer.out) != 150 || c.Inferred != 150) {
				t.Errorf("%d results, account %+v", len(r.writer.out), c)
			}
			if c.Dropped[preprocess.DropNoWorker]+c.Failed > 0 {
				t.Errorf("%s: account %+v", delivery, c)
			}
		})
	}
}

// What is under way when its edition is served no more is made anew for the one
// of now, in either size.
func TestRequestsAreMadeAnew(t *testing.T) {
	for _, side := range []int{4, 6} {
		synctest.Test(t, func(t *testing.T) {
			gone := "none"
			r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 3, served(func(sum string) bool { return sum == gone }))
			r.watch(t, map[string]int{"abc": 4, "new": side})
			r.workers.mu.Lock()
			gone = "abc"
			r.workers.mu.Unlock()
			for seq := range uint64(20) {
				r.deliver(t, r.frame("e1", seq))
			}
			time.Sleep(3 * time.Second)
			if len(r.results()) != 0 || r.uses() != "abc 1" {
				t.Errorf("%d results without a worker; in use: %s", len(r.results()), r.uses())
			}
			r.set(t, edition("new", side))
			if got := r.uses(); got != "abc 0 leaving, new 1" {
				t.Errorf("in use: %s", got)
			}
			c := r.finish(t)
			if got := editions(r.writer.out); c.Inferred != 20 || !slices.Equal(got, []string{"new"}) {
				t.Errorf("results of %v, account %+v", got, c)
			}
			if got := r.uses(); got != "new 1" {
				t.Errorf("in use at the end: %s", got)
			}
		})
	}
}

// An edition is in use until its last answer, and frames behind it need not wait
// for that.
func TestEditionLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 1, func(req *tensor.Request) (*tensor.Answer, time.Duration, error) {
			a, takes := okAnswer(), time.Millisecond
			a.Model.SHA256 = req.SHA256
			if req.SHA256 == "abc" {
				takes = time.Minute
			}
			return a, takes, nil
		})
		for seq := range uint64(3) { // the first has the only credit
			r.deliver(t, r.frame("e1", seq))
		}
		time.Sleep(time.Second)
		r.set(t, edition("new", 6))
		time.Sleep(time.Second)
		r.workers.mu.Lock()
		started := slices.Clone(r.workers.starts)
		r.workers.mu.Unlock()
		if !slices.Equal(started, []uint64{0, 1, 2}) || len(r.results()) != 0 || r.uses() != "abc 0 leaving, new 1" {
			t.Errorf("frames %v are with workers, %d results are out; in use: %s", started, len(r.results()), r.uses())
		}
		time.Sleep(time.Minute)
		if got := editions(r.results()); !slices.Equal(got, []string{"abc", "new"}) || len(r.results()) != 3 || r.uses() != "new 1" {
			t.Errorf("%d results of %v; in use: %s", len(r.results()), got, r.uses())
		}
		r.finish(t)
	})
}

// What is wrong changes nothing; a model that cameras use stays.
func TestModelIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 1, served(func(string) bool { return false }))
		bad := edition("bad", 6)
		bad.Input.Resize = "fold"
		if err := r.owner.SetModel(bad); err == nil || !strings.Contains(err.Error(), "fold") {
			t.Errorf("a way of resizing that does not exist: %v", err)
		}
		if err := r.owner.SetModel(edition("empty", 0)); err == nil || !strings.Contains(err.Error(), "0×0") {
			t.Errorf("no size: %v", err)
		}
		if err := r.owner.RemoveModel("m"); err == nil || !strings.Contains(err.Error(), "cam") {
			t.Errorf("a model in use is removed: %v", err)
		}
		r.deliver(t, r.frame("e1", 0))
		r.finish(t)
		if got := editions(r.writer.out); !slices.Equal(got, []string{"abc"}) {
			t.Errorf("results of %v", got)
		}
		if err := r.owner.Remove(t.Context(), "cam"); err != nil {
			t.Fatal(err)
		}
		if err := r.owner.RemoveModel("m"); err != nil {
			t.Error(err)
		}
		if err := r.owner.Add(preprocess.CameraConfig{ID: "cam", Detect: []preprocess.DetectConfig{{Model: "m"}}}); err == nil {
			t.Error("a camera with a model that was removed")
		}
		r.set(t, edition("new", 6))
		if err := r.owner.Add(preprocess.CameraConfig{ID: "cam", Detect: []preprocess.DetectConfig{{Model: "m"}}}); err != nil {
			t.Error(err)
		}
		if got := r.uses(); got != "new 1" {
			t.Errorf("in use: %s", got)
		}
		if err := r.owner.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A camera that asks for no score of its own has that of the edition.
func TestScoreOfTheEdition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, preprocess.CameraConfig{Delivery: preprocess.Every}, 1, func(*tensor.Request) (*tensor.Answer, time.Duration, error) {
			return okAnswer(vedette.Object{Score: 0.9}, vedette.Object{Score: 0.5}, vedette.Object{Score: 0.1}), 0, nil
		})
		for seq, score := range []float64{0.4, 0.8, 0.05} {
			m := edition(fmt.Sprint("s", seq), 4)
			m.MinScore = score
			r.set(t, m)
			r.deliver(t, r.frame("e1", uint64(seq)))
			time.Sleep(time.Second)
		}
		r.finish(t)
		var found []int
		for _, d := range r.writer.out {
			found = append(found, len(*d.Objects))
		}
		if !slices.Equal(found, []int{2, 1, 3}) {
			t.Errorf("%v objects", found)
		}
	})
}

// Tensors in the spool go to the edition of now if they fit it, else to theirs,
// and if that is served no more they have failed.
func TestSpoolAcrossEditions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		side     int
		gone     bool // the first edition, when the second comes
		restart  bool // of the owner
		old, new int  // results of each
	}{
		{"the same fit", 4, true, false, 0, 30},
		{"the same fit, another owner", 4, true, true, 0, 30},
		{"another fit", 6, false, false, 20, 10},
		{"another fit, not served", 6, true, false, 0, 10},
		{"another fit, another owner", 6, true, true, 0, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone, s := "abc", newSpool()
				answer := served(func(sum string) bool { return sum == gone })
				r := newSpooledRig(t, s, nil, answer)
				sides := map[string]int{"abc": 4, "new": tt.side}
				r.watch(t, sides)
				for seq := range uint64(20) {
					r.deliver(t, r.frame("e1", seq))
				}
				time.Sleep(time.Second)
				if n := len(r.results()); n != 0 || r.uses() != "abc 1" {
					t.Errorf("%d results without a worker; in use: %s", n, r.uses())
				}
				if tt.restart {
					if err := r.owner.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					r = newRigOn(t, s, edition("new", tt.side), preprocess.CameraConfig{Delivery: preprocess.Every, Spool: true}, answer)
					r.watch(t, sides)
				} else {
					r.set(t, edition("new", tt.side))
				}
				if !tt.gone {
					r.workers.mu.Lock()
					gone = "none"
					r.workers.mu.Unlock()
				}
				for seq := uint64(20); seq < 30; seq++ {
					r.deliver(t, r.frame("e1", seq))
				}
				r.finish(t)
				checkSpooled(t, 30, r.writer.out)
				of := map[string]int{}
				for _, d := range r.writer.out {
					if d.Status == vedette.StatusOK {
						of[d.Model.SHA256]++
					} else if of["failed"]++; d.Reason != "the frame was prepared for another model, which was replaced" {
						t.Errorf("frame %d: %s", d.Seq, d.Reason)
					}
				}
				if of["abc"] != tt.old || of["new"] != tt.new || of["failed"] != 30-tt.old-tt.new {
					t.Errorf("results %v", of)
				}
				if got := r.uses(); got != "new 1" {
					t.Errorf("in use at the end: %s", got)
				}
			})
		})
	}
}
