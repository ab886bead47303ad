// Package preprocess owns cameras: it takes captured frames, decides which are
// worth inferring (rate, motion, fitness), makes the model-sized pictures, gives
// them to workers, and publishes the answers in frame order, once. It keeps the
// account of every frame.
//
// Under delivery every, a frame is released only when its result is stored, and
// not at all when the owner stops before that; an owner that begins with the
// place of the last stored result ([CameraConfig].Resume) goes on behind it.
// Together with a sender that repeats what was not released this gives each
// frame one result, also across owners.
package preprocess

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
)

// Delivery is what happens when frames come faster than they can be inferred.
type Delivery string

// The deliveries of a camera.
const (
	Latest Delivery = "latest" // the newest frame wins, older ones are dropped and counted
	Every  Delivery = "every"  // no frame is lost; the source is slowed
)

// Errors that [Workers] report.
var (
	// ErrNoWorker says that nobody serves the model at the moment.
	ErrNoWorker = errors.New("no worker serves the model")
	// ErrModelOut says that the model keeps failing and was taken out for a
	// while; the error says why.
	ErrModelOut = errors.New("the model is out")
	// ErrTimeout says that a worker did not answer in time.
	ErrTimeout = errors.New("the worker did not answer in time")
)

// Pictures gives access to captured frames of one camera by reference. Each
// one is used by one goroutine, which closes it.
type Pictures interface {
	// View returns the bytes of the slot, good until the next call. They may be
	// overwritten at any time: what was made of them counts only if Valid still
	// says so afterwards.
	View(ref vedette.RingRef) ([]byte, error)
	Valid(ref vedette.RingRef) bool
	Close() error
}

// Workers reaches whoever runs the models. Request must not block for long;
// done is called exactly once, from any goroutine, and body is free again from
// then on.
type Workers interface {
	Request(ctx context.Context, model string, req *tensor.Request, body []byte, done func(*tensor.Answer, error))
}

// ErrUnstored says that a detection was published to who listens live, and that
// the store refused it: its disk is full, most likely.
var ErrUnstored = errors.New("the result is published, but not stored")

// Writer publishes detections. Write is called in the order of each camera's
// frames and must keep it; done is called once the message is safe, with
// [ErrUnstored] if it was published and the store refuses it, or with the reason
// why it never will be published.
type Writer interface {
	Write(ctx context.Context, d *vedette.Detection, done func(error))
}

// Observer receives what the owner measures; the methods are called often and
// from many goroutines.
type Observer interface {
	Captured(camera, model string, n uint64)
	SourceGap(camera string, n uint64)
	Unstored(camera, model string)
	Frames(camera, model, result, reason string, n uint64)
	Stage(stage, camera, model string, d time.Duration)
	Latency(camera, model string, d time.Duration)
}

// DetectConfig asks for one model on one camera.
type DetectConfig struct {
	Model    string
	FPS      float64  // 0: every frame offered
	MinScore float64  // 0: the model's own
	Labels   []string // empty: all
}

// CameraConfig is one camera as its owner sees it.
type CameraConfig struct {
	ID       string
	Delivery Delivery
	Detect   []DetectConfig
	Motion   *GateConfig    // nil: off
	Fitness  *FitnessConfig // nil: off
	// Evidence keeps a copy of each inferred picture for [OwnerDeps.Evidence].
	Evidence bool
	// MaxAge bounds how old a frame may be when its inference starts; 0: any.
	// Only delivery latest expires frames.
	MaxAge time.Duration
	// Resume says, by model, which result was the last that an earlier owner of
	// this camera published. This one goes on behind it.
	Resume map[string]Place
	// Spool keeps lossless frames on disk ([OwnerDeps].Spool) until their results
	// are stored, and releases their pixels as soon as they are there. It is for
	// live cameras: a file can be read again.
	Spool bool
}

// Place is a frame's place among those of its camera.
type Place struct {
	Epoch string
	Seq   uint64
}

// OwnerDeps are the owner's connections to the rest.
type OwnerDeps struct {
	Log  *slog.Logger
	Site string
	// Pictures makes a reader; each goroutine that looks at pictures has its own.
	Pictures func() Pictures
	Workers  Workers
	Writer   Writer
	Observer Observer
	// Evidence, when set, receives the picture of each result of the cameras
	// that ask for it, in order, before the result is published. It owns pic.
	Evidence func(d *vedette.Detection, pic Picture)
	// Spool is needed where a camera asks for it.
	Spool Spool
	Now   func() time.Time
}

