//go:build cv

package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestMain lets the test binary be its own capture child.
func TestMain(m *testing.M) {
	if ingest.IsChild() {
		os.Exit(ingest.ChildMain())
	}
	goleak.VerifyTestMain(m)
}

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

// camera looks at a source with some models.
func camera(t *testing.T, id, source string, delivery preprocess.Delivery, models ...pipeline.Model) pipeline.Camera {
	t.Helper()
	src, err := ingest.ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	c := pipeline.Camera{
		Ingest: ingest.Config{ID: id, Source: src, Delivery: ingest.Delivery(delivery)},
		Owner:  preprocess.CameraConfig{ID: id, Delivery: delivery},
	}
	for _, m := range models {
		c.Owner.Detect = append(c.Owner.Detect, preprocess.DetectConfig{Model: m.Loaded.Manifest.Name})
	}
	return c
}

// reader is the network that reads bar codes.
func reader() pipeline.Model { return builtIn(onnxtest.BarcodeReader(1), onnxtest.BarcodeManifest()) }

func builtIn(onnx []byte, m models.Manifest) pipeline.Model {
	sum := sha256.Sum256(onnx)
	return pipeline.Model{Loaded: &models.Model{
		Manifest: m, ONNX: onnx, Path: "(built in)", Report: models.Report{SHA256: hex.EncodeToString(sum[:])},
	}}
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

// read is what the network read in the picture of d.
func read(d *vedette.Detection) barcode.Reading {
	if d.Objects == nil {
		return barcode.Reading{}
	}
	var white []int
	for _, o := range *d.Objects {
		white = append(white, o.ClassID)
	}
	return onnxtest.ReadBarcode(white)
}

// checkChain checks that the detections of one camera and model follow each
// other as they say: seq grows, prev_seq is the one before, and gap_before
// counts what is missing between them.
func checkChain(t *testing.T, out []*vedette.Detection) {
	t.Helper()
	epoch, prev := "", int64(-1)
	for _, d := range out {
		if d.Epoch != epoch {
			if d.Epoch < epoch {
				t.Errorf("epoch %s after %s", d.Epoch, epoch)
			}
			epoch, prev = d.Epoch, -1
		}
		missing := uint64(0)
		for _, n := range d.GapBefore {
			missing += n
		}
		if d.PrevSeq != prev || int64(d.Seq) <= prev || uint64(int64(d.Seq)-prev-1) != missing {
			t.Errorf("seq %d: prev_seq %d, want %d; gap_before %v", d.Seq, d.PrevSeq, prev, d.GapBefore)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("seq %d: %v", d.Seq, err)
		}
		prev = int64(d.Seq)
	}
}

// checkNumbers checks that each picture shows a number, the same distance from
// seq throughout an epoch, and none twice. It returns the distances.
func checkNumbers(t *testing.T, out []*vedette.Detection) map[string]int64 {
	t.Helper()
	base, shown := map[string]int64{}, map[uint32]bool{}
	for _, d := range out {
		r := read(d)
		if d.Status != vedette.StatusOK || !r.HasNumber {
			t.Errorf("%s seq %d: %s %q: no number in its picture: torn or damaged", d.Epoch, d.Seq, d.Status, d.Reason)
			continue
		}
		if shown[r.Number] {
			t.Errorf("%s seq %d: number %d a second time", d.Epoch, d.Seq, r.Number)
		}
		shown[r.Number] = true
		off := int64(r.Number) - int64(d.Seq)
		if first, known := base[d.Epoch]; known && first != off {
			t.Errorf("%s seq %d shows number %d, want %d", d.Epoch, d.Seq, r.Number, int64(d.Seq)+first)
		}
		base[d.Epoch] = off
	}
	return base
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
