package bus

import (
	"context"
	"encoding/json"
	"fmt"
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
	// ackTimeout is how long lossless frames may be unanswered before they are
	// sent again, where neither side noticed a loss.
	ackTimeout = 5 * time.Second
	// framesOut bounds the lossless frames that are unanswered. Pictures have
	// fewer slots; it is for frames that lost theirs while nobody answers.
	framesOut = 4096
	// ownerPause is how soon they are sent again when nobody listens.
	ownerPause = 250 * time.Millisecond
)

// FrameSender publishes the frames of one camera. Send must be called from one
// goroutine.
//
// A lossless frame carries a reply subject, <inbox>.<number>.<number of the
// unanswered frame before it>. The receiver takes frames in that order only,
// once each, answers on the reply subject when a frame is done with, and asks
// on <inbox>.resend for everything unanswered when it sees a hole. The sender
// repeats that, too, after a reconnect and when it hears nothing for long.
type FrameSender struct {
	bus        *Bus
	subject    string
	inbox      string
	sub        *nats.Subscription
	ackTimeout time.Duration

	mu      sync.Mutex
	next    uint64
	pending []pendingFrame // in order; only lossless frames
	timer   *time.Timer
	closed  bool
	room    chan struct{} // holds a token when fewer are pending
}

// pendingFrame is a lossless frame that was not acknowledged yet.
type pendingFrame struct {
	n       uint64
	data    []byte
	release func()
}

// NewFrameSender prepares to publish the frames of camera, captured on host.
func (b *Bus) NewFrameSender(host, camera string) (*FrameSender, error) {
	s := &FrameSender{bus: b, subject: b.subjects.Frame(host, camera), inbox: b.frames.NewInbox(), ackTimeout: ackTimeout, room: make(chan struct{}, 1)}
	s.timer = time.AfterFunc(ackTimeout, s.resend)
	s.timer.Stop()
	var err error
	if s.sub, err = b.frames.Subscribe(s.inbox+".>", s.answered); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	b.mu.Lock()
	b.senders[s] = struct{}{}
	b.mu.Unlock()
	return s, nil
}

// resendFrames repeats what a lost connection may have swallowed.
func (b *Bus) resendFrames() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.senders {
		s.resend()
	}
}

// Send publishes f. Without release it is sent once and forgotten. With
// release it is sent again until it is acknowledged, in order, and release is
// called then, once. How many pictures are under way is bounded by the caller,
// who has that many to release; with very many frames unanswered Send waits.
// The notice that a camera ends ([vedette.Frame] with Last) is never forgotten.
func (s *FrameSender) Send(ctx context.Context, f *vedette.Frame, release func()) error {
	f.PublishTime = vedette.At(time.Now())
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("frame %s: %w", f.ID(), err)
	}
	if release == nil && f.Last {
		release = func() {}
	}
	if release == nil {
		if err := s.bus.frames.Publish(s.subject, data); err != nil {
			// Newest wins: the gap in the sequence accounts for it.
			s.bus.log.Debug("frame not published", "frame_id", f.ID().String(), "error", err)
		}
		return nil
	}
	s.mu.Lock()
	for len(s.pending) >= framesOut && !s.closed {
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
	}
	if s.closed {
		s.mu.Unlock()
		release()
		return nil
	}
	defer s.mu.Unlock()
	s.pending = append(s.pending, pendingFrame{n: s.next, data: data, release: release})
	s.next++
	if len(s.pending) == 1 {
		s.timer.Reset(s.ackTimeout)
	}
	s.publish(len(s.pending) - 1)
	return nil
}

// publish sends pending[i]. mu is held.
func (s *FrameSender) publish(i int) {
	p := s.pending[i]
	reply := frameReply{inbox: s.inbox, n: p.n, first: i == 0}
	if i > 0 {
		reply.after = s.pending[i-1].n
	}
	// A failure is a lost connection: the frame is sent again when it is back.
	_ = s.bus.frames.PublishMsg(&nats.Msg{Subject: s.subject, Reply: reply.String(), Data: p.data})
}

// answered takes an acknowledgement or the wish to see everything again.
func (s *FrameSender) answered(m *nats.Msg) {
	if m.Subject == s.inbox+resendToken {
		s.resend()
		return
	}
	reply, ok := parseFrameReply(m.Subject)
	if !ok {
		return
	}
	s.mu.Lock()
	if m.Header.Get("Status") != "" { // the server says that nobody listens yet
		if !s.closed && len(s.pending) > 0 {
			s.timer.Reset(min(s.ackTimeout, ownerPause))
		}
		s.mu.Unlock()
		return
	}
	var release func()
	for i, p := range s.pending {
		if p.n == reply.n {
			release = p.release
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			break
		}
	}
	if len(s.pending) == 0 {
		s.timer.Stop()
	} else if !s.closed {
		s.timer.Reset(s.ackTimeout)
	}
	s.mu.Unlock()
	s.roomier()
	if release != nil {
		release()
	}
}

// roomier wakes a Send that waits.
func (s *FrameSender) roomier() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// resend repeats everything unanswered, in order.
func (s *FrameSender) resend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.pending) == 0 {
		return
	}
	for i := range s.pending {
		s.publish(i)
	}
	s.timer.Reset(s.ackTimeout)
}

// Close stops. Frames not acknowledged yet are released.
func (s *FrameSender) Close() error {
	s.bus.mu.Lock()
	delete(s.bus.senders, s)
	s.bus.mu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.timer.Stop()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	s.roomier()
	for _, p := range pending {
		p.release()
	}
	if s.bus.frames.IsClosed() {
		return nil
	}
	return s.sub.Unsubscribe()
}

// resendToken ends the subject on which a receiver asks to see everything
// unanswered again.
const resendToken = ".resend"

// frameReply is the reply subject of a lossless frame.
type frameReply struct {
	inbox string
	n     uint64
	after uint64
	first bool // nothing unanswered was before it
}

func (r frameReply) String() string {
	if r.first {
		return fmt.Sprintf("%s.%d.first", r.inbox, r.n)
	}
	return fmt.Sprintf("%s.%d.%d", r.inbox, r.n, r.after)
}

func parseFrameReply(subject string) (r frameReply, ok bool) {
	rest, after, ok := cutLast(subject)
	if !ok {
		return r, false
	}
	inbox, n, ok := cutLast(rest)
	if !ok {
		return r, false
	}
	r.inbox = inbox
	if r.n, ok = parseNumber(n); !ok {
		return r, false
	}
	if after == "first" {
		r.first = true
		return r, true
	}
	r.after, ok = parseNumber(after)
	return r, ok
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}