// Owner is the one writer of its cameras' detections: it takes frames, decides
// which are worth inferring, makes the tensors, puts the answers in order and
// publishes them. It is safe for concurrent use, but the frames of one camera
// must be delivered in order.
type Owner struct {
	deps    OwnerDeps
	ctx     context.Context
	cancel  context.CancelFunc
	mu      sync.Mutex
	cameras map[string]*camera

	// modelsMu comes after mu, which is held for longer.
	modelsMu sync.Mutex
	models   map[string]*modelState
	before   []*modelState // other editions, of which something may be under way
}

// NewOwner returns an owner for cameras that use models.
func NewOwner(modelConfigs []ModelConfig, deps OwnerDeps) (*Owner, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	o := &Owner{deps: deps, models: map[string]*modelState{}, cameras: map[string]*camera{}}
	for _, cfg := range modelConfigs {
		m, err := newModelState(cfg)
		if err != nil {
			return nil, err
		}
		o.models[cfg.Ref.Name] = m
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o, nil
}

func (o *Owner) openPictures() Pictures { return o.deps.Pictures() }

func (o *Owner) closePictures(p Pictures) {
	if err := p.Close(); err != nil {
		o.deps.Log.Error("reader of pictures not closed", "error", err)
	}
}

// Add starts to own a camera.
func (o *Owner) Add(cfg CameraConfig) error {
	if err := vedette.CheckID(cfg.ID); err != nil {
		return fmt.Errorf("camera: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cameras[cfg.ID] != nil {
		return fmt.Errorf("camera %s is owned already", cfg.ID)
	}
	c, err := newCamera(o, cfg)
	if err != nil {
		return err
	}
	o.cameras[cfg.ID] = c
	c.start()
	return nil
}

// SetCredits changes how many requests of a model may be under way, and how
// many of these may be of one camera whose newest frame wins: more than runs at
// once would wait, and grow old. There is always one, so that frames find out
// that nobody serves the model. A model that is not known is ignored.
func (o *Owner) SetCredits(model string, n, each int) {
	if m := o.model(model); m != nil {
		m.credits.resize(n, each)
	}
}

// Deliver hands a frame to its camera's owner. Under delivery latest, release
// is called once the frame's pixels are no longer needed, also for frames that
// are dropped. Under every it is called once the frame's result is safe with
// the writer, or the frame was left out on purpose; a frame that the owner's
// stop finds unfinished is not released, since its sender has to keep it for
// the next owner. A frame of a camera not owned here is released and ignored.
// With delivery every, Deliver blocks while the camera's queue is full.
func (o *Owner) Deliver(f *vedette.Frame, release func()) {
	o.mu.Lock()
	c := o.cameras[f.Camera]
	o.mu.Unlock()
	if c == nil {
		release()
		return
	}
	c.deliver(f, release)
}

// Wait waits until the camera's last notice has come ([vedette.Frame.Last])
// and every frame has left its account, or ctx ends.
func (o *Owner) Wait(ctx context.Context, id string) error {
	return o.wait(ctx, id, func(*camera) {})
}

// Finish says that no more frames of the camera will come and waits until
// every frame has left its account, or ctx ends.
func (o *Owner) Finish(ctx context.Context, id string) error {
	return o.wait(ctx, id, (*camera).close)
}

func (o *Owner) wait(ctx context.Context, id string, before func(*camera)) error {
	o.mu.Lock()
	c := o.cameras[id]
	o.mu.Unlock()
	if c == nil {
		return nil
	}
	before(c)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cutTime bounds how long results that are being written are waited for when a
// camera is cut off.
const cutTime = 2 * time.Second

// Remove finishes a camera and forgets it with its account. When ctx ends first
// the camera is cut off: no result of it comes later, so that it can be added
// again. What lies in its spool stays there.
func (o *Owner) Remove(ctx context.Context, id string) error {
	err := o.Finish(ctx, id)
	o.mu.Lock()
	c := o.cameras[id]
	delete(o.cameras, id)
	o.mu.Unlock()
	if err == nil || c == nil {
		return err
	}
	c.cutOff()
	select {
	case <-c.done:
	case <-time.After(cutTime):
	}
	return err
}

// Close stops: what waits is dropped as "shutdown", what a worker has is
// waited for and published, until ctx ends.
func (o *Owner) Close(ctx context.Context) error {
	o.cancel()
	o.mu.Lock()
	ids := make([]string, 0, len(o.cameras))
	for id := range o.cameras {
		ids = append(ids, id)
	}
	o.mu.Unlock()
	var errs []error
	for _, id := range ids {
		errs = append(errs, o.Finish(ctx, id))
	}
	return errors.Join(errs...)
}

// Accounts returns the account of every camera and model.
func (o *Owner) Accounts() map[string]map[string]Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]map[string]Counts, len(o.cameras))
	for id, c := range o.cameras {
		of := make(map[string]Counts, len(c.lanes))
		for _, l := range c.lanes {
			of[l.name] = l.account.counts()
		}
		all[id] = of
	}
	return all
}
