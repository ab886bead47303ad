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

// tally counts detections as a subscriber sees them.
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
	t := &tally{missing: map[string]bool{}, all: make(chan struct{})}
	for _, c := range cfg.Cameras {
		t.missing[c.Ingest.ID] = true
	}
	p, err := pipeline.Start(ctx, cfg, pipeline.Deps{Log: w.g.log})
	if err != nil {
		return err
	}
	stop, err := p.Bus().SubscribeDetections(ctx, func(d *vedette.Detection, _ []byte) { t.seen(d) })
	if err != nil {
		return errors.Join(err, p.Close())
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(running) }()
	err = w.count(ctx, t, ended, p)
	cancel()
	runErr := <-ended
	if err == nil && t.failed != "" {
		err = fmt.Errorf("a frame failed: %s", t.failed)
	}
	return errors.Join(err, runErr, stop(), p.Close())
}

// count measures while the pipeline runs.
func (w *benchWorker) count(ctx context.Context, t *tally, ended chan error, p *pipeline.Pipeline) error {
	early := func(err error) error {
		ended <- nil // for the one who waits
		return errors.Join(errors.New("the pipeline ended before the measurement"), err)
	}
	select {
	case <-t.all:
	case err := <-ended:
		return early(err)
	case <-ctx.Done():
		return context.Cause(ctx)
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
	t.mu.Lock()
	t.counting = true
	t.mu.Unlock()
	began, dropped := time.Now(), droppedOf(p)
	select {
	case <-time.After(w.length()):
	case err := <-ended:
		return early(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	t.mu.Lock()
	t.counting = false
	r := &w.result
	r.Frames, r.Seconds, r.Latencies, r.Infer = t.frames, t.last.Sub(began).Seconds(), t.latencies, t.infer
	t.mu.Unlock()
	r.Dropped = droppedOf(p) - dropped
	status := p.Status()
	r.Model, r.EngineName, r.Device = status.Models[0].Name, status.Models[0].Engine, status.Models[0].Device
	return errors.Join(w.end(before), stopProfile())
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
