package bus_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

// frame is a frame message of the size that real ones have.
func frame(seq uint64) *vedette.Frame {
	now := vedette.At(time.Now())
	return &vedette.Frame{
		Schema: vedette.FrameSchema, Site: "plant-1", Camera: "gate", Epoch: "01jdv8k2zz", Seq: seq,
		CaptureTime: now, Clock: vedette.ClockHost, PTSMillis: 40 * float64(seq), CapturedAt: now, CaptureMillis: 4.4,
		Width: 1920, Height: 1080, Format: vedette.BGR24,
		Ref: vedette.RingRef{Path: "/proc/1234/fd/17", Slot: int(seq % 6), Generation: 2 * seq, Stride: 5760, Bytes: 6220800},
	}
}

// sequence collects what a subscriber sees.
type sequence struct {
	mu   sync.Mutex
	seen []uint64
	acks map[uint64]func()
}

func (s *sequence) take(f *vedette.Frame, ack func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, f.Seq)
	if s.acks == nil {
		s.acks = map[uint64]func(){}
	}
	s.acks[f.Seq] = ack
}

func (s *sequence) list() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *sequence) ack(seq uint64) {
	s.mu.Lock()
	ack := s.acks[seq]
	s.mu.Unlock()
	ack()
}

func upTo(n uint64) (all []uint64) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// eventually waits for what other goroutines will have done.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not in time: %s", what)
		}
	}
}

func receive(tb testing.TB, b *bus.Bus, handler func(*vedette.Frame, func())) {
	tb.Helper()
	stop, err := b.SubscribeFrames("host", handler)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Error(err)
		}
	})
}

func sender(tb testing.TB, b *bus.Bus) *bus.FrameSender {
	tb.Helper()
	s, err := b.NewFrameSender("host", "gate")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func send(tb testing.TB, s *bus.FrameSender, seq uint64, release func()) {
	tb.Helper()
	if err := s.Send(context.Background(), frame(seq), release); err != nil {
		tb.Fatal(err)
	}
}

func TestNewestWinsFrames(t *testing.T) {
	b := start(t, bus.Config{})
	var got sequence
	receive(t, b, got.take)
	s := sender(t, b)
	for i := range uint64(100) {
		send(t, s, i, nil)
	}
	eventually(t, "100 frames", func() bool { return len(got.list()) == 100 })
	if diff := cmp.Diff(upTo(100), got.list()); diff != "" {
		t.Error(diff)
	}
	got.ack(3) // means nothing here, and must not hurt
}

// A subscriber that stands still loses frames, sees which by their numbers, and
// nothing else on the bus notices.
func TestSlowFrameSubscriber(t *testing.T) {
	b := start(t, bus.Config{})
	var got sequence
	wake := make(chan struct{})
	receive(t, b, func(f *vedette.Frame, ack func()) {
		<-wake
		got.take(f, ack)
	})
	s := sender(t, b)
	const sent = 6000
	for i := range uint64(sent) {
		send(t, s, i, nil)
	}
	eventually(t, "a slow consumer is counted", func() bool { return b.Counters().SlowConsumers.Load() > 0 })
	if _, err := b.Conn().RTT(); err != nil {
		t.Errorf("control suffers: %v", err)
	}
	close(wake)
	eventually(t, "a frame after the flood", func() bool {
		send(t, s, sent, nil)
		all := got.list()
		return len(all) > 0 && all[len(all)-1] == sent
	})
	all := got.list()
	if !slices.IsSorted(all) || all[0] != 0 || len(all) >= sent {
		t.Errorf("%d of %d frames, first %d, sorted %t", len(all), sent, all[0], slices.IsSorted(all))
	}
}

// Lossless frames come once and in order, however often they are sent; the
// picture is given back when the receiver is done with it, not before, once.
func TestLosslessFrames(t *testing.T) {
	b := start(t, bus.Config{})
	var got sequence
	receive(t, b, got.take)
	s := sender(t, b)
	s.SetAckTimeout(10 * time.Millisecond)
	var mu sync.Mutex
	released := map[uint64]int{}
	freed := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(released)
	}
	for i := range uint64(6) {
		send(t, s, i, func() {
			mu.Lock()
			defer mu.Unlock()
			released[i]++
		})
	}
	eventually(t, "6 frames", func() bool { return len(got.list()) == 6 })
	// Let it be sent again, several times, while nothing is done with.
	repeats, err := b.Conn().SubscribeSync(b.Subjects().FramesOf("host"))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		if _, err := repeats.NextMsg(5 * time.Second); err != nil {
			t.Fatalf("not sent again: %v", err)
		}
	}
	if n := freed(); n != 0 {
		t.Errorf("%d pictures were given back while in use", n)
	}
	for _, seq := range []uint64{2, 0, 1, 5, 4, 3} { // the receiver may finish in any order
		got.ack(seq)
		got.ack(seq) // twice is once
	}
	eventually(t, "everything released", func() bool { return freed() == 6 })
	if diff := cmp.Diff(upTo(6), got.list()); diff != "" {
		t.Errorf("handed on: %s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	for seq, n := range released {
		if n != 1 {
			t.Errorf("frame %d was released %d times", seq, n)
		}
	}
}

func TestLostAcknowledgement(t *testing.T) {
	b := start(t, bus.Config{})
	s := sender(t, b)
	s.SetAckTimeout(10 * time.Millisecond)
	raw, err := b.Conn().SubscribeSync(b.Subjects().FramesOf("host"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{}, 2)
	send(t, s, 0, func() { released <- struct{}{} })
	var first, again *nats.Msg
	if first, err = raw.NextMsg(5 * time.Second); err == nil {
		again, err = raw.NextMsg(5 * time.Second) // the first one's answer was "lost"
	}
	if err != nil || first.Reply != again.Reply {
		t.Fatalf("not sent again: %v", err)
	}
	for range 2 {
		if err := again.Respond(nil); err != nil {
			t.Fatal(err)
		}
	}
	<-released
	if err := b.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-released:
		t.Error("released twice")
	case <-time.After(30 * time.Millisecond):
	}
}

