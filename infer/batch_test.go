package infer_test

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
)

// batches has the pool prepare these sizes.
func batches(maxWait time.Duration, sizes ...int) func(*infer.WorkerConfig, *infer.WorkerDeps) {
	return func(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) { cfg.Sizes, cfg.MaxWait = sizes, maxWait }
}

// sameClasses compares answers of a classifier to 1e-4.
func sameClasses(got, want *tensor.Answer) error {
	if got.Status != vedette.StatusOK || want.Status != vedette.StatusOK {
		return fmt.Errorf("status %s %q, want that of %s %q", got.Status, got.Reason, want.Status, want.Reason)
	}
	for i, w := range *want.Classes {
		if g := (*got.Classes)[i]; g.ClassID != w.ClassID || math.Abs(g.Score-w.Score) > 1e-4 {
			return fmt.Errorf("class %d is %+v, want %+v", i, g, w)
		}
	}
	return nil
}

// TestBatchesAnswerAsSingles sends many pictures at once: whatever batches they
// come into, each gets its own answer.
func TestBatchesAnswerAsSingles(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		const pictures = 100
		single := newRig(t, e, classifier(-1), nil)
		many := newRig(t, e, classifier(-1), func(cfg *infer.WorkerConfig, _ *infer.WorkerDeps) {
			cfg.Workers, cfg.Sizes, cfg.MaxWait = 2, []int{1, 2, 4, 8}, 2*time.Millisecond
		})
		var want []*tensor.Answer
		var coming []<-chan *tensor.Answer
		for i := range pictures {
			want = append(want, single.ask(i))
			if i > 0 && sameClasses(want[i], want[i-1]) == nil {
				t.Fatalf("pictures %d and %d have the same answer: nothing would be tested", i-1, i)
			}
		}
		for i := range pictures {
			coming = append(coming, many.send(many.picture(i), time.Time{}))
		}
		for i, c := range coming {
			if err := sameClasses(many.wait(c), want[i]); err != nil {
				t.Errorf("picture %d: %v", i, err)
			}
		}
		n, runs := many.seen.pictures()
		t.Logf("%d pictures in %d runs: %v", n, runs, many.seen.runs)
		if n != pictures || runs > pictures/2 {
			t.Errorf("%d pictures in %d runs", n, runs)
		}
		for _, run := range many.seen.runs {
			if fits := slices.IndexFunc([]int{1, 2, 4, 8}, func(s int) bool { return s >= run[0] }); run[1] != []int{1, 2, 4, 8}[fits] {
				t.Errorf("%d pictures in a batch of %d", run[0], run[1])
			}
		}
	})
}

// TestFullBatchLeavesAtOnce would wait for an hour if it did not.
func TestFullBatchLeavesAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		r := newRig(t, e, classifier(-1), batches(time.Hour, 1, 2, 4))
		var coming []<-chan *tensor.Answer
		for i := range 4 {
			coming = append(coming, r.send(r.picture(i), time.Time{}))
		}
		for _, c := range coming {
			if a := r.wait(c); a.Status != vedette.StatusOK {
				t.Errorf("%+v", a)
			}
		}
		if !slices.Equal(r.seen.runs, [][2]int{{4, 4}}) {
			t.Errorf("runs %v, want one of four", r.seen.runs)
		}
	})
}

func TestLonePictureLeavesAfterTheWait(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		const wait = 60 * time.Millisecond
		r := newRig(t, e, classifier(-1), batches(wait, 1, 2, 4))
		began := time.Now()
		if a := r.ask(0); a.Status != vedette.StatusOK || time.Since(began) < wait {
			t.Errorf("%s after %v, want it not before %v", a.Status, time.Since(began), wait)
		}
		if !slices.Equal(r.seen.runs, [][2]int{{1, 1}}) {
			t.Errorf("runs %v, want one of one", r.seen.runs)
		}
	})
}

// TestExpiredIsNotRun: of four pictures two are too old when their turn comes.
func TestExpiredIsNotRun(t *testing.T) {
	engines(t, func(t *testing.T, e engine.Engine) {
		r := newRig(t, e, classifier(-1), batches(50*time.Millisecond, 1, 2, 4))
		past, later := time.Now().Add(-time.Millisecond), time.Now().Add(time.Hour)
		var status []vedette.Status
		var coming []<-chan *tensor.Answer
		for i, by := range []time.Time{past, later, {}, past} {
			coming = append(coming, r.send(r.picture(i), by))
		}
		for _, c := range coming {
			a := r.wait(c)
			status = append(status, a.Status)
			if a.Status == vedette.StatusExpired && (a.Reason == "" || a.Objects != nil || a.Classes != nil) {
				t.Errorf("%+v", a)
			}
		}
		if want := []vedette.Status{vedette.StatusExpired, vedette.StatusOK, vedette.StatusOK, vedette.StatusExpired}; !slices.Equal(status, want) {
			t.Errorf("status %v, want %v", status, want)
		}
		if n, _ := r.seen.pictures(); n != 2 {
			t.Errorf("%d pictures were run, want 2", n)
		}
	})
}

// ends is a graph from a picture through its means to an output.
func ends(output []int, initializers []onnxtest.Tensor, nodes ...onnxtest.Node) []byte {
	g := onnxtest.Graph{
		Inputs:       []onnxtest.Value{{Name: "images", Type: onnxtest.Float, Shape: []int{-1, 3, 24, 24}}},
		Outputs:      []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: output}},
		Initializers: initializers,
		Nodes:        append([]onnxtest.Node{{Op: "GlobalAveragePool", Inputs: []string{"images"}, Outputs: []string{"means"}}}, nodes...),
	}
	return g.Marshal()
}

