package infer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/tensor"
)

// quick is care in tests, where nobody wants to wait.
func quick(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) {
	cfg.Timeout = 300 * time.Millisecond
	cfg.Care = infer.Care{
		Grace: 100 * time.Millisecond, Failures: 3, Reloads: 2, Window: time.Hour, Backoff: time.Millisecond, Pause: time.Hour, Hanging: 2,
	}
}

// faulty is a pool with an engine that can be told to fail.
func faulty(t *testing.T, change func(*infer.WorkerConfig, *infer.WorkerDeps)) (*rig, *enginetest.Faulty) {
	t.Helper()
	e := enginetest.NewFaulty(gorgonia.New())
	r := newRig(t, e, classifier(-1), func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
		quick(cfg, deps)
		if change != nil {
			change(cfg, deps)
		}
	})
	t.Cleanup(e.LetGo)
	return r, e
}

// failed checks that an answer is a failure for this reason.
func failed(t *testing.T, a *tensor.Answer, reason string) {
	t.Helper()
	if a.Status != vedette.StatusFailed || !strings.Contains(a.Reason, reason) || a.Objects != nil || a.Classes != nil || a.Again {
		t.Errorf("answer %+v, want it failed for %q", a, reason)
	}
}

// TestLongRunIsCutOff: a network that takes longer than it may is stopped by
// the real engines, and the next picture finds the worker free.
func TestLongRunIsCutOff(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		long, body := convNet(1, 60, 128), make([]byte, 3*128*128)
		free := newRig(t, e, long, nil)
		took := time.Hour
		for range 3 { // another program may delay one
			free.wait(free.send(body, time.Time{}))
			took = min(took, free.seen.time)
		}
		limit := (took / 8).Round(time.Microsecond)
		r := newRig(t, e, long, func(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) {
			cfg.Timeout, cfg.Care.Failures = limit, 100
		})
		cut := 0
		for range 4 {
			switch a := r.wait(r.send(body, time.Time{})); a.Status {
			case vedette.StatusFailed:
				failed(t, a, "cut off after "+limit.String())
				cut++
			case vedette.StatusOK: // a fast machine, and a timer that was late
			default:
				t.Errorf("%+v", a)
			}
		}
		h := r.Health()
		t.Logf("%d of 4 runs of %v were cut off at %v; health %+v", cut, free.seen.time, limit, h)
		if cut == 0 || h.CutOff != uint64(cut) || h.Failures != uint64(cut) || h.GivenUp != 0 || h.Hanging != 0 || h.State != infer.StateOK {
			t.Errorf("%d runs cut off, health %+v", cut, h)
		}
	})
}

// TestHungRunIsGivenUp: the worker of a run that heeds nothing is replaced, and
// what its run holds is freed when it ends after all.
func TestHungRunIsGivenUp(t *testing.T) {
	r, e := faulty(t, nil)
	e.Set(enginetest.Hangs)
	failed(t, r.ask(0), "hangs")
	if h := r.Health(); h.GivenUp != 1 || h.Hanging != 1 || h.State != infer.StateOK {
		t.Errorf("health %+v", h)
	}
	e.Set(enginetest.None)
	for i := range 5 {
		if a := r.ask(i); a.Status != vedette.StatusOK {
			t.Errorf("with a new worker: %+v", a)
		}
	}
	if e.Loads() != 1 {
		t.Errorf("the model was loaded %d times", e.Loads())
	}
	e.LetGo()
	r.await("the end of the run", func(h infer.Health) bool { return h.Hanging == 0 })
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if r.seen.failed["hang"] != 1 {
		t.Errorf("failures %v", r.seen.failed)
	}
}