// The receiver against a sender made by hand: what it hands on, answers and
// asks for.
func TestFrameReceiver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		send  []string // "number.after"
		want  []uint64
		asked int
		acked int // with every frame handed on done with at once
	}{
		{"in order", []string{"0.first", "1.0", "2.1"}, []uint64{0, 1, 2}, 0, 3},
		{"everything before it answered", []string{"7.first", "8.first"}, []uint64{7, 8}, 0, 2},
		{"some before it answered", []string{"0.first", "1.0", "2.0"}, []uint64{0, 1, 2}, 0, 3},
		{"again", []string{"0.first", "1.0", "0.first", "1.first"}, []uint64{0, 1}, 0, 4},
		{"a hole", []string{"0.first", "2.1", "3.2", "1.first", "2.1", "3.2"}, []uint64{0, 1, 2, 3}, 1, 4},
		{"two holes", []string{"0.first", "2.1", "1.first", "3.2", "2.first", "3.2"}, []uint64{0, 1, 2, 3}, 2, 4},
		{"joined late", []string{"5.4", "4.first", "5.4"}, []uint64{4, 5}, 1, 2},
		{"nonsense", []string{"x.first", "1.x", "0.first"}, []uint64{0}, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, bus.Config{})
			var got sequence
			receive(t, b, func(f *vedette.Frame, ack func()) { got.take(f, ack); ack() })
			inbox := b.Conn().NewInbox()
			answers, err := b.Conn().SubscribeSync(inbox + ".>")
			if err != nil {
				t.Fatal(err)
			}
			for _, reply := range tc.send {
				var n uint64
				_, _ = fmt.Sscanf(reply, "%d", &n)
				body := fmt.Sprintf(`{"camera":"gate","seq":%d}`, n)
				if err := b.Conn().PublishRequest(b.Subjects().Frame("host", "gate"), inbox+"."+reply, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			asked, acked := 0, 0
			for asked+acked < tc.asked+tc.acked {
				m, err := answers.NextMsg(5 * time.Second)
				if err != nil {
					t.Fatalf("asked %d times, acknowledged %d: %v", asked, acked, err)
				}
				if m.Subject == inbox+".resend" {
					asked++
				} else {
					acked++
				}
			}
			if asked != tc.asked || acked != tc.acked {
				t.Errorf("asked %d times, acknowledged %d; want %d and %d", asked, acked, tc.asked, tc.acked)
			}
			if diff := cmp.Diff(tc.want, got.list()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The connection breaks again and again in mid-stream; the ring has six slots.
func TestLosslessFramesOverReconnects(t *testing.T) {
	b := start(t, bus.Config{})
	var got sequence
	receive(t, b, func(f *vedette.Frame, ack func()) { got.take(f, nil); ack() })
	s := sender(t, b)
	const total = 600
	slots := make(chan struct{}, 6)
	for i := range uint64(total) {
		select {
		case slots <- struct{}{}:
		case <-time.After(10 * time.Second):
			t.Fatalf("stuck before frame %d", i)
		}
		if i%150 == 75 {
			if err := b.Connections()["frames"].ForceReconnect(); err != nil {
				t.Fatal(err)
			}
		}
		send(t, s, i, func() { <-slots })
	}
	eventually(t, "all released", func() bool { return len(slots) == 0 })
	if diff := cmp.Diff(upTo(total), got.list()); diff != "" {
		t.Error(diff)
	}
	if n := b.Counters().Reconnects.Load(); n < 4 {
		t.Errorf("only %d reconnects: the test does not test", n)
	}
}

func TestFrameSenderClose(t *testing.T) {
	b := start(t, bus.Config{})
	s, err := b.NewFrameSender("host", "gate")
	if err != nil {
		t.Fatal(err)
	}
	released := 0
	for i := range uint64(3) {
		send(t, s, i, func() { released++ })
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, 3, func() { released++ })
	if released != 4 {
		t.Errorf("%d released, want all 4", released)
	}
}

// The end of a camera must not be lost: who waits for it would wait for ever.
func TestCameraEndIsSentAgain(t *testing.T) {
	b := start(t, bus.Config{})
	s := sender(t, b)
	s.SetAckTimeout(10 * time.Millisecond)
	if err := s.Send(t.Context(), &vedette.Frame{Camera: "gate", End: true, Last: true}, nil); err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool, 1) // nobody listened until now
	receive(t, b, func(f *vedette.Frame, ack func()) { seen <- f.Last; ack() })
	if !<-seen {
		t.Error("not the end")
	}
}

func BenchmarkFrameHop(b *testing.B) {
	for _, lossless := range []bool{false, true} {
		b.Run(fmt.Sprintf("lossless=%t", lossless), func(b *testing.B) {
			bb := start(b, bus.Config{})
			taken := make(chan struct{}, 6)
			receive(b, bb, func(_ *vedette.Frame, ack func()) {
				ack()
				if !lossless {
					<-taken
				}
			})
			s := sender(b, bb)
			f := frame(0)
			b.ReportAllocs()
			for b.Loop() {
				taken <- struct{}{}
				var release func()
				if lossless {
					release = func() { <-taken }
				}
				if err := s.Send(context.Background(), f, release); err != nil {
					b.Fatal(err)
				}
				f.Seq++
			}
			eventually(b, "the last frame", func() bool { return len(taken) == 0 })
		})
	}
}
