package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// Limits of the detection writer.
const (
	// writerQueue is how many detections wait per subject. A broker that is
	// away thereby slows the owner, whose frames then are dropped or held back
	// as their camera's delivery says, and memory stays bounded.
	writerQueue = 64
	// ackWait bounds one attempt to store a message.
	ackWait = 5 * time.Second
	// retryPause is the pause before a message is tried again.
	retryPause = 200 * time.Millisecond
)

// DetectionWriter publishes detections, in order for each subject and each
// once. JetStream accepts a message only if the subject's last message is the
// one this writer knows (Nats-Expected-Last-Subject-Sequence), so a second
// writer is refused and a repetition after a lost acknowledgement is noticed.
// Subscribers that listen live, without the stream, may see a repetition.
type DetectionWriter struct {
	bus      *Bus
	stream   string
	degraded atomic.Bool

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
	w := &DetectionWriter{bus: b, stream: b.subjects.Stream("detections"), subjects: map[string]*subjectWriter{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Degraded says that the last message was published but could not be stored,
// for example because the disk is full.
func (w *DetectionWriter) Degraded() bool { return w.degraded.Load() }

// Write queues d, whose PublishTime is the caller's. done is called, in order
// for each subject, once it is stored, once it is published but the store
// refuses it ([DetectionWriter.Degraded] says so then), or with an error once
// it never will be published. Write blocks while the subject's queue is full.
func (w *DetectionWriter) Write(ctx context.Context, d *vedette.Detection, done func(error)) {
	s, err := w.subject(w.bus.subjects.Detection(d.Camera, d.Model.Name))
	if err != nil {
		done(err)
		return
	}
	select {
	case s.queue <- queued{d, done}:
	case <-ctx.Done():
		done(context.Cause(ctx))
	case <-w.ctx.Done():
		done(errClosed)
	}
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

// Close gives up what is still queued. Finish the owners first.
func (w *DetectionWriter) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
	return nil
}

// Last returns the last stored detection of a camera and model, or nil if
// there is none. An owner that restarts goes on behind it.
func (w *DetectionWriter) Last(ctx context.Context, camera, model string) (*vedette.Detection, error) {
	msg, err := w.last(ctx, w.bus.subjects.Detection(camera, model))
	if err != nil || msg == nil {
		return nil, err
	}
	var d vedette.Detection
	if err := json.Unmarshal(msg.Data, &d); err != nil {
		return nil, fmt.Errorf("last detection of %s: %w", camera, err)
	}
	return &d, nil
}

func (w *DetectionWriter) last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	stream, err := w.bus.js.Stream(ctx, w.stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", w.stream, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}

// queued is one detection on its way.
type queued struct {
	d    *vedette.Detection
	done func(error)
}

// subjectWriter writes one subject.
type subjectWriter struct {
	w       *DetectionWriter
	subject string
	queue   chan queued
	// last is the stream sequence of the subject's last message, once known.
	last  uint64
	known bool
}

func (s *subjectWriter) run() {
	for {
		select {
		case q := <-s.queue:
			q.done(s.write(q.d))
		case <-s.w.ctx.Done():
			for {
				select {
				case q := <-s.queue:
					q.done(errClosed)
				default:
					return
				}
			}
		}
	}
}

// write stores one detection, again and again until the broker has it or
// refuses it for good.
func (s *subjectWriter) write(d *vedette.Detection) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("detection %s: %w", d.ID, err)
	}
	msg := &nats.Msg{Subject: s.subject, Data: data, Header: cloudEvent(d)}
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			select {
			case <-time.After(retryPause):
			case <-s.w.ctx.Done():
				return errClosed
			}
		}
		if !s.known {
			landed, err := s.learn(d.ID)
			if err != nil {
				s.w.bus.log.Warn("detection stream not reached; trying again", "subject", s.subject, "error", err)
				continue
			}
			if landed && attempt > 0 {
				return nil
			}
		}
		ack, err := s.publish(msg, d.ID)
		if err == nil {
			s.last = ack.Sequence
			s.w.degraded.Store(false)
			return nil
		}
		var api *jetstream.APIError
		switch {
		case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
			// Either our own message landed and its acknowledgement was lost,
			// or somebody else writes here.
			landed, lerr := s.learn(d.ID)
			if lerr != nil {
				continue
			}
			if landed {
				return nil
			}
			if attempt > 0 {
				return fmt.Errorf("%w: %s", ErrSecondWriter, s.subject)
			}
		case errors.As(err, &api):
			// Live subscribers have it; the store does not want it.
			if !s.w.degraded.Swap(true) {
				s.w.bus.log.Error("detections are published but not stored", "subject", s.subject, "error", err)
			}
			s.known = false
			return nil
		default: // lost connection, or no answer in time: did it land?
			s.known = false
		}
	}
}

func (s *subjectWriter) publish(msg *nats.Msg, id string) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(s.w.ctx, ackWait)
	defer cancel()
	return s.w.bus.js.PublishMsg(ctx, msg,
		jetstream.WithMsgID(id),
		jetstream.WithExpectLastSequencePerSubject(s.last),
		jetstream.WithRetryAttempts(0))
}

// learn asks for the subject's last message. It reports whether that is id.
func (s *subjectWriter) learn(id string) (landed bool, err error) {
	ctx, cancel := context.WithTimeout(s.w.ctx, ackWait)
	defer cancel()
	msg, err := s.w.last(ctx, s.subject)
	if err != nil {
		return false, err
	}
	s.known, s.last = true, 0
	if msg == nil {
		return false, nil
	}
	s.last = msg.Sequence
	return msg.Header.Get(jetstream.MsgIDHeader) == id, nil
}

// cloudEvent is the CloudEvents attributes of d in binary mode: "ce-" headers,
// percent-encoded (CloudEvents NATS protocol binding).
func cloudEvent(d *vedette.Detection) nats.Header {
	return nats.Header{
		"ce-specversion": {"1.0"},
		"ce-id":          {d.ID},
		"ce-source":      {"/cameras/" + url.PathEscape(d.Camera)},
		"ce-type":        {"io.vedette.detection.v1"},
		"ce-time":        {d.CaptureTime.String()},
		"ce-subject":     {d.Model.Name},
		"ce-dataschema":  {d.Schema},
		"Content-Type":   {"application/json"},
	}
}