// TestTooManyHangingRuns: there are never more than allowed, and the model
// comes back only when they are gone.
func TestTooManyHangingRuns(t *testing.T) {
	r, e := faulty(t, nil)
	e.Set(enginetest.Hangs)
	for i := range 2 {
		failed(t, r.ask(i), "hangs")
	}
	r.await("the model's end", func(h infer.Health) bool { return h.State == infer.StateOut })
	if h := r.Health(); h.Hanging != 2 || !strings.Contains(h.Reason, "2 runs hang") {
		t.Errorf("health %+v", h)
	}
	if a := r.ask(3); !a.Again || a.Status != "" || r.Credits() != 0 {
		t.Errorf("a model that is out has %d credits and answers %+v", r.Credits(), a)
	}
	e.Set(enginetest.None)
	r.Retry()
	r.await("a look at what still hangs", func(h infer.Health) bool { return strings.Contains(h.Reason, "still hang") })
	if e.Loads() != 1 {
		t.Errorf("the model was loaded %d times", e.Loads())
	}
	e.LetGo()
	r.await("the end of the runs", func(h infer.Health) bool { return h.Hanging == 0 })
	r.Retry()
	r.await("the model", func(h infer.Health) bool { return h.State == infer.StateOK })
	if a := r.ask(3); a.Status != vedette.StatusOK {
		t.Errorf("%+v", a)
	}
}

// TestFailingModelIsLoadedAnew: three failures in a row, not fewer, and not
// three pictures that the model does not fit.
func TestFailingModelIsLoadedAnew(t *testing.T) {
	for name, fault := range map[string]enginetest.Fault{"fails": enginetest.Fails, "stalls": enginetest.Stalls} {
		t.Run(name, func(t *testing.T) {
			r, e := faulty(t, nil)
			for range 3 {
				e.Set(fault)
				for range 2 {
					failed(t, r.ask(0), "")
				}
				e.Set(enginetest.None)
				if a := r.ask(0); a.Status != vedette.StatusOK {
					t.Fatalf("%+v", a)
				}
			}
			for range 5 {
				failed(t, r.wait(r.send([]byte{1, 2, 3}, time.Time{})), "tensor of 3 bytes")
				failed(t, r.wait(r.sendRaw("{}", r.picture(0))), "impossible geometry")
				for _, other := range []string{`"sha256":"ffff"`, `"sha256":"` + r.Ref().SHA256 + `","edition":"other"`} {
					a := r.wait(r.sendRaw(`{`+other+`,"geometry":{"scale_x":1,"scale_y":1,"width":1,"height":1}}`, r.picture(0)))
					if !a.Again || a.Status != "" || !strings.Contains(a.Reason, "for another model") {
						t.Errorf("a picture for another model: %+v", a)
					}
				}
			}
			if h := r.Health(); h.Reloads != 0 || h.Failures != 6 || h.State != infer.StateOK {
				t.Errorf("health %+v", h)
			}
			e.Set(fault)
			for range 3 {
				failed(t, r.ask(0), "")
			}
			e.Set(enginetest.None)
			r.await("the model", func(h infer.Health) bool { return h.Reloads == 1 && h.State == infer.StateOK })
			if a := r.ask(0); a.Status != vedette.StatusOK || e.Loads() != 2 {
				t.Errorf("%+v after %d loads", a, e.Loads())
			}
			if want := []infer.State{infer.StateOK, infer.StateReloading, infer.StateOK}; !slices.Equal(r.seen.states, want) {
				t.Errorf("states %v, want %v", r.seen.states, want)
			}
		})
	}
}

// TestFailingModelIsTakenOut: when loading it anew does not help, it is out, and
// comes back when somebody asks, or after a pause.
func TestFailingModelIsTakenOut(t *testing.T) {
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprint("asked for: ", asks), func(t *testing.T) {
			r, e := faulty(t, func(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) {
				if !asks {
					cfg.Care.Pause = 300 * time.Millisecond
				}
			})
			e.Set(enginetest.Fails)
			failures := 0
			for end := time.Now().Add(time.Minute); r.Health().State != infer.StateOut; {
				if time.Now().After(end) {
					t.Fatalf("it does not come to an end: %+v", r.Health())
				}
				if a := r.ask(0); !a.Again {
					failed(t, a, enginetest.ErrFault.Error())
					failures++
				}
			}
			h := r.Health()
			if h.Reloads != 2 || e.Loads() != 3 || failures < 9 || h.Failures != uint64(failures) || !strings.Contains(h.Reason, enginetest.ErrFault.Error()) {
				t.Errorf("after %d failures and %d loads: health %+v", failures, e.Loads(), h)
			}
			if a := r.ask(0); !a.Again || r.Credits() != 0 {
				t.Errorf("%+v, %d credits", a, r.Credits())
			}
			r.await("nothing under way", func(infer.Health) bool { return r.Idle() })
			e.Set(enginetest.None)
			if asks {
				r.Retry()
			}
			r.await("the model", func(h infer.Health) bool { return h.State == infer.StateOK })
			if a := r.ask(0); a.Status != vedette.StatusOK || r.Credits() == 0 {
				t.Errorf("%+v, %d credits", a, r.Credits())
			}
		})
	}
}

