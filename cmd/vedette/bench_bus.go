package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/tensor"
)

// busObjects is how many objects the detections of the bus measurement have.
const busObjects = 5

// bus measures what a frame costs on the bus: a reference into a ring to the
// owner and its release, a tensor to a worker and the answer, a detection into
// the stream; or the first of these alone. No picture is made and no model is
// run.
func (w *benchWorker) bus(ctx context.Context) (err error) {
	b, model, body, err := w.startBus(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.EnsureDetections(ctx, bus.DefaultDetectionLimits()); err != nil {
		return err
	}
	h := &busHops{
		bus: b, model: model, body: body, done: make(chan error, 1),
		reference: w.job.Mode == modeReference,
	}
	if h.ring, err = ring.Create(ring.DefaultSlots, busStride*busHeight); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.pictures.Close(), h.ring.Close()) }()
	h.writer = b.NewDetectionWriter()
	stopAll, err := h.start()
	if err != nil {
		return errors.Join(err, h.writer.Close())
	}
	defer func() { err = errors.Join(err, stopAll()) }()
	return w.repeat(ctx, func() error { return h.frame(ctx) })
}

// startBus starts a bus and makes a tensor of the model's size.
func (w *benchWorker) startBus(ctx context.Context) (b *bus.Bus, model string, tensor []byte, err error) {
	m, err := benchModel(&w.job)
	if err != nil {
		return nil, "", nil, err
	}
	in := m.Loaded.Manifest.Input
	b, err = bus.Start(ctx, bus.Config{}, w.g.log)
	return b, m.Loaded.Manifest.Name, make([]byte, in.Width*in.Height*in.Channels()), err
}

// busHops sends one frame at a time through all hops.
type busHops struct {
	bus    *bus.Bus
	model  string
	body   []byte
	seq    uint64
	ring   *ring.Writer
	writer *bus.DetectionWriter
	sender *bus.FrameSender
	done   chan error

	reference bool        // only the first hop
	pictures  ring.Reader // the owner's
}

// The frames are those of a 1080p camera.
const (
	busWidth, busHeight = 1920, 1080
	busStride           = 3 * busWidth
)

func (h *busHops) start() (stop func() error, err error) {
	objects := make([]vedette.Object, busObjects)
	for i := range objects {
		objects[i] = vedette.Object{Label: "person", Score: 0.8765, Box: vedette.Box{12.25, 31.5, 111.125, 222.75}, BoxNorm: vedette.Box{0.1, 0.2, 0.3, 0.4}}
	}
	ref := vedette.ModelRef{Name: h.model, SHA256: fmt.Sprintf("%064d", 1), Task: "detect", Engine: "onnxruntime", Device: "cpu"}
	var stops []func() error
	stopAll := func() error {
		errs := []error{h.writer.Close()}
		for _, s := range stops {
			errs = append(errs, s())
		}
		return errors.Join(errs...)
	}
	serve, err := h.bus.Serve(h.bus.Subjects().Tensor(h.model, "bench"), tensor.Header, func(header string, body []byte, respond func([]byte) error) {
		req, err := tensor.ParseRequest(header)
		if err == nil && len(body) != len(h.body) {
			err = fmt.Errorf("tensor of %d bytes", len(body))
		}
		var answer []byte
		if err == nil {
			answer, err = json.Marshal(&tensor.Answer{Status: vedette.StatusOK, Model: ref, Objects: &objects, InferMillis: float64(req.Seq)})
		}
		if err = errors.Join(err, respond(answer)); err != nil {
			h.done <- err
		}
	})
	if err != nil {
		return nil, err
	}
	stops = append(stops, serve)
	frames, err := h.bus.SubscribeFrames("bench", h.owner)
	if err != nil {
		return nil, errors.Join(err, stopAll())
	}
	stops = append(stops, frames)
	if h.sender, err = h.bus.NewFrameSender("bench", "bench"); err != nil {
		return nil, errors.Join(err, stopAll())
	}
	stops = append(stops, h.sender.Close)
	return stopAll, nil
}

// frame sends one frame and waits for its detection to be stored.
func (h *busHops) frame(ctx context.Context) error {
	now := vedette.At(time.Now())
	slot := int(h.seq) % h.ring.Slots()
	h.ring.Begin(slot)
	f := &vedette.Frame{
		Schema: vedette.FrameSchema, Camera: "bench", Epoch: "01jdv8k2", Seq: h.seq, CaptureTime: now, Clock: vedette.ClockHost,
		CapturedAt: now, Width: busWidth, Height: busHeight, Format: vedette.BGR24,
		Ref: h.ring.Commit(slot, busStride, busStride*busHeight),
	}
	h.seq++
	released := func() {}
	if h.reference {
		released = func() { h.done <- nil }
	}
	if err := h.sender.Send(ctx, f, released); err != nil {
		return err
	}
	select {
	case err := <-h.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// owner does what the owner of a camera does with a frame, but for the
// picture.
func (h *busHops) owner(f *vedette.Frame, ack func()) {
	if _, err := h.pictures.View(f.Ref); err != nil {
		h.done <- err
		return
	}
	if !h.pictures.Valid(f.Ref) {
		h.done <- ring.ErrOverwritten
		return
	}
	ack()
	if h.reference {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		header, err := json.Marshal(&tensor.Request{
			Camera: f.Camera, Epoch: f.Epoch, Seq: f.Seq, SHA256: fmt.Sprintf("%064d", 1),
			Geometry: tensor.Geometry{ScaleX: 0.2, ScaleY: 0.2, Width: f.Width, Height: f.Height},
		})
		if err != nil {
			h.done <- err
			return
		}
		answer, err := h.bus.Request(ctx, h.bus.Subjects().Tensor(h.model, "bench"), tensor.Header, string(header), h.body)
		var a tensor.Answer
		if err == nil {
			err = json.Unmarshal(answer, &a)
		}
		if err != nil {
			h.done <- err
			return
		}
		h.writer.Write(ctx, &vedette.Detection{
			Schema: vedette.DetectionSchema, ID: f.ID().Detection(h.model), Camera: f.Camera, Epoch: f.Epoch, Seq: f.Seq,
			CaptureTime: f.CaptureTime, Clock: f.Clock, PublishTime: vedette.At(time.Now()), Width: f.Width, Height: f.Height,
			Status: a.Status, Model: a.Model, Objects: a.Objects, GapBefore: map[string]uint64{},
		}, func(err error) { h.done <- err })
	}()
}

// spoolTrim is after how many frames the spool is told what is done: an owner
// does that five times a second.
const spoolTrim = 5

// spool measures what it costs to keep a tensor in the spool of a lossless live
// camera until its result is stored.
func (w *benchWorker) spool(ctx context.Context) (err error) {
	b, model, body, err := w.startBus(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	spool, err := b.OpenSpool(ctx, "bench", 0)
	if err != nil {
		return err
	}
	log, header, n := spool.Log("bench", model), []byte(`{"camera":"bench"}`), 0
	return w.repeat(ctx, func() error {
		id, err := log.Append(ctx, header, body)
		if n++; err == nil && n%spoolTrim == 0 {
			err = log.Trim(ctx, id)
		}
		return err
	})
}
