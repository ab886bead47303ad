package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/pixel"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// lookAhead is how many frames are looked at to find one that has objects, for
// measuring the decoder of the outputs.
const lookAhead = 100

// straight is the straight-line program: everything from a video file to
// objects in one goroutine, without a bus, rings or accounts.
type straight struct {
	videos []*video
	next   int
	tf     *preprocess.Transform
	norm   *pixel.Normalizer
	small  []byte
	model  infer.Model
	runner infer.Runner
	dec    decode.Decoder
	post   []decode.Tensor
	found  []decode.Result
	geom   [1]tensor.Geometry
}

// video is an open file and its current picture.
type video struct {
	capture *cv.Capture
	pix     []byte
	shape   cv.Shape
}

// read decodes the next picture.
func (v *video) read() error {
	if err := v.capture.Grab(); err != nil {
		return err
	}
	shape, err := v.capture.Retrieve(v.pix)
	if errors.Is(err, cv.ErrTooSmall) {
		v.pix = make([]byte, shape.Bytes())
		shape, err = v.capture.Retrieve(v.pix)
	}
	v.shape = shape
	return err
}

func (v *video) picture() preprocess.Picture {
	format := vedette.BGR24
	if v.shape.Channels == 1 {
		format = vedette.Gray8
	}
	return preprocess.Picture{Data: v.pix, Stride: v.shape.Stride(), Width: v.shape.Width, Height: v.shape.Height, Format: format}
}