// TestModelThatCannotBeLoadedAnew waits longer each time, is out in the end and
// comes back.
func TestModelThatCannotBeLoadedAnew(t *testing.T) {
	r, e := faulty(t, nil)
	e.Set(enginetest.Fails)
	for range 2 {
		failed(t, r.ask(0), "")
	}
	last := r.send(r.picture(0), time.Time{})
	r.wait(last)
	e.Set(enginetest.LoadFails)
	r.await("its end", func(h infer.Health) bool { return h.State == infer.StateOut })
	if h := r.Health(); h.Reloads < 1 || h.Reloads > 2 {
		t.Errorf("health %+v", h)
	}
	e.Set(enginetest.None)
	r.Retry()
	r.await("the model", func(h infer.Health) bool { return h.State == infer.StateOK && h.Reason == "" })
	if a := r.ask(0); a.Status != vedette.StatusOK {
		t.Errorf("%+v", a)
	}
}

// TestCloseWhileItHangs: the end does not wait for runs that do not end, and
// every request has its answer.
func TestCloseWhileItHangs(t *testing.T) {
	r, e := faulty(t, func(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) { cfg.Timeout, cfg.Workers = time.Hour, 2 })
	e.Set(enginetest.Hangs)
	var coming []<-chan *tensor.Answer
	for i := range 6 {
		coming = append(coming, r.send(r.picture(i), time.Time{}))
	}
	for e.Hanging() < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("close: %v", err)
	}
	for i, c := range coming {
		if a := r.wait(c); !a.Again {
			t.Errorf("request %d: %+v", i, a)
		}
	}
	if a := r.ask(9); !a.Again {
		t.Errorf("a request after the end: %+v", a)
	}
	r.await("nothing under way", func(infer.Health) bool { return r.Idle() })
	e.LetGo()
	r.await("the end of the runs", func(h infer.Health) bool { return h.Hanging == 0 })
}

// TestCloseWhileItIsMended does not wait for the model.
func TestCloseWhileItIsMended(t *testing.T) {
	loading, proceed := make(chan struct{}), make(chan struct{})
	r, e := faulty(t, func(_ *infer.WorkerConfig, deps *infer.WorkerDeps) {
		load := deps.Load
		deps.Load = func(ctx context.Context) (engine.Model, error) {
			close(loading)
			<-proceed // a driver that hangs
			return load(context.WithoutCancel(ctx))
		}
	})
	e.Set(enginetest.Fails)
	for range 3 {
		r.ask(0)
	}
	<-loading
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	close(proceed) // what comes of it is freed: the check for leaks would see it
}

// TestOthersGoOn: two models share one slot; one of them hangs again and again
// and is out, and the other one answers every request meanwhile.
func TestOthersGoOn(t *testing.T) {
	shares := infer.NewShares(1)
	bad, e := faulty(t, func(_ *infer.WorkerConfig, deps *infer.WorkerDeps) { deps.Shares = shares })
	good := newRig(t, gorgonia.New(), classifier(1), func(_ *infer.WorkerConfig, deps *infer.WorkerDeps) { deps.Shares = shares })
	e.Set(enginetest.Hangs)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-bad.send(bad.picture(0), time.Time{}):
			}
		}
	}()
	answered := 0
	for end := time.Now().Add(time.Minute); bad.Health().State != infer.StateOut || answered < 20; answered++ {
		if time.Now().After(end) {
			t.Fatalf("the failing model is not out: %+v", bad.Health())
		}
		if a := good.ask(answered); a.Status != vedette.StatusOK {
			t.Fatalf("the other model: %+v", a)
		}
	}
	close(stop)
	<-done
	t.Logf("%d answers of the other model; the failing one %+v", answered, bad.Health())
	if h := good.Health(); h.State != infer.StateOK || h.Failures != 0 {
		t.Errorf("the other model's health %+v", h)
	}
}

