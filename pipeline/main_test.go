//go:build cv

package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// rig is a pipeline under test and what it published.
type rig struct {
	*pipeline.Pipeline
	t      *testing.T
	log    *testkit.Log
	cancel context.CancelFunc
	done   chan error
	stop   func() error
	ended  bool

	mu     sync.Mutex
	out    []*vedette.Detection
	states []ingest.State
	wake   testkit.Signal
}

// start runs a pipeline beside the test.
func start(t *testing.T, cfg pipeline.Config) *rig {
	t.Helper()
	r := &rig{t: t, log: new(testkit.Log), done: make(chan error, 1), wake: testkit.NewSignal()}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	var err error
	r.Pipeline, err = pipeline.Start(ctx, cfg, pipeline.Deps{Log: slog.New(slog.NewTextHandler(r.log, nil)), State: r.state})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.end()
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	if r.stop, err = r.Bus().SubscribeDetections(context.Background(), func(d *vedette.Detection, _ []byte) { r.seen(d) }); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.Run(ctx) }()
	return r
}

func (r *rig) seen(d *vedette.Detection) {
	r.mu.Lock()
	r.out = append(r.out, d)
	r.mu.Unlock()
	r.wake.Wake()
}

func (r *rig) state(s ingest.State) {
	r.mu.Lock()
	r.states = append(r.states, s)
	r.mu.Unlock()
	r.wake.Wake()
}

// await waits for something that the test sees in r.out or r.states.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	r.wake.Await(r.t, &r.mu, 40*time.Second, what, ok)
}

// wait lets finite sources come to their end.
func (r *rig) wait() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return errors.Join(err, r.drain()) // the last results are on their way here
	case <-time.After(time.Minute):
		r.t.Fatal("the pipeline does not end")
		return nil
	}
}

// end stops everything, and checks that every account is closed.
func (r *rig) end() {
	if r.ended {
		return
	}
	r.ended = true
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		r.t.Error("Run does not end")
	}
	for _, c := range r.Status().Cameras {
		for model, a := range c.Accounts {
			if a.Balance() != 0 || a.InFlight != 0 {
				r.t.Errorf("account of %s and %s is not closed: %+v", c.ID, model, a)
			}
		}
	}
	if err := errors.Join(r.drain(), r.Close()); err != nil {
		r.t.Errorf("close: %v", err)
	}
	// The pipeline lives within its role.
	for _, refusal := range []string{"ermission", "may not do that", "bus: refused"} {
		if strings.Contains(r.log.String(), refusal) {
			r.t.Errorf("the bus refused something: %q is in the log", refusal)
		}
	}
	if n := r.Bus().Counters().Errors.Load(); n > 0 {
		r.t.Errorf("%d errors on the bus", n)
	}
}

// drain takes what was published and has not come here yet.
func (r *rig) drain() error {
	stop := r.stop
	r.stop = func() error { return nil }
	return stop()
}

// of returns what was published for a camera so far; "" is all.
func (r *rig) of(camera string) []*vedette.Detection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*vedette.Detection
	for _, d := range r.out {
		if camera == "" || d.Camera == camera {
			out = append(out, d)
		}
	}
	return out
}

// counts is the account of a camera with one model.
func (r *rig) counts(camera string) preprocess.Counts {
	for _, c := range r.Status().Cameras {
		if c.ID == camera {
			for _, a := range c.Accounts {
				return a
			}
		}
	}
	r.t.Fatalf("no account of %s", camera)
	return preprocess.Counts{}
}

// load reads a model of the shared data.
func load(t *testing.T, path string) pipeline.Model {
	t.Helper()
	m, err := models.Load(path, func(outputs []models.TensorInfo, meta map[string]string, in models.Input) (models.Manifest, error) {
		return decode.Guess(outputs, meta, in)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pipeline.Model{Loaded: m}
}

func yolox(t *testing.T) pipeline.Model {
	return load(t, testkit.Data(t, "models/yolox_nano_416.onnx"))
}

// captures finds the capture processes of this one.
func captures(t *testing.T) []int {
	t.Helper()
	var pids []int
	for _, pid := range testkit.Children(t, os.Getpid()) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.HasPrefix(name, []byte("vedette-capture")) {
			pids = append(pids, pid)
		}
	}
	return pids
}
