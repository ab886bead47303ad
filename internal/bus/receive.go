package bus

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
)

// SubscribeFrames calls handler for each frame captured on host, one after the
// other, in order for each camera. A lossless frame comes once, and none is
// left out. ack tells a lossless sender that the frame is done with; it does
// nothing for others and may be called from anywhere, at any time.
func (b *Bus) SubscribeFrames(host string, handler func(f *vedette.Frame, ack func())) (stop func() error, err error) {
	return b.subscribeFrames(b.subjects.FramesOf(host), handler)
}

// SubscribeCamera is [Bus.SubscribeFrames] for the frames of one camera.
func (b *Bus) SubscribeCamera(host, camera string, handler func(f *vedette.Frame, ack func())) (stop func() error, err error) {
	return b.subscribeFrames(b.subjects.Frame(host, camera), handler)
}

func (b *Bus) subscribeFrames(subject string, handler func(f *vedette.Frame, ack func())) (stop func() error, err error) {
	r := &frameReceiver{bus: b, senders: map[string]*senderState{}}
	sub, err := b.frames.Subscribe(subject, func(m *nats.Msg) { r.receive(m, handler) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to frames: %w", err)
	}
	if err := sub.SetPendingLimits(framePending, framePendingBytes); err != nil {
		return nil, err
	}
	return sub.Unsubscribe, b.frames.Flush()
}

// frameReceiver puts the lossless frames of each sender in order.
type frameReceiver struct {
	bus *Bus

	mu      sync.Mutex
	senders map[string]*senderState // by frame subject: a camera has one sender at a time
}

// senderState is what was seen of one sender.
type senderState struct {
	inbox string
	any   bool   // last is set
	last  uint64 // newest frame handed on
	open  map[uint64]struct{}
	asked bool // for the frame behind last
}

func (r *frameReceiver) receive(m *nats.Msg, handler func(f *vedette.Frame, ack func())) {
	if _, _, err := r.bus.subjects.ParseFrame(m.Subject); err != nil {
		return // see meant
	}
	var f vedette.Frame
	if err := json.Unmarshal(m.Data, &f); err != nil {
		r.bus.log.Warn("frame message not understood", "subject", m.Subject, "error", err)
		return
	}
	if m.Reply == "" {
		handler(&f, func() {})
		return
	}
	reply, ok := parseFrameReply(m.Reply)
	if !ok {
		r.bus.log.Warn("frame message not understood", "subject", m.Subject, "reply", m.Reply)
		return
	}
	if s, take := r.admit(m.Subject, m.Reply, reply); take {
		handler(&f, func() { r.done(s, m.Reply, reply.n) })
	}
}

// admit decides whether the frame's turn has come.
func (r *frameReceiver) admit(subject, answer string, reply frameReply) (*senderState, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders[subject]
	if s == nil || s.inbox != reply.inbox {
		s = &senderState{inbox: reply.inbox, open: map[uint64]struct{}{}}
		r.senders[subject] = s
	}
	switch {
	case s.any && reply.n <= s.last:
		// Sent again. It is answered again only if it is done with: the sender
		// takes the picture back with the answer.
		if _, open := s.open[reply.n]; !open {
			r.publish(answer)
		}
		return nil, false
	case !reply.first && (!s.any || reply.after > s.last):
		if !s.asked {
			s.asked = true
			r.publish(reply.inbox + resendToken)
		}
		return nil, false
	}
	s.any, s.last, s.asked = true, reply.n, false
	s.open[reply.n] = struct{}{}
	return s, true
}

// done answers a frame that was handed on.
func (r *frameReceiver) done(s *senderState, answer string, n uint64) {
	r.mu.Lock()
	_, open := s.open[n]
	delete(s.open, n)
	r.mu.Unlock()
	if open {
		r.publish(answer)
	}
}

// publish sends an empty message. One that is lost is asked for again, by the
// sender's next repetition.
func (r *frameReceiver) publish(subject string) {
	if err := r.bus.frames.Publish(subject, nil); err != nil {
		r.bus.log.Debug("frame not answered", "subject", subject, "error", err)
	}
}

func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
