package infer_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// TestOpenBatch opens small networks that were exported for one picture: those
// that work off pictures one by one answer the same in batches, also in sizes
// that were not compared.
func TestOpenBatch(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		fixed := classifier(1)
		opts := engine.LoadOptions{Input: fixed.man.Input, Device: "cpu"}
		single := newRig(t, e, fixed, nil)
		model, err := e.Load(t.Context(), fixed.onnx, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		_, open, err := infer.OpenBatch(t.Context(), e, fixed.onnx, opts, model)
		if err != nil {
			t.Fatal(err)
		}
		many := newRig(t, e, fixed, func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
			_ = deps.Model.Close() // the other one takes its place
			deps.Model, cfg.Sizes, cfg.MaxWait = open, []int{1, 2, 4, 8}, time.Millisecond
		})
		var want []*tensor.Answer
		var coming []<-chan *tensor.Answer
		for i := range 60 {
			want = append(want, single.ask(i))
		}
		for i := range want {
			coming = append(coming, many.send(many.picture(i), time.Time{}))
		}
		for i, c := range coming {
			if err := sameClasses(many.wait(c), want[i]); err != nil {
				t.Errorf("picture %d: %v", i, err)
			}
		}
		if n, runs := many.seen.pictures(); runs >= n/2 {
			t.Errorf("%d pictures in %d runs", n, runs)
		}
	})
}

// TestOpenBatchRefuses what is not the same in a batch.
func TestOpenBatchRefuses(t *testing.T) {
	three := classifier(1).man
	three.Labels = []string{"a", "b", "c"}
	fixed := func(nodes ...onnxtest.Node) network {
		g := onnxtest.Graph{
			Inputs:       []onnxtest.Value{{Name: "images", Type: onnxtest.Float, Shape: []int{1, 3, 24, 24}}},
			Outputs:      []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []int{1, 3}}},
			Initializers: []onnxtest.Tensor{onnxtest.Int64Tensor("shape", []int{2}, []int64{1, 3}), onnxtest.Int64Tensor("other", []int{2}, []int64{3, -1})},
			Nodes:        append([]onnxtest.Node{{Op: "GlobalAveragePool", Inputs: []string{"images"}, Outputs: []string{"means"}}}, nodes...),
		}
		return network{g.Marshal(), three}
	}
	node := func(op string, in, out string, attrs ...onnxtest.Attr) onnxtest.Node {
		return onnxtest.Node{Op: op, Inputs: strings.Fields(in), Outputs: []string{out}, Attrs: attrs}
	}
	for name, c := range map[string]struct {
		net  network
		says string
	}{
		"pictures are mixed": {fixed(
			node("Reshape", "means shape", "rows"),
			node("ReduceMax", "rows", "most", onnxtest.IntsAttr("axes", 0), onnxtest.IntAttr("keepdims", 1)),
			node("Sub", "rows most", "y")), "differs"},
		"an answer for all of them": {fixed(
			node("Reshape", "means shape", "rows"),
			node("ReduceMean", "rows", "y", onnxtest.IntsAttr("axes", 0), onnxtest.IntAttr("keepdims", 1))), "invalid dimensions"},
		"pictures side by side": {fixed(
			node("Reshape", "means other", "columns"),
			node("Softmax", "columns", "soft", onnxtest.IntAttr("axis", 1)),
			node("Reshape", "soft shape", "y")), "differs"},
		"shape used elsewhere": {fixed(
			node("Reshape", "means shape", "rows"),
			node("Cast", "shape", "f", onnxtest.IntAttr("to", 1)),
			node("Add", "rows f", "y")), "read by other operators"},
	} {
		t.Run(name, func(t *testing.T) {
			e, opts := onnxruntime(t), engine.LoadOptions{Input: c.net.man.Input, Device: "cpu"}
			model, err := e.Load(t.Context(), c.net.onnx, opts)
			if name == "shape used elsewhere" { // it does not add up, which is not the point
				_, _, err = infer.OpenBatch(t.Context(), e, c.net.onnx, opts, nil)
			} else if err == nil {
				defer model.Close()
				_, _, err = infer.OpenBatch(t.Context(), e, c.net.onnx, opts, model)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

// TestOpenBatchOfRealModels: what real exports for one picture make of it. Those
// that are no plain feed-forward networks may be refused, but never for bad.
func TestOpenBatchOfRealModels(t *testing.T) {
	opened := 0
	for name, in := range map[string]models.Input{
		"yolox_nano_416": {Width: 416, Height: 416, Scale: 1, Color: models.BGR}, "yolox_person_192": {Width: 192, Height: 192, Scale: 1, Color: models.BGR},
		"nanodet_m_320": {Width: 320, Height: 320, Scale: 1.0 / 58, Color: models.BGR}, "FastestDet_352": {Width: 352, Height: 352, Scale: 1.0 / 255, Color: models.BGR},
		"ultraface_version-RFB-320": {Width: 320, Height: 240, Scale: 1.0 / 128, Color: models.RGB}, "yunet_120x160": {Width: 160, Height: 120, Scale: 1, Color: models.BGR},
	} {
		onnx, err := os.ReadFile(testkit.Data(t, "models/"+name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		e, opts := onnxruntime(t), engine.LoadOptions{Input: in, Device: "cpu"}
		model, err := e.Load(t.Context(), onnx, opts)
		if err != nil {
			t.Fatal(name, err)
		}
		_, open, err := infer.OpenBatch(t.Context(), e, onnx, opts, model)
		t.Logf("%s: %v", name, err)
		if err == nil {
			opened++
			err = open.Close()
		} else {
			err = nil
		}
		if err != nil || model.Close() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if opened < 3 {
		t.Errorf("%d of 6 were opened", opened)
	}
}
