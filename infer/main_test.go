package infer_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engines are those of this machine; the test is skipped for one that is not
// there.
func engines(t *testing.T, test func(t *testing.T, e engine.Engine)) {
	t.Run("gorgonia", func(t *testing.T) { test(t, gorgonia.New()) })
	t.Run("onnxruntime", func(t *testing.T) { test(t, onnxruntime(t)) })
}

func onnxruntime(tb testing.TB) engine.Engine {
	tb.Helper()
	e, err := ort.New(slog.New(slog.DiscardHandler))
	if err != nil {
		testkit.Missing(tb, err.Error())
	}
	return e
}

// gather is the gatherer of package pipeline.
func gather(sizes []int, maxWait time.Duration, in <-chan *infer.Job, busy func() time.Duration, admit func(context.Context) error) infer.Gather {
	b := preprocess.NewBatcher(preprocess.BatchConfig{Sizes: sizes, MaxWait: maxWait}, in,
		preprocess.BatchHooks[*infer.Job]{Deadline: (*infer.Job).Deadline, Busy: busy, Admit: admit})
	return func(ctx context.Context) (infer.Batch, error) {
		batch, err := b.Next(ctx)
		return infer.Batch(batch), err
	}
}

// rig is a pool under test.
type rig struct {
	*infer.Pool
	tb   testing.TB
	man  models.Manifest
	sum  string
	seen *record
}

// network is a model with its manifest.
type network struct {
	onnx []byte
	man  models.Manifest
}

// classifier is a small network for batches of this size (negative: any).
func classifier(batch int) network { return convNet(batch, 2, 24) }

func convNet(batch, layers, size int) network {
	return network{
		onnxtest.ConvNet{Batch: batch, Size: size, Layers: layers, Channels: 6, Classes: 5}.Marshal(),
		models.Manifest{
			Name: "net", Task: models.Classify,
			Input:  models.Input{Width: size, Height: size, Layout: models.NCHW, Color: models.RGB, Scale: 1.0 / 255, Type: models.Float32},
			Output: models.Output{Decoder: "classify", Softmax: true},
			Labels: []string{"a", "b", "c", "d", "e"},
		},
	}
}

// newRig starts a pool with an engine; change makes it another one.
func newRig(tb testing.TB, e engine.Engine, n network, change func(*infer.WorkerConfig, *infer.WorkerDeps)) *rig {
	tb.Helper()
	sum := sha256.Sum256(n.onnx)
	opts := engine.LoadOptions{Input: n.man.Input, Device: "cpu"}
	r := &rig{tb: tb, man: n.man, sum: hex.EncodeToString(sum[:]), seen: &record{}}
	cfg := infer.WorkerConfig{Manifest: n.man, SHA256: r.sum, Workers: 1}
	deps := infer.WorkerDeps{
		Log: slog.New(slog.DiscardHandler), Engine: e.Name(), Gather: gather, Shares: infer.NewShares(2), Observer: r.seen,
		Load: func(ctx context.Context) (engine.Model, error) { return e.Load(ctx, n.onnx, opts) },
	}
	var err error
	if deps.Model, err = e.Load(tb.Context(), n.onnx, opts); err != nil {
		tb.Fatal(err)
	}
	if change != nil {
		change(&cfg, &deps)
	}
	if r.Pool, err = infer.NewPool(cfg, deps); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() }) // a test that cares closes it itself
	return r
}

// picture is a random one, always the same for a seed.
func (r *rig) picture(seed int) []byte {
	rnd := rand.New(rand.NewPCG(3, uint64(seed)))
	b := make([]byte, r.man.Input.Width*r.man.Input.Height*r.man.Input.Channels())
	level := 1 + seed%7 // pictures of one brightness look alike to a small network
	for i := range b {
		b[i] = byte(rnd.IntN(256) * level / 8)
	}
	return b
}

// send gives a request to the pool and returns where its answer comes.
func (r *rig) send(body []byte, deadline time.Time) <-chan *tensor.Answer {
	req := tensor.Request{SHA256: r.sum, Geometry: tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: r.man.Input.Width, Height: r.man.Input.Height}}
	if !deadline.IsZero() {
		d := vedette.At(deadline)
		req.Deadline = &d
	}
	header, err := json.Marshal(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.sendRaw(string(header), body)
}

func (r *rig) sendRaw(header string, body []byte) <-chan *tensor.Answer {
	answers := make(chan *tensor.Answer, 2) // a second answer would be a bug
	go r.Handle(infer.Incoming{Header: header, Body: body, Respond: func(b []byte) error {
		var a tensor.Answer
		if err := json.Unmarshal(b, &a); err != nil {
			r.tb.Error(err)
		}
		answers <- &a
		return nil
	}})
	return answers
}

// ask waits for the answer to a picture.
func (r *rig) ask(seed int) *tensor.Answer {
	r.tb.Helper()
	return r.wait(r.send(r.picture(seed), time.Time{}))
}

func (r *rig) wait(answers <-chan *tensor.Answer) *tensor.Answer {
	r.tb.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(time.Minute):
		r.tb.Fatal("no answer")
		return nil
	}
}

// await waits for something about the pool's health.
func (r *rig) await(what string, ok func(h infer.Health) bool) {
	r.tb.Helper()
	for end := time.Now().Add(time.Minute); !ok(r.Health()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.tb.Fatalf("timed out waiting for %s; health %+v", what, r.Health())
		}
	}
}

// record keeps what a pool tells its observer.
type record struct {
	mu     sync.Mutex
	runs   [][2]int // pictures and size of each
	time   time.Duration
	most   time.Duration // of one run
	failed map[string]int
	states []infer.State
}

func (r *record) Run(pictures, size int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, [2]int{pictures, size})
	r.time += took
	r.most = max(r.most, took)
}

func (r *record) Failed(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = map[string]int{}
	}
	r.failed[why]++
}

func (r *record) Health(h infer.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, h.State)
}

// pictures is how many were run, and in how many runs.
func (r *record) pictures() (pictures, runs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.runs {
		pictures += run[0]
	}
	return pictures, len(r.runs)
}
