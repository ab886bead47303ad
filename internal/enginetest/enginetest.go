// Package enginetest is the suite that every inference engine passes: small
// models whose answers are known, run again, in batches and in parallel, and
// files that must be refused with a clear error.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

// Run tests an engine that computes in float32 on the CPU.
func Run(t *testing.T, e engine.Engine) {
	t.Run("models", func(t *testing.T) {
		for _, c := range cases() {
			t.Run(c.name, func(t *testing.T) { runCase(t, e, c) })
		}
	})
	t.Run("concurrent", func(t *testing.T) { runConcurrent(t, e) })
	t.Run("lifecycle", func(t *testing.T) { runLifecycle(t, e) })
	t.Run("cancel", func(t *testing.T) { runCancel(t, e) })
	t.Run("manifest", func(t *testing.T) { runManifests(t, e) })
	t.Run("bad models", func(t *testing.T) { runBadModels(t, e) })
}

// instance is a model with an input and the answer to it.
type instance struct {
	onnx  []byte
	input []float32
	want  []val
}

// make builds the case for a batch. The weights do not depend on the batch,
// and neither does what the first picture holds.
func (c testCase) instance(batch int) instance {
	if c.picture == [3]int{} {
		c.picture = [3]int{4, 7, 6}
	}
	n := &net{rnd: rand.New(rand.NewPCG(7, 7))}
	n.graph.Opset = c.opset
	rnd := rand.New(rand.NewPCG(1, 2))
	shape := append([]int{batch}, c.picture[:]...)
	x := tabulate(shape, func([]int) float64 { return float64(float32(2*rnd.Float64() - 1)) })
	x.name = "images"
	n.graph.Inputs = []onnxtest.Value{{Name: x.name, Type: onnxtest.Float, Shape: shape}}
	i := instance{want: c.build(n, x)}
	for _, v := range i.want {
		n.graph.Outputs = append(n.graph.Outputs, onnxtest.Value{Name: v.name, Type: onnxtest.Float, Shape: v.shape})
	}
	for _, v := range x.data {
		i.input = append(i.input, float32(v))
	}
	i.onnx = n.graph.Marshal()
	return i
}

// runCase compares ten runs in a row at each batch size.
func runCase(t *testing.T, e engine.Engine, c testCase) {
	for _, batch := range []int{1, 3} {
		i := c.instance(batch)
		m := Load(t, e, i.onnx, engine.LoadOptions{})
		r := NewRunner(t, m, batch)
		for run := range 10 {
			copy(r.Input().F32, i.input)
			if err := i.check(r.Run(t.Context())); err != nil {
				t.Fatalf("batch %d, run %d: %v", batch, run+1, err)
			}
			if !slices.Equal(r.Input().F32, i.input) {
				t.Fatalf("batch %d, run %d: the input was changed", batch, run+1)
			}
		}
		// Another picture in between must leave no trace.
		clear(r.Input().F32)
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		copy(r.Input().F32, i.input)
		if err := i.check(r.Run(t.Context())); err != nil {
			t.Fatalf("batch %d, after another picture: %v", batch, err)
		}
	}
}

// check compares outputs with what they must be, to 1e-4 absolute plus
// relative.
func (i instance) check(outs []engine.Output, err error) error {
	if err != nil {
		return err
	}
	if len(outs) != len(i.want) {
		return fmt.Errorf("%d outputs, want %d", len(outs), len(i.want))
	}
	for k, o := range outs {
		want := i.want[k]
		if o.Name != want.name || !slices.Equal(o.Shape, want.shape) || len(o.F32) != len(want.data) {
			return fmt.Errorf("output %d is %s %v of %d values, want %s %v", k, o.Name, o.Shape, len(o.F32), want.name, want.shape)
		}
		if err := Near(o.F32, want.data); err != nil {
			return fmt.Errorf("output %d (%s %v): %w", k, o.Name, o.Shape, err)
		}
	}
	return nil
}

// Near says where two lists differ by more than 1e-4 absolute plus relative.
func Near[T float32 | float64](got []float32, want []T) error { return Within(got, want, 1e-4) }

// Within says where two lists differ by more than tolerance, absolute plus
// relative.
func Within[T float32 | float64](got []float32, want []T, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - float64(w)); !(d <= tolerance+tolerance*math.Abs(float64(w))) {
			return fmt.Errorf("value %d is %v, want %v", i, got[i], w)
		}
	}
	return nil
}

