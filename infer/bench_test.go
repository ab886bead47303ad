package infer_test

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/ort"
	"github.com/vedette-io/vedette/internal/testkit"
	"github.com/vedette-io/vedette/models"
)

// yolox is the detector of the test data, whose file fixes a batch of one.
func yolox(tb testing.TB) network {
	tb.Helper()
	onnx, err := os.ReadFile(testkit.Data(tb, "models/yolox_nano_416.onnx"))
	if err != nil {
		tb.Fatal(err)
	}
	return network{onnx, models.Manifest{
		Name: "yolox-nano", Task: models.Detect,
		Input:  models.Input{Width: 416, Height: 416, Layout: models.NCHW, Color: models.BGR, Scale: 1, Type: models.Float32},
		Output: models.Output{Decoder: "yolox", MinScore: 0.25},
	}}
}

// poolOn is a pool of a network on a device, opened for batches where there are
// several sizes.
func poolOn(tb testing.TB, n network, device string, workers int, sizes ...int) *rig {
	tb.Helper()
	return poolLike(tb, n, device, func(cfg *infer.WorkerConfig) { cfg.Workers, cfg.Sizes = workers, sizes })
}

// poolLike is poolOn for a configuration.
func poolLike(tb testing.TB, n network, device string, change func(*infer.WorkerConfig)) *rig {
	tb.Helper()
	var like infer.WorkerConfig
	change(&like)
	e, err := ort.New(slog.New(slog.DiscardHandler))
	if err != nil {
		testkit.Missing(tb, err.Error())
	}
	opts := engine.LoadOptions{Input: n.man.Input, Device: device, Threads: 1}
	model, err := e.Load(tb.Context(), n.onnx, opts)
	if err != nil {
		if _, test := tb.(*testing.T); test {
			tb.Fatal(err)
		}
		tb.Skip(err) // only the CPU is everywhere
	}
	if len(like.Sizes) > 1 {
		_, open, err := infer.OpenBatch(tb.Context(), e, n.onnx, opts, model)
		if err != nil {
			tb.Fatal(err)
		}
		if err := model.Close(); err != nil {
			tb.Fatal(err)
		}
		model = open
	}
	return newRig(tb, e, n, func(cfg *infer.WorkerConfig, deps *infer.WorkerDeps) {
		_ = deps.Model.Close() // the other one takes its place
		deps.Model, deps.Shares = model, infer.NewShares(runtime.GOMAXPROCS(0))
		cfg.MaxWait = 5 * time.Millisecond
		change(cfg)
	})
}

// BenchmarkPool measures requests, from the picture as it comes over the bus to
// the answer in JSON, with as many under way as the pool wants, or as said.
func BenchmarkPool(b *testing.B) {
	all, cores := []int{1, 2, 4, 8, 16}, runtime.GOMAXPROCS(0)
	for _, c := range []struct {
		device           string
		workers, clients int // 0: the credits
		sizes            []int
	}{
		{"cpu", 1, 0, []int{1}},
		{"cpu", cores, 0, []int{1}},
		{"cpu", cores, 0, all},
		{"cuda:0", 1, 1, []int{1}},
		{"cuda:0", 2, 0, []int{1}},
		{"cuda:0", 4, 0, []int{1}},
		{"cuda:0", 2, 1, all},
		{"cuda:0", 2, 4, all},
		{"cuda:0", 1, 0, all},
		{"cuda:0", 2, 0, all},
		{"cuda:0", 4, 0, all},
	} {
		b.Run(fmt.Sprintf("%s/workers=%d/sizes=%d/clients=%d", c.device, c.workers, len(c.sizes), c.clients), func(b *testing.B) {
			r := poolOn(b, yolox(b), c.device, c.workers, c.sizes...)
			clients := c.clients
			if clients == 0 {
				clients = r.Credits()
			}
			b.Run("requests", func(b *testing.B) { measure(b, r, clients) }) // on one pool, however often
		})
	}
}

// measure sends b.N requests from so many clients.
func measure(b *testing.B, r *rig, clients int) {
	picture := r.picture(1)
	for range 2 * clients { // warm
		r.wait(r.send(picture, time.Time{}))
	}
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				began := time.Now()
				if a := r.wait(r.send(picture, time.Time{})); a.Objects == nil {
					b.Errorf("%+v", a)
				}
				took[i-1] = time.Since(began)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	pictures, runs := r.seen.pictures()
	b.ReportMetric(float64(pictures)/float64(runs), "frames/run")
	b.ReportMetric(ms(r.seen.time)/float64(runs), "run-ms")
}
