package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
)

// complainEvery is how often a subject whose stream is not reached says so.
const complainEvery = 10 * time.Second

var errAway = errors.New("the connection is lost")

// queued is one detection on its way.
type queued struct {
	d    *vedette.Detection
	done func(error)
}

// subjectWriter writes one subject. Only run uses the fields below queue.
type subjectWriter struct {
	w       *DetectionWriter
	subject string

	sending sync.RWMutex // held for reading while something is put into queue
	closed  bool
	queue   chan queued

	// What the stream is known to hold last on this subject.
	known bool
	last  uint64 // stream sequence; 0: nothing
	id    string
	epoch string
	seq   uint64

	fencedUntil time.Time // zero: not overtaken
	fencedLast  uint64    // stream sequence of the other's message
	complained  time.Time
}

func (s *subjectWriter) enqueue(ctx context.Context, q queued) {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if s.closed {
		q.done(errClosed)
		return
	}
	select {
	case s.queue <- q:
	case <-ctx.Done():
		q.done(context.Cause(ctx))
	case <-s.w.ctx.Done():
		q.done(errClosed)
	}
}

func (s *subjectWriter) close() {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.closed = true
	close(s.queue)
}

func (s *subjectWriter) run() {
	for q := range s.queue {
		if s.w.ctx.Err() != nil {
			q.done(errClosed)
			continue
		}
		q.done(s.write(q.d))
	}
}

// write stores one detection, again and again until the broker has it or
// refuses it for good.
func (s *subjectWriter) write(d *vedette.Detection) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("detection %s: %w", d.ID, err)
	}
	if s.fenced() {
		return fmt.Errorf("%w: %s", ErrSecondWriter, s.subject)
	}
	probing := s.w.probing()
	if probing && !s.w.mayProbe() {
		return s.publishUnstored(d.ID, data, cloudEvent(d))
	}
	msg := &nats.Msg{Data: data, Header: cloudEvent(d)}
	heard := false        // by those who listen live
	var refused time.Time // since when the broker is there and does not store
	for attempt := 0; ; attempt++ {
		if attempt > 0 && !s.wait() {
			return errClosed
		}
		// Asked for before anything is sent, so that no loss goes unnoticed.
		away := s.w.bus.controlAway.current()
		learned := !s.known
		if learned {
			if err := s.learn(away); err != nil {
				s.unreachable(err)
				refused = time.Time{}
				continue
			}
		}
		if s.holds(d) {
			return nil
		}
		before := s.last
		if !heard && s.w.bus.apart.Load() {
			s.tell(d.ID, data, cloudEvent(d))
		}
		heard = true
		msg.Subject = s.w.bus.intake(s.subject)
		broken := s.w.bus.storeBroken()
		ack, err := s.publish(away, msg, d.ID, probing)
		if err == nil {
			if ack.Duplicate && attempt == 0 && !learned {
				return s.fence(ack.Sequence) // the name was taken behind our back
			}
			s.last, s.id, s.epoch, s.seq = ack.Sequence, d.ID, d.Epoch, d.Seq
			s.w.stored()
			return nil
		}
		if wrongLast(err) {
			// Our own message landed and its acknowledgement was lost, or
			// somebody else writes here, or what was last is gone by age.
			if err := s.learn(away); err != nil {
				continue
			}
			// What had just been asked for can be behind: a new leader of a cluster
			// answers before it knows everything.
			if !learned && s.last > before && (s.id != d.ID || attempt == 0) {
				return s.fence(s.last)
			}
			continue
		}
		s.known = false
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			s.w.bus.lookIntake(s.w.ctx, s.w.times.ack) // it may have moved
		}
		if away.Err() != nil || errors.Is(err, jetstream.ErrNoStreamResponse) {
			refused = time.Time{}
			continue
		}
		if refused.IsZero() {
			refused = time.Now()
		}
		if probing || s.w.degraded.Load() || s.w.bus.storeBroken() || time.Since(refused) >= s.w.times.grace {
			s.w.degrade(s.subject, err, broken)
			return ErrUnstored
		}
	}
}

// wait pauses before the next attempt; false: the writer is closed.
func (s *subjectWriter) wait() bool {
	select {
	case <-time.After(s.w.times.pause):
		return true
	case <-s.w.ctx.Done():
		return false
	}
}

