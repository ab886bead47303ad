//go:build cgo

package ort_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/pixel"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine skips the test where there is no library.
func newEngine(tb testing.TB) *ort.Engine {
	tb.Helper()
	e, err := ort.New(slog.New(slog.DiscardHandler))
	if err != nil {
		testkit.Missing(tb, err.Error())
	}
	return e
}

func TestConformance(t *testing.T) { enginetest.Run(t, newEngine(t)) }

func TestMNIST(t *testing.T) { enginetest.RunMNIST(t, newEngine(t)) }

func TestLeak(t *testing.T) { enginetest.RunLeak(t, newEngine(t)) }

// TestRunAllocatesLittle: the binding makes a few small objects at each run;
// pictures and outputs are never copied.
func TestRunAllocatesLittle(t *testing.T) {
	m := enginetest.Load(t, newEngine(t), readModel(t, "yolox_nano_416.onnx"), engine.LoadOptions{})
	enginetest.RunAllocations(t, enginetest.NewRunner(t, m, 1), 2<<10)
}

// typed is a model of one operator from a picture of 2×2 in one type to an
// output in another.
func typed(in, out onnxtest.DataType, shape []int, op string, attrs ...onnxtest.Attr) []byte {
	g := onnxtest.Graph{
		Inputs:  []onnxtest.Value{{Name: "x", Type: in, Shape: []int{1, 1, 2, 2}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: out, Shape: shape}},
		Nodes:   []onnxtest.Node{{Op: op, Inputs: []string{"x"}, Outputs: []string{"y"}, Attrs: attrs}},
	}
	return g.Marshal()
}

func TestElementTypes(t *testing.T) {
	e := newEngine(t)
	same := []int{1, 1, 2, 2}
	cast := func(in, out onnxtest.DataType) []byte {
		return typed(in, out, same, "Cast", onnxtest.IntAttr("to", int64(out)))
	}
	for name, c := range map[string]struct {
		onnx []byte
		want []float32
	}{
		"float16 to float16": {typed(onnxtest.Float16, onnxtest.Float16, same, "Neg"), []float32{0, -1, -2.5, -200}},
		"float16 to float32": {cast(onnxtest.Float16, onnxtest.Float), []float32{0, 1, 2.5, 200}},
		"uint8 to float32":   {cast(onnxtest.Uint8, onnxtest.Float), []float32{0, 1, 2, 200}},
		"float32 to float16": {cast(onnxtest.Float, onnxtest.Float16), []float32{0, 1, 2.5, 200}},
		"float32 to uint8":   {cast(onnxtest.Float, onnxtest.Uint8), []float32{0, 1, 2, 200}},
		"float32 to int8":    {cast(onnxtest.Uint8, 3), []float32{0, 1, 2, -56}},
		"float32 to uint16":  {cast(onnxtest.Float, 4), []float32{0, 1, 2, 200}},
		"float32 to int16":   {cast(onnxtest.Float, 5), []float32{0, 1, 2, 200}},
		"float32 to int32":   {cast(onnxtest.Float, 6), []float32{0, 1, 2, 200}},
		"float32 to int64":   {cast(onnxtest.Float, onnxtest.Int64), []float32{0, 1, 2, 200}},
		"float32 to bool":    {cast(onnxtest.Float, 9), []float32{0, 1, 1, 1}},
		"float32 to float64": {cast(onnxtest.Float, 11), []float32{0, 1, 2.5, 200}},
		"float32 to uint32":  {cast(onnxtest.Float, 12), []float32{0, 1, 2, 200}},
		"float32 to uint64":  {cast(onnxtest.Float, 13), []float32{0, 1, 2, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			r := enginetest.NewRunner(t, enginetest.Load(t, e, c.onnx, engine.LoadOptions{}), 1)
			for run := range 3 {
				for i, v := range []float32{0, 1, 2.5, 200} {
					switch in := r.Input(); in.Type {
					case models.Float16:
						in.F16[i] = pixel.Half(v)
					case models.Uint8:
						in.U8[i] = byte(v)
					default:
						in.F32[i] = v
					}
				}
				outs, err := r.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(outs[0].F32, c.want) || !slices.Equal(outs[0].Shape, same) {
					t.Errorf("run %d: %v %v, want %v", run+1, outs[0].Shape, outs[0].F32, c.want)
				}
			}
		})
	}
	_, err := e.Load(t.Context(), cast(onnxtest.Float, 16), engine.LoadOptions{})
	if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "bfloat16") {
		t.Errorf("bfloat16: %v", err)
	}
}

// TestOutputsOfAnyLength: how many values come out depends on the picture.
func TestOutputsOfAnyLength(t *testing.T) {
	onnx := typed(onnxtest.Float, onnxtest.Int64, []int{4, -1}, "NonZero")
	r := enginetest.NewRunner(t, enginetest.Load(t, newEngine(t), onnx, engine.LoadOptions{}), 1)
	for _, picture := range [][]float32{{0, 0, 0, 0}, {1, 0, 0, 1}, {0, 0, 0, 0}, {1, 1, 1, 1}, {0, 0, 1, 0}} {
		copy(r.Input().F32, picture)
		var want [4][]float32
		for i, v := range picture {
			if v != 0 {
				for axis, at := range []float32{0, 0, float32(i / 2), float32(i % 2)} {
					want[axis] = append(want[axis], at)
				}
			}
		}
		outs, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(outs[0].F32, slices.Concat(want[:]...)) || !slices.Equal(outs[0].Shape, []int{4, len(want[0])}) {
			t.Errorf("%v gives %v %v, want %v", picture, outs[0].Shape, outs[0].F32, want)
		}
	}
}

