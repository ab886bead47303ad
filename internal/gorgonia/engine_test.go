package gorgonia_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/enginetest"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { enginetest.Run(t, gorgonia.New()) }

func TestMNIST(t *testing.T) { enginetest.RunMNIST(t, gorgonia.New()) }

func TestLeak(t *testing.T) { enginetest.RunLeak(t, gorgonia.New()) }

func TestThreadsAgree(t *testing.T) {
	onnx := onnxtest.ConvNet{Batch: 1, Size: 40, Layers: 3, Channels: 7, Classes: 4}.Marshal()
	var first []float32
	for _, threads := range []int{1, 2, 5} {
		m := enginetest.Load(t, gorgonia.New(), onnx, engine.LoadOptions{Threads: threads})
		r := enginetest.NewRunner(t, m, 1)
		rnd := rand.New(rand.NewPCG(3, 4))
		for i := range r.Input().F32 {
			r.Input().F32[i] = rnd.Float32()
		}
		outs, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = append(first, outs[0].F32...)
		}
		if err := enginetest.Near(outs[0].F32, first); err != nil {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
}

func TestRunAllocatesLittle(t *testing.T) {
	m := enginetest.Load(t, gorgonia.New(), onnxtest.ConvNet{Batch: 1, Size: 112, Layers: 4, Channels: 16, Classes: 10}.Marshal(), engine.LoadOptions{})
	enginetest.RunAllocations(t, enginetest.NewRunner(t, m, 1), 16<<10)
}

// TestRefusedByName checks that what this engine cannot compute is refused
// when the model is loaded, with an error that names it.
func TestRefusedByName(t *testing.T) {
	shape := []int{1, 4, 8, 8}
	node := func(op string, attrs []onnxtest.Attr, more ...string) onnxtest.Node {
		return onnxtest.Node{Op: op, Inputs: append([]string{"x"}, more...), Outputs: []string{"y"}, Attrs: attrs}
	}
	weights := []onnxtest.Tensor{
		onnxtest.FloatTensor("w", []int{4, 4, 1, 1}, make([]float32, 16)), onnxtest.FloatTensor("c", []int{4}, make([]float32, 4)),
		onnxtest.Int64Tensor("i", []int{1}, []int64{1}), onnxtest.FloatTensor("w1", []int{4, 4, 1}, make([]float32, 16)),
	}
	second := func(n onnxtest.Node) onnxtest.Node {
		n.Outputs = append(n.Outputs, "second")
		return n
	}
	kernel := onnxtest.IntsAttr("kernel_shape", 2, 2)
	for name, c := range map[string]struct {
		opset int64
		node  onnxtest.Node
		says  string
	}{
		"operator":                    {0, node("Resize", nil), "lacks Resize"},
		"quantised operator":          {0, node("QLinearConv", nil), "QLinearConv"},
		"domain":                      {0, onnxtest.Node{Op: "Relu", Domain: "com.microsoft", Inputs: []string{"x"}, Outputs: []string{"y"}}, "com.microsoft.Relu"},
		"attribute":                   {0, node("Relu", []onnxtest.Attr{onnxtest.IntAttr("axis", 1)}), `"axis"`},
		"old operator set":            {6, node("Relu", nil), "operator set 6"},
		"future operator set":         {99, node("Relu", nil), "operator set 99"},
		"indices of MaxPool":          {0, second(node("MaxPool", []onnxtest.Attr{kernel})), `"second"`},
		"column order of MaxPool":     {0, node("MaxPool", []onnxtest.Attr{kernel, onnxtest.IntAttr("storage_order", 1)}), "storage_order"},
		"ceil_mode of AveragePool":    {0, node("AveragePool", []onnxtest.Attr{kernel, onnxtest.IntAttr("ceil_mode", 1)}), "ceil_mode"},
		"convolution in one axis":     {0, node("Conv", nil, "w1"), "Conv"},
		"auto_pad":                    {0, node("Conv", []onnxtest.Attr{onnxtest.StringAttr("auto_pad", "SAME_SOMEHOW")}, "w"), "SAME_SOMEHOW"},
		"training":                    {0, node("BatchNormalization", []onnxtest.Attr{onnxtest.IntAttr("training_mode", 1)}, "c", "c", "c", "c"), "training_mode"},
		"computed statistics":         {0, node("BatchNormalization", nil, "x", "c", "c", "c"), "BatchNormalization"},
		"mask of Dropout":             {0, second(node("Dropout", nil)), `"second"`},
		"training Dropout":            {0, node("Dropout", nil, "c", "c"), "Dropout"},
		"integers":                    {0, node("Add", nil, "i"), "integers"},
		"computed shape":              {0, node("Reshape", nil, "x"), "computed"},
		"zero in a shape that counts": {0, node("Reshape", []onnxtest.Attr{onnxtest.IntAttr("allowzero", 1)}, "i"), "allowzero"},
		"computed axes":               {0, node("Squeeze", nil, "x"), "computed"},
		"computed limits":             {0, node("Clip", nil, "x"), "computed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := onnxtest.Graph{
				Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: shape}},
				Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: shape}},
				Nodes:   []onnxtest.Node{c.node}, Initializers: weights, Opset: c.opset,
			}
			_, err := gorgonia.New().Load(t.Context(), g.Marshal(), engine.LoadOptions{})
			if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.node.Op) && c.opset == 0 {
				t.Errorf("error %v, want one that says %q and %q", err, c.says, c.node.Op)
			}
		})
	}
	half := onnxtest.Graph{
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float16, Shape: shape}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float16, Shape: shape}},
		Nodes:   []onnxtest.Node{node("Relu", nil)},
	}
	if _, err := gorgonia.New().Load(t.Context(), half.Marshal(), engine.LoadOptions{}); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "float16") {
		t.Errorf("float16: %v", err)
	}
	if _, err := gorgonia.New().Load(t.Context(), onnxtest.Slow(1), engine.LoadOptions{Device: "cuda:0"}); !errors.Is(err, engine.ErrNoDevice) {
		t.Errorf("cuda: %v", err)
	}
}

