package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vedette-io/vedette"
)

// writerQueue is how many detections wait per subject. A broker that is away
// thereby slows the owner, whose frames then are dropped or held back as their
// camera's delivery says, and memory stays bounded.
const writerQueue = 64

// writerTimes are the writer's patience.
type writerTimes struct {
	ack   time.Duration // one attempt to store a message
	pause time.Duration // before the next attempt
	// grace is how long a store that refuses, while the broker is there, is
	// tried before messages are published without being stored.
	grace time.Duration
	// probe is how often such a store is tried again, and probeAck how long.
	probe, probeAck time.Duration
	// fence is how long a writer that was overtaken by another keeps quiet.
	fence time.Duration
}

func defaultWriterTimes() writerTimes {
	return writerTimes{
		ack: 3 * time.Second, pause: 200 * time.Millisecond, grace: 5 * time.Second,
		probe: 5 * time.Second, probeAck: 500 * time.Millisecond, fence: 10 * time.Second,
	}
}

// DetectionWriter publishes detections, in order for each subject and each
// once. JetStream accepts a message only if the subject's last message is the
// one this writer knows (Nats-Expected-Last-Subject-Sequence), so a second
// writer is refused and a repetition after a lost acknowledgement is noticed.
// Subscribers that listen live, without the stream, may see a repetition.
//
// While the broker is away the writer waits for it, and so do its callers.
// While the broker is there and cannot store (a full disk), messages are
// published to who listens live, and the store is tried again and again.
type DetectionWriter struct {
	bus      *Bus
	stream   string
	times    writerTimes
	degraded atomic.Bool
	probeAt  atomic.Int64 // Unix nanoseconds; when the store is tried again
	broken   atomic.Bool  // degraded, and the server in this process says why

	mu       sync.Mutex
	subjects map[string]*subjectWriter
	closed   bool
	wg       sync.WaitGroup
	cancel   context.CancelFunc
	ctx      context.Context
}

// NewDetectionWriter makes a writer into the stream of detections, which must
// exist ([Bus.EnsureDetections]).
func (b *Bus) NewDetectionWriter() *DetectionWriter {
	w := &DetectionWriter{
		bus: b, stream: b.subjects.Stream("detections"), times: defaultWriterTimes(),
		subjects: map[string]*subjectWriter{},
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Degraded says that messages are published but not stored, for example
// because the disk is full. The writer finds out by itself when that ends.
func (w *DetectionWriter) Degraded() bool { return w.degraded.Load() }

// ErrUnstored says that a detection was published to who listens live, and that
// the store refused it.
var ErrUnstored = errors.New("the detection is published, but not stored")

// Write queues d, whose PublishTime is the caller's. done is called once, in
// order for each subject, from the writer's goroutine: when d is stored, with
// [ErrUnstored] when it is published but the store refuses it
// ([DetectionWriter.Degraded] says so then), or with another error when it never
// will be published. A detection that
// the stream has already counts as stored. Write blocks while the subject's
// queue is full.
func (w *DetectionWriter) Write(ctx context.Context, d *vedette.Detection, done func(error)) {
	s, err := w.subject(w.bus.subjects.Detection(d.Camera, d.Model.Name))
	if err != nil {
		done(err)
		return
	}
	s.enqueue(ctx, queued{d, done})
}

var errClosed = errors.New("the detection writer is closed")

func (w *DetectionWriter) subject(name string) (*subjectWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed
	}
	s := w.subjects[name]
	if s == nil {
		s = &subjectWriter{w: w, subject: name, queue: make(chan queued, writerQueue)}
		w.subjects[name] = s
		w.wg.Go(s.run)
	}
	return s, nil
}

// Forget ends what is kept for a camera and model that nothing more comes from.
// Every Write must be done. A later Write begins anew.
func (w *DetectionWriter) Forget(camera, model string) {
	w.mu.Lock()
	name := w.bus.subjects.Detection(camera, model)
	s := w.subjects[name]
	delete(w.subjects, name)
	w.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// Close gives up what is still queued, with an error to each done. Finish the
// owners first.
func (w *DetectionWriter) Close() error {
	w.cancel() // lets go of writers that wait
	w.mu.Lock()
	w.closed = true
	subjects := w.subjects
	w.subjects = nil
	w.mu.Unlock()
	for _, s := range subjects {
		s.close()
	}
	w.wg.Wait()
	return nil
}

// Last returns the last stored detection of a camera and model, or nil if
// there is none. An owner that restarts goes on behind it.
func (w *DetectionWriter) Last(ctx context.Context, camera, model string) (*vedette.Detection, error) {
	return w.bus.LastDetection(ctx, camera, model)
}

// degrade begins, or goes on, to publish without storing. broken says that the
// store was known to be so when it was tried.
func (w *DetectionWriter) degrade(subject string, err error, broken bool) {
	w.broken.Store(broken || w.bus.storeBroken())
	w.probeAt.Store(time.Now().Add(w.times.probe).UnixNano())
	if !w.degraded.Swap(true) {
		w.bus.log.Error("detections are published but not stored", "subject", subject, "error", err)
	}
}

// stored ends the degraded state.
func (w *DetectionWriter) stored() {
	if w.degraded.Swap(false) {
		w.bus.log.Info("detections are stored again")
	}
}

// probing says that the store is only tried now and then. A server in this
// process says when it can be written again.
func (w *DetectionWriter) probing() bool {
	if w.bus.storeBroken() {
		w.broken.Store(true) // the refusal may have been quicker than this
		return w.degraded.Load()
	}
	return w.degraded.Load() && !w.broken.Load()
}

// mayProbe says whether the store's turn to be tried again has come. Of
// several subjects one gets it.
func (w *DetectionWriter) mayProbe() bool {
	at, now := w.probeAt.Load(), time.Now()
	return now.UnixNano() >= at && w.probeAt.CompareAndSwap(at, now.Add(w.times.probe).UnixNano())
}
