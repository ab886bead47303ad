//go:build !cv

package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
)

// another is the same network in a file of other bytes.
func another(m Model, revision byte) Model {
	loaded := *m.Loaded
	loaded.ONNX = append(slices.Clone(loaded.ONNX), 0x10, revision)
	loaded.Report.SHA256 = strings.Repeat(string('0'+revision), 64)
	m.Loaded = &loaded
	return m
}

// lagging is an owner elsewhere that goes on with an edition until the test ends.
func (p *plant) lagging(key serving) (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p.roster.note(&Status{Instance: "elsewhere-1", State: Health, Uses: []ModelUse{{
				Name: key.model, SHA256: key.sha256, Edition: key.edition, State: UseNow, Cameras: 1,
			}}})
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	stop = func() { cancel(); <-done }
	p.t.Cleanup(stop)
	return stop
}

// change has the plant take another model in place of its only one.
func (p *plant) changeTo(m Model) {
	p.t.Helper()
	cfg := p.cfg
	cfg.Models = []Model{m}
	if _, err := p.Reconfigure(p.t.Context(), cfg); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) sums() (sums []string) {
	for _, m := range p.Status().Models {
		sums = append(sums, m.SHA256[:1])
	}
	return sums
}

// An edition that was replaced is served while somebody uses it, but not for
// ever, and comes back without being loaded when the configuration goes back.
func TestReplacedModelsStayForAWhile(t *testing.T) {
	eng := enginetest.NewFaulty(gorgonia.New())
	first := network("net")
	first.Loaded.Report.SHA256 = strings.Repeat("0", 64)
	p := startPlant(t, eng, Config{Models: []Model{first}, Cameras: latest("net", "gate")})
	stop := p.lagging(servingOf("net", first.Loaded))
	p.film(t.Context(), 5*time.Millisecond, 1<<30)
	p.await("results", func() bool { return p.owner.Accounts()["gate"]["net"].Inferred > 5 })

	p.changeTo(another(first, 1))
	if got := p.roster.used("net").sha256[:1]; got != "1" || !slices.Equal(p.sums(), []string{"1", "0"}) {
		t.Errorf("used is %s, served are %v", got, p.sums())
	}
	time.Sleep(3 * announceEvery) // long enough to be dismissed by mistake
	loads := eng.Loads()
	p.changeTo(first)
	if eng.Loads() != loads || p.roster.used("net").sha256[:1] != "0" {
		t.Errorf("%d loads to go back, used is %s", eng.Loads()-loads, p.roster.used("net").sha256[:1])
	}
	p.await("the end of the second", func() bool { return slices.Equal(p.sums(), []string{"0"}) })

	p.changeTo(another(first, 2))
	old := p.service("net").all()[1]
	long := time.Now().Add(-keepOld)
	old.since.Store(&long)
	p.await("the end of one that was kept for long enough", func() bool { return slices.Equal(p.sums(), []string{"2"}) })

	p.changeTo(another(first, 3))
	stop()
	p.await("the end of one whose user is gone", func() bool { return slices.Equal(p.sums(), []string{"3"}) })
	if up := p.metric(`vedette_model_up{model="net"}`); up != "1" {
		t.Errorf("model_up is %s", up)
	}
	if a := p.owner.Accounts()["gate"]["net"]; a.Failed > 0 || a.Balance() != 0 {
		t.Errorf("account %+v", a)
	}
}

// A model that is out, since it hangs, is replaced by one that works, and what
// hangs goes with it.
func TestModelThatHangsIsReplaced(t *testing.T) {
	bad := network("net")
	bad.Loaded.Report.SHA256 = strings.Repeat("0", 64)
	bad.Timeout, bad.Workers = 250*time.Millisecond, 1
	bad.Care = infer.Care{Grace: 100 * time.Millisecond, Failures: 2, Reloads: 1, Backoff: time.Millisecond, Pause: time.Hour, Hanging: 2}
	eng := oneBad{gorgonia.New(), enginetest.NewFaulty(gorgonia.New()), string(bad.Loaded.ONNX)}
	t.Cleanup(eng.bad.LetGo)
	p := startPlant(t, eng, Config{Models: []Model{bad}, Cameras: latest("net", "gate")})
	p.film(t.Context(), 10*time.Millisecond, 1<<30)
	p.await("results", func() bool { return p.owner.Accounts()["gate"]["net"].Inferred > 5 })
	eng.bad.Set(enginetest.Hangs)
	p.await("the end of the model", func() bool { return p.Status().Models[0].State == string(infer.StateOut) })
	p.changeTo(another(bad, 1))
	inferred := p.owner.Accounts()["gate"]["net"].Inferred
	p.await("results of the other", func() bool { return p.owner.Accounts()["gate"]["net"].Inferred > inferred+5 })
	p.await("the end of the one that hangs", func() bool { return slices.Equal(p.sums(), []string{"1"}) })
	if s := p.Status(); s.Cameras[0].Degraded != nil || s.Models[0].Trouble() != "" {
		t.Errorf("cameras %+v, models %+v", s.Cameras, s.Models)
	}
}

// What nobody has used for a while leaves the bus; what is used stays.
func TestOutdatedModelsLeaveTheBus(t *testing.T) {
	first := network("net")
	first.Loaded.Manifest.File, first.Loaded.Manifest.SHA256 = "", ""
	p := startPlant(t, gorgonia.New(), Config{Bus: bus.Config{Listen: "127.0.0.1:0"}, Models: []Model{first}, Cameras: latest("net", "gate")})
	key := servingOf("net", first.Loaded)
	second := another(first, 1)
	there := func(key serving) bool {
		t.Helper()
		_, err := p.bus.GetManifest(t.Context(), key.model, key.edition)
		if err != nil && !errors.Is(err, bus.ErrNoModel) {
			t.Log(err) // it may be removed while it is read
		}
		return err == nil
	}
	p.changeTo(second)
	if !there(key) || !there(servingOf("net", second.Loaded)) {
		t.Fatal("both should be on the bus")
	}
	stop := p.lagging(key)
	age := func() {
		p.Pipeline.mu.Lock()
		defer p.Pipeline.mu.Unlock()
		if _, ok := p.outdated[key]; ok {
			p.outdated[key] = time.Now().Add(-outdatedTime)
		}
	}
	p.await("the other owner", func() bool { return len(p.roster.users(key)) == 1 })
	age()
	p.clear(t.Context())
	if !there(key) {
		t.Error("an edition that somebody uses is gone")
	}
	stop()
	p.await("the end of it", func() bool { age(); return !there(key) })
	if !there(servingOf("net", second.Loaded)) {
		t.Error("the edition of now is gone")
	}
}
