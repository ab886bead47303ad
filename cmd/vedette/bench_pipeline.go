package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// benchLayers makes the built-in network about as costly as a small detector:
// 1,000 million multiplications.
const benchLayers = 48

// startPatience is how long a stream may take to start while many start at
// once on a machine with few cores.
const startPatience = time.Minute

// benchModel is the model of a job, or a network made here and now.
func benchModel(j *benchJob) (pipeline.Model, error) {
	if j.Model != "" {
		f := modelFlags{name: j.Model, engine: j.Engine, device: j.Device, workers: j.Workers, threads: j.Threads}
		return f.load()
	}
	onnx := onnxtest.Slow(benchLayers)
	sum := sha256.Sum256(onnx)
	m := models.Manifest{
		Name: "built-in", Task: models.Classify,
		Input: models.Input{
			Name: "images", Width: 128, Height: 128, Layout: models.NCHW, Color: models.BGR,
			Resize: models.Letterbox, Interpolation: models.Linear, Scale: 1. / 255, Type: models.Float32,
		},
		Output: models.Output{Decoder: "classify", Softmax: true},
	}
	for i := range 10 {
		m.Labels = append(m.Labels, fmt.Sprintf("class-%d", i))
	}
	return pipeline.Model{
		Loaded: &models.Model{Manifest: m, ONNX: onnx, Path: "(built in)", Report: models.Report{SHA256: hex.EncodeToString(sum[:])}},
		Engine: j.Engine, Device: j.Device, Workers: j.Workers, Threads: j.Threads,
	}, nil
}

// pipelineConfig is a camera for each source.
func (w *benchWorker) pipelineConfig(m pipeline.Model) (pipeline.Config, error) {
	cfg := pipeline.Config{Models: []pipeline.Model{m}}
	delivery := preprocess.Every
	if w.job.Live {
		delivery = preprocess.Latest
	}
	for i, s := range w.job.Sources {
		src, err := ingest.ParseSource(s)
		if err != nil {
			return cfg, err
		}
		id := fmt.Sprintf("s%d", i)
		cfg.Cameras = append(cfg.Cameras, pipeline.Camera{
			Ingest: ingest.Config{
				ID: id, Source: src, Delivery: ingest.Delivery(delivery), FPS: w.job.FPS,
				OpenTimeout: startPatience, FirstFrame: startPatience,
			},
			Owner: preprocess.CameraConfig{
				ID: id, Delivery: delivery, Detect: []preprocess.DetectConfig{{Model: m.Loaded.Manifest.Name, FPS: w.job.FPS}},
			},
		})
	}
	return cfg, nil
}

// tally is what a subscriber sees.
type tally struct {
	mu        sync.Mutex
	missing   map[string]bool // cameras that have given none yet
	all       chan struct{}   // closed when none is missing
	counting  bool
	frames    int
	last      time.Time
	failed    string
	latencies []float64
	infer     []float64
}

func newTally(cfg pipeline.Config) *tally {
	t := &tally{missing: map[string]bool{}, all: make(chan struct{})}
	for _, c := range cfg.Cameras {
		t.missing[c.Ingest.ID] = true
	}
	return t
}

func (t *tally) seen(d *vedette.Detection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.Status != vedette.StatusOK {
		t.failed = d.Reason
		return
	}
	if t.missing[d.Camera] {
		if delete(t.missing, d.Camera); len(t.missing) == 0 {
			close(t.all)
		}
	}
	if t.counting {
		t.frames++
		t.last = time.Now()
		t.latencies = append(t.latencies, d.Timing.Total)
		t.infer = append(t.infer, d.Timing.Infer)
	}
}

// count starts and stops the counting.
func (t *tally) count(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counting = on
}

// livePipeline is a pipeline that runs, with a subscriber.
type livePipeline struct {
	*pipeline.Pipeline
	unsubscribe func() error
	cancel      context.CancelFunc
	ended       chan struct{}
	err         error // how Run ended
}