func (w *benchWorker) newStraight(ctx context.Context, m *pipeline.Model) (*straight, error) {
	s := &straight{}
	in := m.Loaded.Manifest.Input
	var err error
	if s.tf, err = preprocess.NewTransform(in); err != nil {
		return nil, err
	}
	if s.norm, err = pixel.NewNormalizer(in); err != nil {
		return nil, err
	}
	s.small = make([]byte, s.tf.Size())
	if err := s.open(w.job.Sources); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.load(ctx, w, m); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *straight) open(files []string) error {
	cv.SetThreads(1)
	cv.SetDecoderThreads(1) // one process per core
	for _, f := range files {
		c, err := cv.OpenCapture(f, cv.CaptureOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		v := &video{capture: c}
		s.videos = append(s.videos, v)
		if err := v.read(); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

func (s *straight) load(ctx context.Context, w *benchWorker, m *pipeline.Model) error {
	eng, err := infer.Open(m.Engine, w.g.log)
	if err != nil {
		return err
	}
	if s.model, err = eng.Load(ctx, m.Loaded.ONNX, infer.LoadOptions{Input: m.Loaded.Manifest.Input, Device: m.Device, Threads: m.Threads}); err != nil {
		return err
	}
	w.result.EngineName, w.result.Device = eng.Name(), s.model.Info().Device
	if s.runner, err = s.model.NewRunner(ctx, 1); err != nil {
		return err
	}
	outputs, err := s.runner.Run(ctx)
	if err != nil {
		return err
	}
	infos := make([]decode.Info, len(outputs))
	for i, o := range outputs {
		infos[i] = decode.Info{Name: o.Name, Shape: o.Shape}
	}
	s.dec, err = decode.New(m.Loaded.Manifest, infos)
	return err
}

// decodeNext reads the next picture of the next video.
func (s *straight) decodeNext() (*video, error) {
	v := s.videos[s.next]
	s.next = (s.next + 1) % len(s.videos)
	return v, v.read()
}

// fill makes the tensor of a picture.
func (s *straight) fill(v *video) (err error) {
	if s.geom[0], err = s.tf.Apply(s.small, v.picture()); err != nil {
		return err
	}
	in := s.runner.Input()
	return s.norm.Fill(pixel.Tensor{F32: in.F32, F16: in.F16, U8: in.U8}, 0, s.small)
}

// read makes objects of the outputs.
func (s *straight) read(outputs []infer.Output) (err error) {
	s.post = s.post[:0]
	for _, o := range outputs {
		s.post = append(s.post, decode.Tensor(o))
	}
	if s.found, err = s.dec.Decode(s.post, s.geom[:], s.found); err != nil {
		return err
	}
	return s.found[0].Err
}

// frame does everything for one frame.
func (s *straight) frame(ctx context.Context) error {
	v, err := s.decodeNext()
	if err != nil {
		return err
	}
	if err := s.fill(v); err != nil {
		return err
	}
	outputs, err := s.runner.Run(ctx)
	if err != nil {
		return err
	}
	return s.read(outputs)
}

// busiest leaves the outputs of the frame with the most objects in the runner.
func (s *straight) busiest(ctx context.Context) ([]infer.Output, error) {
	most, keep := -1, []float32(nil)
	for range lookAhead {
		if err := s.frame(ctx); err != nil {
			return nil, err
		}
		if n := len(s.found[0].Objects); n > most {
			most, keep = n, append(keep[:0], s.runner.Input().F32...)
		}
	}
	copy(s.runner.Input().F32, keep)
	return s.runner.Run(ctx)
}

func (s *straight) close() error {
	var errs []error
	for _, v := range s.videos {
		errs = append(errs, v.capture.Close())
	}
	if s.runner != nil {
		errs = append(errs, s.runner.Close())
	}
	if s.model != nil {
		errs = append(errs, s.model.Close())
	}
	return errors.Join(errs...)
}

// alone measures the straight-line program or a part of it.
func (w *benchWorker) alone(ctx context.Context) (err error) {
	m, err := benchModel(&w.job)
	if err != nil {
		return err
	}
	s, err := w.newStraight(ctx, &m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	w.result.Model = m.Loaded.Manifest.Name
	v := s.videos[0]
	w.result.Width, w.result.Height, w.result.SourceFPS = v.shape.Width, v.shape.Height, v.capture.FPS()
	switch w.job.Mode {
	case modeEngine:
		return w.engine(ctx, s, m.Workers)
	case modeDecode:
		return w.repeat(ctx, func() error { _, err := s.decodeNext(); return err })
	case modeResize:
		return w.repeat(ctx, func() error { return s.fill(v) })
	case modePostprocess:
		outputs, err := s.busiest(ctx)
		if err != nil {
			return err
		}
		return w.repeat(ctx, func() error { return s.read(outputs) })
	case modeLine:
		return w.repeat(ctx, func() error { return s.frame(ctx) })
	}
	return w.ready() // modeProbe
}

// warmUps is how many calls come before the measurement.
const warmUps = 5

// repeat counts how often f runs until the measurement is over.
func (w *benchWorker) repeat(ctx context.Context, f func() error) error {
	for range warmUps {
		if err := f(); err != nil {
			return err
		}
	}
	if err := w.ready(); err != nil {
		return err
	}
	counter, err := w.counting()
	if err != nil {
		return err
	}
	before, err := w.begin()
	if err != nil {
		return err
	}
	began, over := time.Now(), w.over()
	for {
		select {
		case <-over:
			w.result.Seconds = time.Since(began).Seconds()
			return w.end(before)
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if err := f(); err != nil {
			return err
		}
		w.result.Frames++
		if counter != nil {
			counter.Set(uint64(w.result.Frames))
		}
	}
}

// engine runs all workers of one loaded model on the same picture.
func (w *benchWorker) engine(ctx context.Context, s *straight, workers int) error {
	if err := s.fill(s.videos[0]); err != nil {
		return err
	}
	if workers <= 0 {
		workers = max(1, runtime.GOMAXPROCS(0)/w.job.Threads)
	}
	runners := []infer.Runner{s.runner}
	for len(runners) < workers {
		r, err := s.model.NewRunner(ctx, 1)
		if err != nil {
			return err
		}
		defer r.Close() // of a measurement that is over
		in := r.Input()
		copy(in.F32, s.runner.Input().F32)
		copy(in.F16, s.runner.Input().F16)
		copy(in.U8, s.runner.Input().U8)
		runners = append(runners, r)
	}
	if err := w.ready(); err != nil {
		return err
	}
	before, err := w.begin()
	if err != nil {
		return err
	}
	var (
		wg     sync.WaitGroup
		counts = make([]int, workers)
		errs   = make([]error, workers)
		began  = time.Now()
	)
	for i, r := range runners {
		wg.Go(func() {
			for time.Since(began) < w.length() && errs[i] == nil {
				_, errs[i] = r.Run(ctx)
				counts[i]++
			}
		})
	}
	wg.Wait()
	w.result.Seconds = time.Since(began).Seconds()
	for _, n := range counts {
		w.result.Frames += n
	}
	return errors.Join(append(errs, w.end(before))...)
}