// TestRealModels loads and runs each model of the test data twice.
func TestRealModels(t *testing.T) {
	e := newEngine(t)
	for _, name := range []string{
		"yolox_nano_416", "yolox_person_192", "nanodet_m_320", "FastestDet_352", "ultraface_version-RFB-320", "ultraface_version-slim-320",
		"yunet_120x160", "SqueezeNet_fp16", "deeplab_v3_mnv2_257_nhwc", "person-reid-retail-0288_nhwc",
	} {
		opts := engine.LoadOptions{}
		if strings.HasSuffix(name, "nhwc") {
			opts.Input.Layout = models.NHWC
		}
		r := enginetest.NewRunner(t, enginetest.Load(t, e, readModel(t, name+".onnx"), opts), 1)
		var first [][]float32
		for range 2 {
			outs, err := r.Run(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i, o := range outs {
				n := 1
				for _, d := range o.Shape {
					n *= d
				}
				if len(o.F32) != n || slices.ContainsFunc(o.F32, func(v float32) bool { return math.IsNaN(float64(v)) }) {
					t.Errorf("%s: output %s %v of %d values", name, o.Name, o.Shape, len(o.F32))
				}
				if len(first) <= i {
					first = append(first, slices.Clone(o.F32))
				} else if !slices.Equal(first[i], o.F32) {
					t.Errorf("%s: the second run answers otherwise", name)
				}
			}
		}
	}
}

// TestOddModels: graphs that are no picture models are refused in a sentence.
func TestOddModels(t *testing.T) {
	e := newEngine(t)
	for name, says := range map[string]string{
		"0_dim_output": "4 axes", "big_compute": "4 axes", "big_fanout": "4 axes", "dynamic_axes": "[?,10]", "float16": "bfloat16",
		"multitype": "2 inputs", "needs_extensions": "string", "several_inputs_and_outputs": "3 inputs",
	} {
		_, err := e.Load(t.Context(), readModel(t, "edge-io/example_"+name+".onnx"), engine.LoadOptions{})
		if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one that says %q", name, err, says)
		}
	}
}

func TestMissingDevices(t *testing.T) {
	e := newEngine(t)
	for device, says := range map[string]string{
		"cuda:0": "libonnxruntime_providers_", "tensorrt:0": "libonnxruntime_providers_", "openvino": "libonnxruntime_providers_",
	} {
		_, err := e.Load(t.Context(), onnxtest.Slow(1), engine.LoadOptions{Device: device})
		if err == nil {
			continue // a machine that has it
		}
		if !errors.Is(err, engine.ErrNoDevice) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), device) {
			t.Errorf("%s: %v", device, err)
		}
	}
}

// TestFallback gives the library providers that cannot be loaded: "auto" runs
// on the CPU and says so once, a named device fails. A process loads one
// library, so that this takes a child.
func TestFallback(t *testing.T) {
	if os.Getenv("VEDETTE_TEST_FALLBACK") == "" {
		dir := t.TempDir()
		copyFile(t, newEngine(t).Library().Path, filepath.Join(dir, "libonnxruntime.so.1"))
		for _, p := range []string{"shared", "cuda", "tensorrt", "openvino"} {
			if err := os.WriteFile(filepath.Join(dir, "libonnxruntime_providers_"+p+".so"), []byte("no library"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestFallback$", "-test.v")
		cmd.Env = append(os.Environ(), "VEDETTE_TEST_FALLBACK=1", ort.PathVariable+"="+filepath.Join(dir, "libonnxruntime.so.1"))
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var logged bytes.Buffer
	e, err := ort.New(slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	m := enginetest.Load(t, e, onnxtest.Slow(1), engine.LoadOptions{Device: "auto"})
	if info := m.Info(); info.Device != "cpu" || !strings.Contains(info.Fallback, "cuda") {
		t.Errorf("auto runs on %q, fallback %q", info.Device, info.Fallback)
	}
	enginetest.Load(t, e, onnxtest.Slow(2), engine.LoadOptions{Device: "auto"}) // another model is no other warning
	if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, logged.String())
	}
	for _, device := range []string{"cuda:0", "tensorrt:0", "openvino"} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		if _, err := e.Load(t.Context(), onnxtest.Slow(1), engine.LoadOptions{Device: device}); !errors.Is(err, engine.ErrNoDevice) {
			t.Errorf("%s: %v", device, err)
		} else {
			t.Log(err)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Close()); err != nil {
		t.Fatal(err)
	}
}

func readModel(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(testkit.Data(tb, filepath.Join("models", name)))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name string
		onnx []byte
	}{
		{"mnist", readModel(b, "mnist.onnx")},
		{"yolox_nano_416", readModel(b, "yolox_nano_416.onnx")},
		{"convnet-4x16-224", onnxtest.ConvNet{Batch: 1, Size: 224, Layers: 4, Channels: 16, Classes: 10}.Marshal()},
		{"convnet-4x64-112", onnxtest.ConvNet{Batch: 1, Size: 112, Layers: 4, Channels: 64, Classes: 10}.Marshal()},
	} {
		b.Run(c.name, func(b *testing.B) { enginetest.Benchmark(b, newEngine(b), c.onnx, 1) })
	}
}

func BenchmarkLoad(b *testing.B) {
	e, onnx := newEngine(b), readModel(b, "yolox_nano_416.onnx")
	for b.Loop() {
		m, err := e.Load(b.Context(), onnx, engine.LoadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