// TestSizesOfTheModel: what a file fixes, or cannot do although it says
// nothing, is found out before the first picture comes.
func TestSizesOfTheModel(t *testing.T) {
	three := classifier(-1).man
	three.Labels = []string{"a", "b", "c"}
	one := network{ends([]int{1, 3}, []onnxtest.Tensor{onnxtest.Int64Tensor("shape", []int{2}, []int64{1, 3})},
		onnxtest.Node{Op: "Reshape", Inputs: []string{"means", "shape"}, Outputs: []string{"y"}}), three}
	mixed := network{ends([]int{1, 3}, []onnxtest.Tensor{onnxtest.Int64Tensor("shape", []int{2}, []int64{-1, 3})},
		onnxtest.Node{Op: "ReduceMean", Inputs: []string{"means"}, Outputs: []string{"mean"}, Attrs: []onnxtest.Attr{onnxtest.IntsAttr("axes", 0), onnxtest.IntAttr("keepdims", 1)}},
		onnxtest.Node{Op: "Reshape", Inputs: []string{"mean", "shape"}, Outputs: []string{"y"}}), three}
	for name, c := range map[string]struct {
		net  network
		want []int
		logs string
	}{
		"any":                             {classifier(-1), []int{1, 2, 4}, ""},
		"fixed to one":                    {classifier(1), []int{1}, "fixes its batch size"},
		"fixed to four":                   {classifier(4), []int{4}, "fixes its batch size"},
		"says any and does one":           {one, []int{1}, "does not take larger batches"},
		"takes many and answers them all": {mixed, []int{1}, "does not take larger batches"},
	} {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			r := newRig(t, onnxruntime(t), c.net, func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
				cfg.Sizes, cfg.MaxWait, cfg.Workers = []int{1, 2, 4}, time.Millisecond, 2
				deps.Log = slog.New(slog.NewTextHandler(&logged, nil))
			})
			if !slices.Equal(r.Sizes(), c.want) || !strings.Contains(logged.String(), c.logs) {
				t.Errorf("sizes %v, want %v; log %s", r.Sizes(), c.want, logged.String())
			}
			if r.Credits() != 2*slices.Max(c.want) && r.Credits() != 3 {
				t.Errorf("%d credits for two runs of %v", r.Credits(), c.want)
			}
			var coming []<-chan *tensor.Answer
			for i := range 10 {
				coming = append(coming, r.send(r.picture(i), time.Time{}))
			}
			for i, c := range coming {
				if a := r.wait(c); a.Status != vedette.StatusOK {
					t.Errorf("picture %d: %+v", i, a)
				}
			}
		})
	}
}

// failsWhenBright is a detector for any batch whose run fails, as a whole, when
// a picture in it has a value of 100 or more; it sees nothing in any.
func failsWhenBright() network {
	const castToInt64 = 7
	g := onnxtest.Graph{
		Inputs:       []onnxtest.Value{{Name: "images", Type: onnxtest.Float, Shape: []int{-1, 3, 24, 24}}},
		Outputs:      []onnxtest.Value{{Name: "output", Type: onnxtest.Float, Shape: []int{-1, 1, 6}}},
		Initializers: []onnxtest.Tensor{onnxtest.FloatTensor("table", []int{100, 6}, make([]float32, 600)), onnxtest.Int64Tensor("shape", []int{3}, []int64{-1, 1, 6})},
		Nodes: []onnxtest.Node{
			{Op: "ReduceMax", Inputs: []string{"images"}, Outputs: []string{"brightest"}, Attrs: []onnxtest.Attr{onnxtest.IntsAttr("axes", 1, 2, 3), onnxtest.IntAttr("keepdims", 0)}},
			{Op: "Cast", Inputs: []string{"brightest"}, Outputs: []string{"row"}, Attrs: []onnxtest.Attr{onnxtest.IntAttr("to", castToInt64)}},
			{Op: "Gather", Inputs: []string{"table", "row"}, Outputs: []string{"found"}, Attrs: []onnxtest.Attr{onnxtest.IntAttr("axis", 0)}},
			{Op: "Reshape", Inputs: []string{"found", "shape"}, Outputs: []string{"output"}},
		},
	}
	man := classifier(-1).man
	man.Task, man.Input.Scale, man.Labels = models.Detect, 1, nil
	man.Output = models.Output{Decoder: "end2end", MinScore: 0.5}
	return network{g.Marshal(), man}
}

// TestBadPictureCostsOnlyItself has one picture in a batch that the model cannot
// stand.
func TestBadPictureCostsOnlyItself(t *testing.T) {
	r := newRig(t, onnxruntime(t), failsWhenBright(), batches(time.Hour, 1, 2, 4))
	dark, bright := make([]byte, 3*24*24), slices.Repeat([]byte{200}, 3*24*24)
	var coming []<-chan *tensor.Answer
	for _, body := range [][]byte{dark, dark, bright, dark} {
		coming = append(coming, r.send(body, time.Time{}))
	}
	for i, c := range coming {
		a := r.wait(c)
		switch ok := i != 2; {
		case ok && (a.Status != vedette.StatusOK || a.Objects == nil || len(*a.Objects) != 0):
			t.Errorf("picture %d: %+v", i, a)
		case !ok && (a.Status != vedette.StatusFailed || a.Reason == "" || a.Objects != nil):
			t.Errorf("the bad picture: %+v", a)
		}
	}
	if h := r.Health(); h.State != infer.StateOK || h.Failures != 1 {
		t.Errorf("health %+v, want one failure", h)
	}
}
