//go:build !cv

package pipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/preprocess"
)

// oneBad is an engine of which one model, by its bytes, can be told to fail.
type oneBad struct {
	engine.Engine
	bad  *enginetest.Faulty
	onnx string
}

func (e oneBad) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	if string(onnx) == e.onnx {
		return e.bad.Load(ctx, onnx, opts)
	}
	return e.Engine.Load(ctx, onnx, opts)
}

// await waits for something.
func (p *plant) await(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("timed out waiting for %s; status %+v", what, p.Status())
		}
	}
}

// metric is the value of a series as the metrics page has it.
func (p *plant) metric(series string) (value string) {
	families, err := p.metrics.Gatherer().Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if f.GetName()+"{"+strings.Join(labels, ",")+"}" == series {
				return fmt.Sprint(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	return "none"
}

// TestModelThatFailsIsOut lets one of two models fail or hang. It is taken out,
// its cameras say so, every lossless frame has a result and every other one a
// reason; the other model's camera does not notice; and a reload brings it back
// when the cause is gone.
func TestModelThatFailsIsOut(t *testing.T) {
	for name, fault := range map[string]enginetest.Fault{"fails": enginetest.Fails, "hangs": enginetest.Hangs, "stalls": enginetest.Stalls} {
		t.Run(name, func(t *testing.T) {
			bad, good := network("bad"), network("good-one")
			bad.Loaded.ONNX = append(bad.Loaded.ONNX, 0x10, 0x00) // an unknown field: other bytes, the same network
			bad.Workers, good.Workers = 1, 1
			bad.Timeout = 250 * time.Millisecond
			bad.Care = infer.Care{Grace: 100 * time.Millisecond, Failures: 2, Reloads: 1, Backoff: time.Millisecond, Pause: time.Hour, Hanging: 2}
			eng := oneBad{gorgonia.New(), enginetest.NewFaulty(gorgonia.New()), string(bad.Loaded.ONNX)}
			t.Cleanup(eng.bad.LetGo)
			cameras := append(latest("bad", "yard", "line"), latest("good-one", "gate")...)
			cameras[1].Owner.Delivery = preprocess.Every
			p := startPlant(t, eng, Config{Models: []Model{bad, good}, Cameras: cameras})
			ctx, cancel := context.WithCancel(t.Context())
			p.film(ctx, 20*time.Millisecond, 1<<15)
			results := func(key string) int {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.out[key])
			}
			p.await("results of both models", func() bool {
				return min(results("yard bad"), results("line bad"), results("gate good-one")) >= 5
			})

			eng.bad.Set(fault)
			p.await("the end of the model", func() bool {
				s := p.Status()
				return s.Models[0].State == string(infer.StateOut) && s.Cameras[0].Degraded != nil && s.Cameras[1].Degraded != nil
			})
			s := p.Status()
			m := s.Models[0]
			if m.Credits != 0 || m.Reason == "" || m.Failures < 2 || m.Trouble() != "out: "+m.Reason || s.Models[1].Trouble() != "" || s.Models[1].Failures != 0 {
				t.Errorf("models %+v", s.Models)
			}
			for i, c := range s.Cameras {
				if want := (map[string]string{"bad": m.Reason})["bad"]; i < 2 && c.Degraded["bad"] != want || i == 2 && c.Degraded != nil {
					t.Errorf("%s is degraded by %v", c.ID, c.Degraded)
				}
			}
			if up := p.metric(`vedette_model_up{model="bad"}`) + p.metric(`vedette_model_up{model="good-one"}`); up != "01" {
				t.Errorf("model_up %s", up)
			}
			lossless := func() int { return int(p.owner.Accounts()["line"]["bad"].Failed) }
			failed, seenGood := lossless(), results("gate good-one")
			p.await("what becomes of frames meanwhile", func() bool {
				return lossless() > failed+5 && p.owner.Accounts()["yard"]["bad"].Dropped[preprocess.DropModelOut] > 5 && results("gate good-one") > seenGood+20
			})

			eng.bad.Set(enginetest.None)
			eng.bad.LetGo()
			p.await("nothing that hangs", func() bool { return p.Status().Models[0].Hanging == 0 })
			if _, err := p.Reconfigure(t.Context(), p.cfg); err != nil {
				t.Fatal(err)
			}
			p.await("the model", func() bool {
				s := p.Status()
				return s.Models[0].State == string(infer.StateOK) && s.Cameras[0].Degraded == nil && s.Cameras[1].Degraded == nil
			})
			inferred := p.owner.Accounts()["line"]["bad"].Inferred
			p.await("results again", func() bool { return p.owner.Accounts()["line"]["bad"].Inferred > inferred+5 })
			cancel()
			p.wg.Wait()
			for _, c := range p.cams {
				for model := range p.owner.Accounts()[c.id] {
					p.await("the last frame of "+c.id, func() bool {
						a := p.owner.Accounts()[c.id][model]
						return a.Captured == uint64(c.captured.Load()) && a.InFlight == 0
					})
				}
			}
			if err := p.drain(); err != nil {
				t.Fatal(err)
			}
			p.check(fault)
		})
	}
}

// check looks at what all cameras' frames came to.
func (p *plant) check(fault enginetest.Fault) {
	t := p.t
	for id, a := range p.owner.Accounts() {
		for model := range a {
			counts := p.account(id, model)
			results, left := p.chain(id, model)
			t.Logf("%s with %s: %d results, %d left out; %+v", id, model, results, left, counts)
			if id == "line" && left != 0 {
				t.Errorf("%d lossless frames have no result", left)
			}
			if model == "good-one" && counts.Failed != 0 {
				t.Errorf("the other model failed %d times", counts.Failed)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reasons := map[string]int{}
	for _, d := range p.out["line bad"] {
		if d.Status == vedette.StatusFailed {
			reasons[strings.SplitN(d.Reason, ":", 2)[0]]++
			if d.Objects != nil || d.Classes != nil {
				t.Errorf("a failed result with classes: %+v", d)
			}
		}
	}
	t.Logf("failed lossless frames: %v", reasons)
	if reasons["the model is out"] < 5 || fault == enginetest.Hangs && reasons["the run hangs"] < 1 {
		t.Errorf("reasons %v", reasons)
	}
}