// TestOthersGoOnWhileNothingHelps: the only worker of a model hangs, and so does
// what is to take its place, with requests waiting. The one slot is the other
// model's meanwhile.
func TestOthersGoOnWhileNothingHelps(t *testing.T) {
	shares := infer.NewShares(1)
	bad, e := faulty(t, func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
		deps.Shares, cfg.Timeout = shares, 2*time.Second
	})
	good := newRig(t, gorgonia.New(), classifier(1), func(_ *infer.WorkerConfig, deps *infer.WorkerDeps) { deps.Shares = shares })
	e.Set(enginetest.HangsForGood)
	var coming []<-chan *tensor.Answer
	for i := range 3 {
		coming = append(coming, bad.send(bad.picture(i), time.Time{}))
	}
	bad.await("a worker that is given up", func(h infer.Health) bool { return h.GivenUp == 1 })
	answered := 0
	for bad.Health().State == infer.StateOK {
		if a := good.ask(answered); a.Status != vedette.StatusOK {
			t.Fatalf("%+v", a)
		}
		answered++
	}
	t.Logf("%d answers of the other model until %s", answered, bad.Health().Reason)
	if answered < 20 || !strings.Contains(bad.Health().Reason, "hangs as well") {
		t.Errorf("%d answers of the other model; health %+v", answered, bad.Health())
	}
	for _, c := range coming {
		if a := bad.wait(c); !a.Again {
			failed(t, a, "hangs")
		}
	}
}

// TestBusyPoolsShareByWeight keeps two real models busy on one slot. Their runs
// are long beside what a busy machine takes to bring the next request.
func TestBusyPoolsShareByWeight(t *testing.T) {
	shares := infer.NewShares(1)
	var rigs []*rig
	for i, weight := range []float64{3, 1} {
		rigs = append(rigs, newRig(t, gorgonia.New(), convNet(1, 8+4*i, 64), func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
			cfg.Weight, deps.Shares = weight, shares
		}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	for _, r := range rigs {
		for range 4 { // as many as there may ever be under way
			go func() {
				defer func() { done <- struct{}{} }()
				body := make([]byte, 3*64*64)
				for ctx.Err() == nil {
					if a := r.wait(r.send(body, time.Time{})); a.Status != vedette.StatusOK {
						t.Errorf("%+v", a)
					}
				}
			}()
		}
	}
	spent := func() (heavy, light time.Duration) {
		for i, p := range []*time.Duration{&heavy, &light} {
			rigs[i].seen.mu.Lock()
			*p = rigs[i].seen.time
			rigs[i].seen.mu.Unlock()
		}
		return heavy, light
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if heavy, light := spent(); heavy+light > 2*time.Second || time.Now().After(end) {
			break
		}
	}
	heavy, light := spent()
	cancel()
	for range 8 {
		<-done
	}
	t.Logf("weight 3: %v in %d runs, weight 1: %v in %d runs; %.2f times the time",
		heavy, len(rigs[0].seen.runs), light, len(rigs[1].seen.runs), heavy.Seconds()/light.Seconds())
	// Runs are not interrupted: one that the machine delayed may be ahead by its
	// length. The tenth is for requests that came late.
	apart, most := (heavy/3 - light).Abs(), max(rigs[0].seen.most, rigs[1].seen.most)
	if limit := 2*most + (heavy+light)/10; apart > limit {
		t.Errorf("by their weights they are %v apart, more than %v", apart, limit)
	}
}
