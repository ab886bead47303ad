package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// The test camera's video: key frames come once a second, and its numbers,
// which begin anew with each round, are told apart by time.
const (
	cameraFPS    = 25
	cameraFrames = 4 * cameraFPS
)

// cameraClip makes what the test camera shows, once.
func (b *benchmark) cameraClip(ctx context.Context) (benchClip, error) {
	if b.clip.Path != "" {
		return b.clip, nil
	}
	w, h := 1920, 1080
	if b.o.short {
		w, h = 640, 360
	}
	c := benchClip{Path: filepath.Join(b.dir, "camera.mp4"), FPS: cameraFPS, Frames: cameraFrames}
	if err := clip.WriteFile(ctx, c.Path, clip.Spec{Width: w, Height: h, FPS: c.FPS, Frames: c.Frames}); err != nil {
		return c, fmt.Errorf("make the test camera's video: %w", err)
	}
	b.clip = c
	b.report.Camera = fmt.Sprintf("%d×%d at %d fps over RTSP", w, h, c.FPS)
	return c, nil
}

// testCamera is a camera that remembers when it sent what.
type testCamera struct {
	*testcam.Camera
	frames int

	mu   sync.Mutex
	sent map[int]time.Time // the last time, by the number in the picture
}

func newTestCamera(ctx context.Context, c benchClip) (*testCamera, error) {
	video, err := clip.Read(ctx, c.Path, c.FPS, c.Frames)
	if err != nil {
		return nil, err
	}
	t := &testCamera{frames: c.Frames, sent: map[int]time.Time{}}
	t.Camera, err = testcam.New(testcam.Options{Video: testcam.Video{Clip: video}, Sent: func(unit int) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sent[unit%t.frames] = time.Now()
	}})
	return t, err
}

// sentAt is when the number was sent last.
func (t *testCamera) sentAt(number int) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.sent[number]
	return at, ok
}

// sight is a frame of the test camera, seen by two models: one reads its number,
// the other one is measured.
type sight struct {
	sent, published time.Time
}

// glassTally joins what the two models say of a frame.
type glassTally struct {
	camera *testCamera

	mu     sync.Mutex
	sights map[string]sight // by epoch and seq
	took   []float64        // ms
	first  chan struct{}    // closed when there is one
	failed string
}

func (t *glassTally) seen(d *vedette.Detection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.Status != vedette.StatusOK {
		t.failed = d.Reason
		return
	}
	key := fmt.Sprint(d.Epoch, d.Seq)
	s := t.sights[key]
	if d.Model.Name == barcodeReader {
		var white []int
		for _, o := range *d.Objects {
			white = append(white, o.ClassID)
		}
		if read := onnxtest.ReadBarcode(white); read.HasNumber {
			s.sent, _ = t.camera.sentAt(int(read.Number))
		}
	} else {
		s.published = d.PublishTime.Time
	}
	t.sights[key] = s
	if s.sent.IsZero() || s.published.IsZero() {
		return
	}
	if len(t.took) == 0 {
		close(t.first)
	}
	t.took = append(t.took, vedette.Millis(s.published.Sub(s.sent)))
	delete(t.sights, key)
}

// cameraConfig is a pipeline that watches the test camera.
func (w *benchWorker) cameraConfig(url string, read bool) (pipeline.Config, error) {
	m, err := benchModel(&w.job)
	if err != nil {
		return pipeline.Config{}, err
	}
	src, err := ingest.ParseSource(url)
	if err != nil {
		return pipeline.Config{}, err
	}
	cfg := pipeline.Config{Models: []pipeline.Model{m}}
	detect := []preprocess.DetectConfig{{Model: m.Loaded.Manifest.Name}}
	if read {
		reader, err := loadBarcodeReader()
		if err != nil {
			return pipeline.Config{}, err
		}
		cfg.Models = append(cfg.Models, pipeline.Model{Loaded: reader, Engine: w.job.Engine, Workers: 1, Threads: 1})
		detect = append(detect, preprocess.DetectConfig{Model: barcodeReader})
	}
	cfg.Cameras = []pipeline.Camera{{
		Ingest: ingest.Config{ID: "cam", Source: src, Delivery: ingest.Latest},
		Owner:  preprocess.CameraConfig{ID: "cam", Delivery: preprocess.Latest, Detect: detect},
	}}
	return cfg, nil
}

// glass measures how old a frame is when its detection is published: from the
// moment when a camera began to send it. A second, tiny model reads the number
// in the picture, so that it is known which frame it is.
func (w *benchWorker) glass(ctx context.Context) (err error) {
	camera, err := newTestCamera(ctx, w.job.Clip)
	if err != nil {
		return err
	}
	defer camera.Close()
	cfg, err := w.cameraConfig(camera.URL(), true)
	if err != nil {
		return err
	}
	t := &glassTally{camera: camera, sights: map[string]sight{}, first: make(chan struct{})}
	p, err := startPipeline(ctx, cfg, pipeline.Deps{Log: w.g.log}, t.seen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.await(ctx, t.first); err != nil {
		return err
	}
	if err := w.ready(); err != nil {
		return err
	}
	if err := p.await(ctx, w.over()); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w.result.Glass = t.took
	if t.failed != "" {
		return fmt.Errorf("a frame failed: %s", t.failed)
	}
	return nil
}

// fakeCPUs is how many CPUs a machine is made to have.
const fakeCPUs = 16

// manyCPUs makes an object which, loaded before the C library, answers that
// the machine has 16 CPUs, as decoders ask.
func (b *benchmark) manyCPUs(ctx context.Context) (env string, err error) {
	source := fmt.Sprintf("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <unistd.h>\n"+
		"long sysconf(int n) { long (*f)(int) = (long (*)(int))dlsym(RTLD_NEXT, \"sysconf\");"+
		" return n == _SC_NPROCESSORS_ONLN || n == _SC_NPROCESSORS_CONF ? %d : f(n); }\n", fakeCPUs)
	path, lib := filepath.Join(b.dir, "cpus.c"), filepath.Join(b.dir, "cpus.so")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-shared", "-fPIC", "-O1", "-o", lib, path, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return "LD_PRELOAD=" + lib, nil
}