// TestRealModels: each either loads or is refused by the names of operators.
func TestRealModels(t *testing.T) {
	lacks := map[string]string{
		"yolox_nano_416.onnx": "Resize, Slice", "nanodet_m_320.onnx": "Resize, Slice, Split", "FastestDet_352.onnx": "Gather, Pad, Resize",
		"SqueezeNet_fp16.onnx": "float16", "deeplab_v3_mnv2_257_nhwc.onnx": "Upsample", "ultraface_version-slim-320.onnx": "Gather, Shape, Slice",
		"mnist.onnx": "",
	}
	for name, says := range lacks {
		onnx, err := os.ReadFile(testkit.Data(t, filepath.Join("models", name)))
		if err != nil {
			t.Fatal(err)
		}
		opts := engine.LoadOptions{}
		if strings.Contains(name, "nhwc") {
			opts.Input.Layout = models.NHWC
		}
		m, err := gorgonia.New().Load(t.Context(), onnx, opts)
		switch {
		case says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case says != "" && (!errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: error %v, want one that says %q", name, err, says)
		case err == nil:
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// FuzzLoad: no bytes may panic, hang or take memory without bound.
func FuzzLoad(f *testing.F) {
	f.Add(onnxtest.ConvNet{Batch: 1, Size: 8, Layers: 2, Channels: 3, Classes: 2}.Marshal())
	f.Add(onnxtest.ConvNet{Batch: -1, Size: 8, Layers: 1, Channels: 3, Classes: 2}.Marshal())
	f.Add(onnxtest.BarcodeReader(1))
	f.Add(onnxtest.FailsWhenBright(4))
	f.Fuzz(func(t *testing.T, onnx []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // large models are no fault
		defer cancel()
		m, err := gorgonia.New().Load(ctx, onnx, engine.LoadOptions{Input: models.Input{Width: 8, Height: 8}})
		if err != nil {
			return
		}
		r, err := m.NewRunner(ctx, 1)
		if err != nil {
			return
		}
		if _, err := r.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	mnist, err := os.ReadFile(testkit.Data(b, "models/mnist.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		onnx []byte
	}{
		{"mnist", mnist},
		{"convnet-4x16-224", onnxtest.ConvNet{Batch: 1, Size: 224, Layers: 4, Channels: 16, Classes: 10}.Marshal()},
		{"convnet-4x64-112", onnxtest.ConvNet{Batch: 1, Size: 112, Layers: 4, Channels: 64, Classes: 10}.Marshal()},
	} {
		b.Run(c.name, func(b *testing.B) {
			enginetest.Benchmark(b, gorgonia.New(), c.onnx, 1)
		})
	}
}
