package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// publisher is a bus that outside clients can reach, with a writer.
type publisher struct {
	bus    *bus.Bus
	writer *bus.DetectionWriter
}

func publish(t testing.TB, cfg bus.Config) *publisher {
	t.Helper()
	b, err := bus.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{bus: b}
	t.Cleanup(p.close)
	if err := b.EnsureDetections(t.Context(), bus.Limits{Age: time.Hour, Bytes: 32 << 20}); err != nil {
		t.Fatal(err)
	}
	p.writer = b.NewDetectionWriter()
	return p
}

func (p *publisher) close() {
	if p.writer != nil {
		p.writer.Close()
	}
	p.bus.Close()
}

func (p *publisher) write(t testing.TB, ds ...*vedette.Detection) {
	t.Helper()
	done := make(chan error, len(ds))
	for _, d := range ds {
		p.writer.Write(t.Context(), d, func(err error) { done <- err })
	}
	for range ds {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func detection(camera string, seq uint64, prev int64, labels ...string) *vedette.Detection {
	id := vedette.FrameID{Camera: camera, Epoch: "01jdv8k2zz", Seq: seq}
	at := vedette.At(time.Now())
	objects := []vedette.Object{}
	for _, l := range labels {
		objects = append(objects, vedette.Object{Label: l, Score: 0.9})
	}
	return &vedette.Detection{
		Schema: vedette.DetectionSchema, ID: id.Detection("yolox"), Camera: camera, Epoch: id.Epoch, Seq: seq, PrevSeq: prev,
		CaptureTime: at, PublishTime: at, Clock: vedette.ClockHost, Width: 640, Height: 480, Status: vedette.StatusOK,
		Model: vedette.ModelRef{Name: "yolox", Task: "detect"}, Objects: &objects, GapBefore: map[string]uint64{},
	}
}

func connect(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// errEnough ends a test's reading.
var errEnough = errors.New("enough")

// read reads n messages.
func read(t testing.TB, c *client.Client, f client.Filter, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	err := c.Detections(ctx, f, func(m client.Message) error {
		line := fmt.Sprintf("%s %d", m.Camera, m.Seq)
		if m.Missed {
			line += " missed"
		}
		got = append(got, line)
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %v: %v", got, err)
	}
	return got
}

func TestSince(t *testing.T) {
	p := publish(t, bus.Config{Listen: "127.0.0.1:0"})
	before := time.Now()
	p.write(t, detection("gate", 0, -1, "car"))
	p.write(t, detection("yard", 0, -1)) // cameras are not ordered among themselves
	p.write(t, detection("gate", 1, 0), detection("gate", 5, 4, "person"), detection("gate", 6, 5, "car"))
	c := connect(t, p.bus.Address())
	for name, tc := range map[string]struct {
		filter client.Filter
		want   []string
	}{
		"all":        {client.Filter{}, []string{"gate 0", "yard 0", "gate 1", "gate 5 missed", "gate 6"}},
		"one camera": {client.Filter{Camera: "yard"}, []string{"yard 0"}},
		"one model":  {client.Filter{Model: "yolox", Camera: "gate"}, []string{"gate 0", "gate 1", "gate 5 missed", "gate 6"}},
		// What is missing is reported with the next one that passes.
		"one label":  {client.Filter{Label: "car"}, []string{"gate 0", "gate 6 missed"}},
		"sure":       {client.Filter{MinScore: 0.9, Label: "person"}, []string{"gate 5 missed"}},
		"any object": {client.Filter{MinScore: 0.5}, []string{"gate 0", "gate 5 missed", "gate 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.filter.Since = before
			if got := read(t, c, tc.filter, len(tc.want)); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// A program that remembers where it was goes on behind that, and learns what is
// gone.
func TestResume(t *testing.T) {
	p := publish(t, bus.Config{Listen: "127.0.0.1:0"})
	p.write(t, detection("gate", 0, -1), detection("gate", 1, 0), detection("gate", 2, 1), detection("gate", 3, 2))
	c := connect(t, p.bus.Address())
	var last uint64
	err := c.Detections(t.Context(), client.Filter{StartSeq: 1}, func(m client.Message) error {
		if m.Missed || m.Seq != m.StreamSeq-1 {
			t.Errorf("frame %d at %d, missed %t", m.Seq, m.StreamSeq, m.Missed)
		}
		last = m.StreamSeq
		if m.Seq == 1 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if got, want := read(t, c, client.Filter{StartSeq: last + 1}, 2), []string{"gate 2", "gate 3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	operator, err := bus.Start(t.Context(), bus.Config{URL: p.bus.Address(), NKey: p.bus.KeyFile(bus.Operator), Role: bus.Operator}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	js, err := jetstream.New(operator.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "VEDETTE_DETECTIONS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, c, client.Filter{StartSeq: last + 1}, 1), []string{"gate 3 missed"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Without a stream there is no history, but what is published now is seen, once.
func TestLiveWithoutStream(t *testing.T) {
	b, err := bus.Start(t.Context(), bus.Config{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c := connect(t, b.Address())
	if err := c.Detections(t.Context(), client.Filter{StartSeq: 1}, nil); !errors.Is(err, client.ErrNoStream) {
		t.Errorf("history: %v", err)
	}
	send := func(seq uint64, prev int64) {
		d := detection("gate", seq, prev)
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Conn().Publish("vedette.detection.gate.yolox", raw); err != nil {
			t.Fatal(err)
		}
	}
	listening, done := make(chan struct{}), make(chan struct{})
	go func() { // the first ones may be too early
		defer close(done)
		for {
			send(0, -1)
			select {
			case <-listening:
				send(1, 0)
				send(1, 0)
				send(7, 6)
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	var got []string
	err = c.Detections(t.Context(), client.Filter{}, func(m client.Message) error {
		if m.Seq == 0 {
			close(listening)
		}
		got = append(got, fmt.Sprint(m.Seq, m.Missed, m.StreamSeq))
		if m.Seq == 7 {
			return errEnough
		}
		return nil
	})
	<-done
	if want := []string{"0 false 0", "1 false 0", "7 true 0"}; !errors.Is(err, errEnough) || !slices.Equal(got, want) {
		t.Errorf("%q, want %q: %v", got, want, err)
	}
}

func TestLive(t *testing.T) {
	p := publish(t, bus.Config{Listen: "127.0.0.1:0"})
	p.write(t, detection("gate", 0, -1))
	c := connect(t, p.bus.Address())
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan uint64)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Detections(ctx, client.Filter{}, func(m client.Message) error {
			got <- m.Seq
			return nil
		})
	}()
	// It begins at some moment: from then on nothing may be missing.
	next := uint64(1)
	var first uint64
	for first == 0 {
		p.write(t, detection("gate", next, int64(next)-1))
		next++
		select {
		case first = <-got:
		case <-time.After(10 * time.Millisecond):
		}
	}
	for seq := first + 1; seq < first+50; seq++ {
		if seq >= next {
			p.write(t, detection("gate", seq, int64(seq)-1))
		}
		if g := <-got; g != seq {
			t.Fatalf("got %d, want %d", g, seq)
		}
	}
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("ended with %v", err)
	}
}

func TestServerRestart(t *testing.T) {
	store := t.TempDir()
	p := publish(t, bus.Config{Listen: "127.0.0.1:0", Store: store})
	listen := strings.TrimPrefix(p.bus.Address(), "nats://")
	c := connect(t, p.bus.Address())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Detections(ctx, client.Filter{Since: time.Now().Add(-time.Minute)}, func(m client.Message) error {
			got <- fmt.Sprint(m.Seq, m.Missed)
			return nil
		})
	}()
	want := func(s string) {
		t.Helper()
		select {
		case g := <-got:
			if g != s {
				t.Fatalf("got %s, want %s", g, s)
			}
		case err := <-ended:
			t.Fatalf("waiting for %s: %v", s, err)
		}
	}
	seq := uint64(0)
	for range 3 {
		for range 5 {
			p.write(t, detection("gate", seq, int64(seq)-1))
			want(fmt.Sprint(seq, false))
			seq++
		}
		p.close()
		p = publish(t, bus.Config{Listen: listen, Store: store})
	}
	p.write(t, detection("gate", seq, int64(seq)-1))
	want(fmt.Sprint(seq, false))
	// Ending it works while the server is away, too.
	p.close()
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it did not end")
	}
}

func TestEndings(t *testing.T) {
	p := publish(t, bus.Config{Listen: "127.0.0.1:0"})
	c := connect(t, p.bus.Address())
	if err := c.Detections(t.Context(), client.Filter{Camera: "a.b"}, nil); !errors.Is(err, vedette.ErrInvalidID) {
		t.Errorf("bad camera: %v", err)
	}
	if err := c.Detections(t.Context(), client.Filter{Model: ">"}, nil); !errors.Is(err, vedette.ErrInvalidID) {
		t.Errorf("bad model: %v", err)
	}
	other := connect(t, p.bus.Address(), client.Prefix("other"))
	if err := other.Detections(t.Context(), client.Filter{Since: time.Now()}, nil); !errors.Is(err, client.ErrNoStream) || !strings.Contains(err.Error(), "OTHER_DETECTIONS") {
		t.Errorf("other prefix: %v", err)
	}
	if _, err := client.Connect(p.bus.Address(), client.Prefix("A")); err == nil {
		t.Error("a bad prefix was accepted")
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Detections(t.Context(), client.Filter{}, func(client.Message) error { return nil }) }()
	c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error after Close")
		}
	case <-time.After(10 * time.Second):
		t.Error("Close did not end it")
	}
}

func TestConnectErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, url := range []string{"nats://user:s3cret@" + addr, "nats://s3cret@" + addr, "nats://user:s3cret@[::1", "user:s3cret@"} {
		_, err := client.Connect(url, client.Timeout(time.Second))
		if err == nil {
			t.Fatalf("%s: connected", url)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	if _, err := client.Connect("nats://" + addr); !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), addr) {
		t.Errorf("nobody there: %v", err)
	}
	for _, o := range []client.Option{client.NKey("no-such-file"), client.CA("no-such-file"), client.Certificate("no-such-file", "no-such-file")} {
		if _, err := client.Connect("nats://"+addr, o); err == nil || errors.Is(err, client.ErrUnreachable) {
			t.Errorf("a file that is not there: %v", err)
		}
	}
}