// runConcurrent runs one model, of any batch size, from several runners at a
// time, each of which is also made and closed meanwhile.
func runConcurrent(t *testing.T, e engine.Engine) {
	onnx := onnxtest.ConvNet{Batch: -1, Size: 12, Layers: 2, Channels: 5, Classes: 4}.Marshal()
	m := Load(t, e, onnx, engine.LoadOptions{Input: models.Input{Width: 12, Height: 12}})
	answers := func(batch, seed int) ([]float32, error) {
		r, err := m.NewRunner(t.Context(), batch)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		var first []float32
		for run := range 10 {
			rnd := rand.New(rand.NewPCG(1, uint64(seed)))
			for i := range r.Input().F32 {
				r.Input().F32[i] = rnd.Float32()
			}
			outs, err := r.Run(t.Context())
			if err != nil {
				return nil, err
			}
			if run == 0 {
				first = slices.Clone(outs[0].F32)
			} else if !slices.Equal(outs[0].F32, first) {
				return nil, fmt.Errorf("run %d of batch %d differs from the first", run+1, batch)
			}
		}
		return first, nil
	}
	const workers = 8
	var alone, together [workers][]float32
	for i := range workers {
		var err error
		if alone[i], err = answers(i%3+1, i); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var errs [workers]error
	for i := range workers {
		wg.Go(func() { together[i], errs[i] = answers(i%3+1, i) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for i := range workers {
		if !slices.Equal(alone[i], together[i]) {
			t.Errorf("runner %d answered otherwise beside others", i)
		}
	}
	// The first picture of a batch has the answer it has alone.
	a, errA := answers(1, 99)
	b, errB := answers(3, 99)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if err := Near(b[:4], a); err != nil {
		t.Errorf("first picture of a batch of 3: %v", err)
	}
}

func runLifecycle(t *testing.T, e engine.Engine) {
	onnx := onnxtest.ConvNet{Batch: 1, Size: 12, Layers: 1, Channels: 3, Classes: 4}.Marshal()
	m, err := e.Load(t.Context(), onnx, engine.LoadOptions{Device: "cpu", Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Info(); got.Device != "cpu" || len(got.Inputs) != 1 || len(got.Outputs) != 1 ||
		got.Outputs[0].Name != "logits" || !slices.Equal(got.Outputs[0].Shape, []int{1, 4}) {
		t.Errorf("info is %+v", got)
	}
	r := NewRunner(t, m, 1)
	in := r.Input()
	if !slices.Equal(in.Shape, []int{1, 3, 12, 12}) || in.Type != models.Float32 || len(in.F32) != 3*12*12 || in.F16 != nil || in.U8 != nil {
		t.Errorf("input is %s %v", in.Type, in.Shape)
	}
	if _, err := m.NewRunner(t.Context(), 2); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("a batch of 2 of a model for 1: %v", err)
	}
	if _, err := m.NewRunner(t.Context(), 0); err == nil {
		t.Error("a batch of 0 was accepted")
	}
	// A runner outlives the model's Close.
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Run(t.Context()); err != nil {
		t.Errorf("run after the model was closed: %v", err)
	}
	if _, err := m.NewRunner(t.Context(), 1); err == nil {
		t.Error("a closed model gave a runner")
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Run(t.Context()); err == nil {
		t.Error("a closed runner ran")
	}
}

// runCancel stops a run of tens of milliseconds and uses the runner again.
func runCancel(t *testing.T, e engine.Engine) {
	var r engine.Runner
	var outs []engine.Output
	var full time.Duration
	var err error
	for layers := 40; layers <= 4000 && full < 10*time.Millisecond; layers *= 10 { // a GPU is faster
		r = NewRunner(t, Load(t, e, onnxtest.Slow(layers), engine.LoadOptions{}), 1)
		for i := range r.Input().F32 {
			r.Input().F32[i] = float32(i%255) / 255
		}
		full = time.Hour
		for range 3 { // another program may delay one
			began := time.Now()
			if outs, err = r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			full = min(full, time.Since(began))
		}
	}
	want := slices.Clone(outs[0].F32)
	stopped := 0
	for range 100 { // on a busy machine the run may end before the timer is heard
		if stopped == 3 {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), full/10)
		_, err = r.Run(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			stopped++
		case err != nil:
			t.Fatalf("cancelled run: %v", err)
		}
		if outs, err = r.Run(t.Context()); err != nil {
			t.Fatalf("run after a cancelled one: %v", err)
		}
		if !slices.Equal(outs[0].F32, want) {
			t.Fatal("the run after a cancelled one answers otherwise")
		}
	}
	if stopped == 0 {
		t.Error("no run was stopped")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Run(done); !errors.Is(err, context.Canceled) {
		t.Errorf("run with a context that has ended: %v", err)
	}
	if _, err := e.Load(done, onnxtest.Slow(1), engine.LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("load with a context that has ended: %v", err)
	}
}

// Load loads a model and closes it with the test.
func Load(tb testing.TB, e engine.Engine, onnx []byte, opts engine.LoadOptions) engine.Model {
	tb.Helper()
	m, err := e.Load(tb.Context(), onnx, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// NewRunner makes a runner and closes it with the test.
func NewRunner(tb testing.TB, m engine.Model, batch int) engine.Runner {
	tb.Helper()
	r, err := m.NewRunner(tb.Context(), batch)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}
