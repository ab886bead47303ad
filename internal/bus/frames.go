package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
)

// Limits of the frame hop.
const (
	// framePending bounds the references that wait in the client. Each is a
	// few hundred bytes, and whoever takes them never blocks on inference; what
	// is dropped all the same shows as a gap in the sequence numbers.
	framePending      = 4096
	framePendingBytes = 8 << 20
	// ackTimeout is how long a lossless frame may be unanswered before it and
	// everything after it is sent again.
	ackTimeout = 5 * time.Second
)

// SubscribeFrames calls handler for each frame captured on host, one after the
// other, in order for each camera. ack tells a lossless sender that the frame
// is done with; it does nothing for others and may be called from anywhere.
func (b *Bus) SubscribeFrames(host string, handler func(f *vedette.Frame, ack func())) (stop func() error, err error) {
	sub, err := b.frames.Subscribe(b.subjects.FramesOf(host), func(m *nats.Msg) {
		var f vedette.Frame
		if err := json.Unmarshal(m.Data, &f); err != nil {
			b.log.Warn("frame message not understood", "subject", m.Subject, "error", err)
			return
		}
		ack := func() {}
		if m.Reply != "" {
			ack = func() {
				if err := b.frames.Publish(m.Reply, nil); err != nil {
					b.log.Debug("frame not acknowledged", "frame_id", f.ID().String(), "error", err)
				}
			}
		}
		handler(&f, ack)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to frames: %w", err)
	}
	if err := sub.SetPendingLimits(framePending, framePendingBytes); err != nil {
		return nil, err
	}
	return sub.Unsubscribe, b.frames.Flush()
}

// FrameSender publishes the frames of one camera. Send must be called from one
// goroutine.
type FrameSender struct {
	bus     *Bus
	subject string
	inbox   string
	sub     *nats.Subscription

	mu      sync.Mutex
	next    uint64
	pending []pendingFrame // in order; only for lossless frames
	timer   *time.Timer
	closed  bool
}

// pendingFrame is a lossless frame that was not acknowledged yet.
type pendingFrame struct {
	n       uint64
	msg     *nats.Msg
	release func()
}

// NewFrameSender prepares to publish the frames of camera, captured on host.
func (b *Bus) NewFrameSender(host, camera string) (*FrameSender, error) {
	s := &FrameSender{bus: b, subject: b.subjects.Frame(host, camera), inbox: nats.NewInbox()}
	s.timer = time.AfterFunc(ackTimeout, s.resend)
	s.timer.Stop()
	var err error
	if s.sub, err = b.frames.Subscribe(s.inbox+".*", s.acked); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return s, nil
}

// Send publishes f. Without release it is sent once and forgotten. With
// release it is sent again until it is acknowledged, in order, and release is
// called then.
func (s *FrameSender) Send(_ context.Context, f *vedette.Frame, release func()) error {
	f.PublishTime = vedette.At(time.Now())
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("frame %s: %w", f.ID(), err)
	}
	msg := &nats.Msg{Subject: s.subject, Data: data}
	if release == nil {
		if err := s.bus.frames.PublishMsg(msg); err != nil {
			// Newest wins: the gap in the sequence accounts for it.
			s.bus.log.Debug("frame not published", "frame_id", f.ID().String(), "error", err)
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		release()
		return nil
	}
	msg.Reply = s.inbox + "." + strconv.FormatUint(s.next, 10)
	s.pending = append(s.pending, pendingFrame{n: s.next, msg: msg, release: release})
	s.next++
	if len(s.pending) == 1 {
		s.timer.Reset(ackTimeout)
	}
	// A failure is a lost connection: resend tries again.
	_ = s.bus.frames.PublishMsg(msg)
	return nil
}

func (s *FrameSender) acked(m *nats.Msg) {
	n, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	var release func()
	for i, p := range s.pending {
		if p.n == n {
			release = p.release
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			break
		}
	}
	if len(s.pending) == 0 {
		s.timer.Stop()
	} else {
		s.timer.Reset(ackTimeout)
	}
	s.mu.Unlock()
	if release != nil {
		release()
	}
}

// resend repeats everything unanswered, in order: the receiver takes what it
// has not seen and acknowledges the rest again.
func (s *FrameSender) resend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.pending) == 0 {
		return
	}
	for _, p := range s.pending {
		_ = s.bus.frames.PublishMsg(p.msg)
	}
	s.timer.Reset(ackTimeout)
}

// Close stops. Frames not acknowledged yet are released.
func (s *FrameSender) Close() error {
	s.mu.Lock()
	s.closed = true
	s.timer.Stop()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, p := range pending {
		p.release()
	}
	return s.sub.Unsubscribe()
}
