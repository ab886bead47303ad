//go:build cgo && gpu

// The tests of CUDA, for a machine that has it: go test -tags gpu.

package ort_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

const theGPU = "cuda:0"

func TestGPUConformance(t *testing.T) { enginetest.Run(t, enginetest.On(newEngine(t), theGPU)) }

func TestGPUMNIST(t *testing.T) { enginetest.RunMNIST(t, enginetest.On(newEngine(t), theGPU)) }

// TestGPUAnswersAsCPU compares batches of all sizes, several at a time, with
// what the CPU answers.
func TestGPUAnswersAsCPU(t *testing.T) {
	e := newEngine(t)
	const side = 96
	onnx := onnxtest.ConvNet{Batch: -1, Size: side, Layers: 12, Channels: 24, Classes: 10}.Marshal()
	opts := engine.LoadOptions{Input: models.Input{Width: side, Height: side}, Device: "cpu"}
	cpu := enginetest.Load(t, e, onnx, opts)
	// No operator may quietly run on the CPU.
	opts.Device, opts.NoCPU = theGPU, true
	gpu := enginetest.Load(t, e, onnx, opts)
	if info := gpu.Info(); info.Device != theGPU || info.Fallback != "" {
		t.Fatalf("it runs on %q, fallback %q", info.Device, info.Fallback)
	}
	sizes := []int{1, 2, 4, 8, 16}
	var wg sync.WaitGroup
	errs := make([]error, 2*len(sizes))
	for i := range errs {
		wg.Go(func() { errs[i] = sameOn(t, cpu, gpu, sizes[i%len(sizes)], uint64(i), 1e-4) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// sameOn runs random batches on both.
func sameOn(t *testing.T, a, b engine.Model, size int, seed uint64, tolerance float64) error {
	ra, err := a.NewRunner(t.Context(), size)
	if err != nil {
		return err
	}
	defer ra.Close()
	rb, err := b.NewRunner(t.Context(), size)
	if err != nil {
		return err
	}
	defer rb.Close()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for run := range 5 {
		for i := range ra.Input().F32 {
			ra.Input().F32[i] = rnd.Float32()
		}
		copy(rb.Input().F32, ra.Input().F32)
		want, errA := ra.Run(t.Context())
		got, errB := rb.Run(t.Context())
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		for k := range want {
			if !slices.Equal(got[k].Shape, want[k].Shape) {
				return fmt.Errorf("batch of %d: shape %v, want %v", size, got[k].Shape, want[k].Shape)
			}
			if err := enginetest.Within(got[k].F32, want[k].F32, tolerance); err != nil {
				return fmt.Errorf("batch of %d, run %d: %w", size, run+1, err)
			}
		}
	}
	return nil
}

// TestGPURealModels runs real networks on both. Over a hundred layers the
// rounding of other convolution algorithms adds up: an H200 differed from the
// CPU by 1.1e-4 on yolox_nano_416.
func TestGPURealModels(t *testing.T) {
	e := newEngine(t)
	for _, name := range []string{"yolox_nano_416", "nanodet_m_320", "ultraface_version-RFB-320"} {
		onnx := readModel(t, name+".onnx")
		cpu := enginetest.Load(t, e, onnx, engine.LoadOptions{Device: "cpu"})
		gpu := enginetest.Load(t, e, onnx, engine.LoadOptions{Device: theGPU})
		if err := sameOn(t, cpu, gpu, 1, 7, 1e-3); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGPUAuto(t *testing.T) {
	var logged bytes.Buffer
	newEngine(t)
	e, err := ort.New(slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if info := enginetest.Load(t, e, onnxtest.Slow(1), engine.LoadOptions{Device: "auto"}).Info(); info.Device != theGPU || info.Fallback != "" || logged.Len() > 0 {
		t.Errorf("auto runs on %q, fallback %q, log %s", info.Device, info.Fallback, &logged)
	}
}

func TestGPUThatIsNotThere(t *testing.T) {
	_, err := newEngine(t).Load(t.Context(), onnxtest.Slow(1), engine.LoadOptions{Device: "cuda:99"})
	if !errors.Is(err, engine.ErrNoDevice) || !strings.Contains(err.Error(), "cuda:99: there is no such GPU; this machine has cuda:0 (") {
		t.Errorf("error %v", err)
	}
	t.Log(err)
}

func TestGPUMemoryIsBounded(t *testing.T) {
	e, onnx := newEngine(t), readModel(t, "yolox_nano_416.onnx")
	_, err := e.Load(t.Context(), onnx, engine.LoadOptions{Device: theGPU, GPUMemory: 1 << 20})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a model of 4 MB in 1 MB: %v", err)
	}
	t.Log(err)
	enginetest.NewRunner(t, enginetest.Load(t, e, onnx, engine.LoadOptions{Device: theGPU, GPUMemory: 1 << 30}), 1)
}

// TestGPULoadTime says what it takes until a model is ready, for the record.
func TestGPULoadTime(t *testing.T) {
	e, onnx := newEngine(t), readModel(t, "yolox_nano_416.onnx")
	for i := range 2 {
		began := time.Now()
		enginetest.Load(t, e, onnx, engine.LoadOptions{Device: theGPU})
		t.Logf("load %d: %v", i+1, time.Since(began).Round(time.Millisecond))
	}
}