// unreachable deals with a stream that does not answer.
func (s *subjectWriter) unreachable(err error) {
	limits := s.w.bus.limits.Load()
	if errors.Is(err, jetstream.ErrStreamNotFound) && limits != nil {
		// A broker that lost its store: begin again with an empty one.
		ctx, cancel := context.WithTimeout(s.w.ctx, s.w.times.ack)
		defer cancel()
		if err = s.w.bus.EnsureDetections(ctx, *limits); err == nil {
			s.w.bus.log.Warn("the stream of detections was gone and is made anew", "stream", s.w.stream)
			return
		}
	}
	if time.Since(s.complained) >= complainEvery && s.w.ctx.Err() == nil {
		s.complained = time.Now()
		s.w.bus.log.Warn("the stream of detections does not answer; trying again", "subject", s.subject, "error", err)
	}
}

// fence keeps this writer quiet, so that it does not take turns with the one
// that overtook it with the message last.
func (s *subjectWriter) fence(last uint64) error {
	s.fencedUntil, s.fencedLast = time.Now().Add(s.w.times.fence), last
	return fmt.Errorf("%w: %s", ErrSecondWriter, s.subject)
}

// fenced says whether another writer is at work. It is not if it wrote nothing
// for the whole time that this one kept quiet.
func (s *subjectWriter) fenced() bool {
	if s.fencedUntil.IsZero() {
		return false
	}
	if time.Now().Before(s.fencedUntil) || s.learn(s.w.bus.controlAway.current()) != nil {
		return true
	}
	if s.last > s.fencedLast {
		_ = s.fence(s.last)
		return true
	}
	s.fencedUntil = time.Time{}
	return false
}

func wrongLast(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// within bounds one question to the broker: by time, by the loss of the
// connection, with which the answer is lost, and by the writer's end.
func (s *subjectWriter) within(patience time.Duration, away context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(s.w.ctx, patience)
	stop := context.AfterFunc(away, cancel)
	return ctx, func() { stop(); cancel() }
}

func (s *subjectWriter) publish(away context.Context, msg *nats.Msg, id string, probing bool) (*jetstream.PubAck, error) {
	patience := s.w.times.ack
	if probing || s.w.bus.storeBroken() {
		patience = s.w.times.probeAck
	}
	ctx, cancel := s.within(patience, away)
	defer cancel()
	ctx, stop := s.w.bus.whileStored(ctx)
	defer stop()
	return s.w.bus.js.PublishMsg(ctx, msg,
		jetstream.WithMsgID(id),
		jetstream.WithExpectLastSequencePerSubject(s.last),
		jetstream.WithRetryAttempts(0))
}

// tell publishes for those who listen live, where that is not what stores.
// While the connection is away nobody hears it: later it would not be live.
func (s *subjectWriter) tell(id string, data []byte, header nats.Header) {
	if !s.w.bus.control.IsConnected() {
		return
	}
	header.Set(jetstream.MsgIDHeader, id)
	if err := s.w.bus.control.PublishMsg(&nats.Msg{Subject: s.subject, Data: data, Header: header}); err != nil {
		s.w.bus.log.Debug("detection not published live", "subject", s.subject, "error", err)
	}
}

// publishUnstored serves those who listen live. Should the store have come
// back meanwhile, it takes the message, too, unless that is another message.
func (s *subjectWriter) publishUnstored(id string, data []byte, header nats.Header) error {
	s.known = false
	header.Set(jetstream.MsgIDHeader, id)
	if err := s.w.bus.control.PublishMsg(&nats.Msg{Subject: s.subject, Data: data, Header: header}); err != nil {
		return fmt.Errorf("publish %s: %w", s.subject, err)
	}
	return ErrUnstored
}

// learn asks for the subject's last message.
func (s *subjectWriter) learn(away context.Context) error {
	s.known = false
	// What is sent while the connection is away would be repeated later.
	if !s.w.bus.control.IsConnected() {
		return errAway
	}
	ctx, cancel := s.within(s.w.times.ack, away)
	defer cancel()
	msg, err := s.w.bus.lastDetection(ctx, s.subject)
	if err != nil {
		return err
	}
	s.known, s.last, s.id, s.epoch, s.seq = true, 0, "", "", 0
	if msg == nil {
		return nil
	}
	var d struct {
		ID    string `json:"id"`
		Epoch string `json:"epoch"`
		Seq   uint64 `json:"seq"`
	}
	// A message that is not ours says nothing but its place.
	_ = json.Unmarshal(msg.Data, &d)
	s.last, s.id = msg.Seq, cmp.Or(msg.id(), d.ID)
	s.epoch, s.seq = d.Epoch, d.Seq
	return nil
}

// holds says that the stream has d: it is the subject's last message, or that
// is a later one of the same run of the camera, and each run is in order.
func (s *subjectWriter) holds(d *vedette.Detection) bool {
	return s.last > 0 && (s.id == d.ID || (s.epoch == d.Epoch && s.seq >= d.Seq))
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