// startPipeline runs a pipeline until it is closed. seen is told of every
// detection, as a subscriber is.
func startPipeline(ctx context.Context, cfg pipeline.Config, deps pipeline.Deps, seen func(*vedette.Detection)) (*livePipeline, error) {
	p, err := pipeline.Start(ctx, cfg, deps)
	if err != nil {
		return nil, err
	}
	l := &livePipeline{Pipeline: p, ended: make(chan struct{})}
	if l.unsubscribe, err = p.Bus().SubscribeDetections(ctx, func(d *vedette.Detection, _ []byte) { seen(d) }); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	var running context.Context
	running, l.cancel = context.WithCancel(ctx)
	go func() {
		defer close(l.ended)
		l.err = p.Run(running)
	}()
	return l, nil
}

// await waits for something that happens while the pipeline runs.
func (l *livePipeline) await(ctx context.Context, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-l.ended:
		return errors.Join(errors.New("the pipeline ended before the measurement"), l.err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// silence ends the subscription: what a subscriber costs is not the pipeline's.
func (l *livePipeline) silence() error {
	stop := l.unsubscribe
	l.unsubscribe = func() error { return nil }
	return stop()
}

func (l *livePipeline) close() error {
	l.cancel()
	<-l.ended
	return errors.Join(l.err, l.unsubscribe(), l.Pipeline.Close())
}

// pipeline measures the whole pipeline, from when every stream has given a
// detection.
func (w *benchWorker) pipeline(ctx context.Context) (err error) {
	m, err := benchModel(&w.job)
	if err != nil {
		return err
	}
	cfg, err := w.pipelineConfig(m)
	if err != nil {
		return err
	}
	t := newTally(cfg)
	p, err := startPipeline(ctx, cfg, pipeline.Deps{Log: w.g.log}, t.seen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.await(ctx, t.all); err != nil {
		return err
	}
	if w.job.Counter != "" {
		if err := p.silence(); err != nil {
			return err
		}
	}
	if err := w.ready(); err != nil {
		return err
	}
	stopProfile, err := profileTo(w.job.Profile)
	if err != nil {
		return err
	}
	before, err := w.begin()
	if err != nil {
		return err
	}
	t.count(true)
	began, dropped := time.Now(), droppedOf(p.Pipeline)
	if err := w.runOn(ctx, p); err != nil {
		return err
	}
	t.count(false)
	r := &w.result
	r.Frames, r.Seconds, r.Latencies, r.Infer = t.frames, t.last.Sub(began).Seconds(), t.latencies, t.infer
	r.Dropped = droppedOf(p.Pipeline) - dropped
	status := p.Status()
	r.Model, r.EngineName, r.Device = status.Models[0].Name, status.Models[0].Engine, status.Models[0].Device
	if t.failed != "" {
		err = fmt.Errorf("a frame failed: %s", t.failed)
	}
	return errors.Join(err, w.end(before), stopProfile())
}

// countEvery is how often frames are counted.
const countEvery = 20 * time.Millisecond

// runOn lets the pipeline run until the measurement is over, and counts where
// it is asked to.
func (w *benchWorker) runOn(ctx context.Context, p *livePipeline) error {
	counter, err := w.counting()
	if err != nil {
		return err
	}
	over := w.over()
	if counter == nil {
		return p.await(ctx, over)
	}
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		inferred, failed := uint64(0), uint64(0)
		for _, c := range p.Status().Cameras {
			for _, a := range c.Accounts {
				inferred, failed = inferred+a.Inferred, failed+a.Failed
			}
		}
		if failed > 0 {
			return fmt.Errorf("%d frames failed", failed)
		}
		counter.Set(inferred)
		select {
		case <-ticker.C:
		case <-over:
			return nil
		case <-p.ended:
			return errors.Join(errors.New("the pipeline ended before the measurement"), p.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// droppedOf counts frames dropped for any reason but that fewer were asked for.
func droppedOf(p *pipeline.Pipeline) (n uint64) {
	for _, c := range p.Status().Cameras {
		for _, a := range c.Accounts {
			n += total(a.Dropped) - a.Dropped[preprocess.DropSampled]
		}
	}
	return n
}

// profileTo profiles the processor time of this process until stop is called.
func profileTo(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
