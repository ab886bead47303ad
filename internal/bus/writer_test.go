package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

const epoch = "01jdv8k2zz"

func detection(camera string, seq uint64) *vedette.Detection {
	now := vedette.At(time.Now())
	id := vedette.FrameID{Camera: camera, Epoch: epoch, Seq: seq}
	return &vedette.Detection{
		Schema: vedette.DetectionSchema, ID: id.Detection("yolox-nano"), Site: "plant-1",
		Camera: camera, Epoch: epoch, Seq: seq, PrevSeq: int64(seq) - 1,
		CaptureTime: now, Clock: vedette.ClockHost, PublishTime: now, Width: 1920, Height: 1080,
		Status: vedette.StatusOK, Model: vedette.ModelRef{Name: "yolox-nano", Task: "detect"},
		Objects:   &[]vedette.Object{{Label: "person", Score: 0.91, Box: vedette.Box{812.4, 310, 901.2, 655.8}}},
		GapBefore: map[string]uint64{},
	}
}

// writer makes a stream and a writer that is quick to lose patience.
func writer(tb testing.TB, b *bus.Bus) *bus.DetectionWriter {
	tb.Helper()
	if err := b.EnsureDetections(context.Background(), bus.DefaultDetectionLimits()); err != nil {
		tb.Fatal(err)
	}
	w := b.NewDetectionWriter()
	w.Hurry()
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Error(err)
		}
	})
	return w
}

// write waits until d is done with.
func write(w *bus.DetectionWriter, d *vedette.Detection) error {
	done := make(chan error, 1)
	w.Write(context.Background(), d, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("not done in time")
	}
}

func mustWrite(tb testing.TB, w *bus.DetectionWriter, camera string, seqs ...uint64) {
	tb.Helper()
	for _, seq := range seqs {
		if err := write(w, detection(camera, seq)); err != nil {
			tb.Fatalf("%s %d: %v", camera, seq, err)
		}
	}
}

func stream(tb testing.TB, b *bus.Bus) jetstream.Stream {
	tb.Helper()
	js, err := jetstream.New(b.Conn())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var s jetstream.Stream
	eventually(tb, "the stream answers", func() bool { // JetStream may be restarting
		s, err = js.Stream(ctx, b.Subjects().Stream("detections"))
		return !errors.Is(err, nats.ErrNoResponders)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// stored lists the seqs that the stream holds of a camera, in its order.
func stored(tb testing.TB, b *bus.Bus, camera string) (seqs []uint64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := stream(tb, b).OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{b.Subjects().Detection(camera, "yolox-nano")},
	})
	if err != nil {
		tb.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		tb.Fatal(err)
	}
	defer messages.Stop()
	for range info.NumPending {
		m, err := messages.Next(jetstream.NextMaxWait(time.Minute))
		if err != nil {
			tb.Fatal(err)
		}
		var d vedette.Detection
		if err := json.Unmarshal(m.Data(), &d); err != nil {
			tb.Fatal(err)
		}
		seqs = append(seqs, d.Seq)
	}
	return seqs
}

func wantStored(tb testing.TB, b *bus.Bus, camera string, want []uint64) {
	tb.Helper()
	if diff := cmp.Diff(want, stored(tb, b, camera)); diff != "" {
		tb.Errorf("stream of %s (-want +got):\n%s", camera, diff)
	}
}

func TestWriter(t *testing.T) {
	b := start(t, bus.Config{})
	w := writer(t, b)
	if last, err := w.Last(t.Context(), "cam-0", "yolox-nano"); err != nil || last != nil {
		t.Fatalf("last of an empty stream: %v, %v", last, err)
	}
	const cameras, each = 8, 50
	var wg sync.WaitGroup
	for c := range cameras {
		camera := fmt.Sprintf("cam-%d", c)
		next := uint64(0)
		for seq := range uint64(each) {
			wg.Add(1)
			w.Write(t.Context(), detection(camera, seq), func(err error) {
				defer wg.Done()
				if err != nil || seq != next {
					t.Errorf("%s %d: done out of turn (want %d): %v", camera, seq, next, err)
				}
				next++
			})
		}
	}
	wg.Wait()
	for c := range cameras {
		wantStored(t, b, fmt.Sprintf("cam-%d", c), upTo(each))
	}
	last, err := w.Last(t.Context(), "cam-3", "yolox-nano")
	if err != nil {
		t.Fatal(err)
	}
	want := detection("cam-3", each-1)
	want.CaptureTime, want.PublishTime = last.CaptureTime, last.PublishTime
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
	if w.Degraded() {
		t.Error("degraded")
	}
}

func TestWriterHeaders(t *testing.T) {
	b := start(t, bus.Config{})
	w := writer(t, b)
	d := detection("gate", 7)
	if err := write(w, d); err != nil {
		t.Fatal(err)
	}
	m, err := stream(t, b).GetLastMsgForSubject(t.Context(), "vedette.detection.gate.yolox-nano")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "gate-01jdv8k2zz-000007-yolox-nano", "ce-source": "/cameras/gate",
		"ce-type": "io.vedette.detection.v1", "ce-time": d.CaptureTime.String(), "ce-subject": "yolox-nano",
		"ce-dataschema": "vedette.detection.v1", "Content-Type": "application/json", "Nats-Msg-Id": d.ID,
	} {
		if got := m.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// An owner that restarts may infer again what it had published.
func TestWriterAfterRestart(t *testing.T) {
	b := start(t, bus.Config{})
	mustWrite(t, writer(t, b), "gate", 0, 1, 2, 3)
	again := writer(t, b)
	mustWrite(t, again, "gate", 2, 3, 4, 5, 5)
	wantStored(t, b, "gate", upTo(6))
}

// The stream forgets old messages while a camera is quiet.
func TestWriterAfterExpiry(t *testing.T) {
	b := start(t, bus.Config{Listen: "127.0.0.1:0"})
	w := writer(t, b)
	mustWrite(t, w, "gate", 0, 1)
	if err := stream(t, as(t, b, bus.Operator)).Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, w, "gate", 2, 3)
	wantStored(t, b, "gate", []uint64{2, 3})
}

func TestSecondWriterIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		seq  uint64 // what the second writer begins with
	}{{"ahead", 5}, {"the same frames", 2}} {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, bus.Config{})
			old, young := writer(t, b), writer(t, b)
			mustWrite(t, old, "gate", 0, 1)
			mustWrite(t, young, "gate", tc.seq) // takes over
			for seq := uint64(2); seq < 5; seq++ {
				if err := write(old, detection("gate", seq)); !errors.Is(err, bus.ErrSecondWriter) {
					t.Fatalf("old writer, %d: %v", seq, err)
				}
			}
			mustWrite(t, young, "gate", tc.seq+1, tc.seq+2)
			want := []uint64{0, 1, tc.seq, tc.seq + 1, tc.seq + 2}
			wantStored(t, b, "gate", want)
			mustWrite(t, old, "yard", 0) // other subjects are not concerned
			// Once the other is silent the old one may go on.
			eventually(t, "the old writer writes again", func() bool {
				err := write(old, detection("gate", 50))
				if err != nil && !errors.Is(err, bus.ErrSecondWriter) {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
				return err == nil
			})
			wantStored(t, b, "gate", append(want, 50))
		})
	}
}

func TestWriterMakesLostStreamAnew(t *testing.T) {
	b := start(t, bus.Config{Listen: "127.0.0.1:0"})
	w := writer(t, b)
	mustWrite(t, w, "gate", 0, 1)
	js, err := jetstream.New(as(t, b, bus.Operator).Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), b.Subjects().Stream("detections")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, w, "gate", 2)
	wantStored(t, b, "gate", []uint64{2})
}

// Everything given to Write is answered once, whatever happens.
func TestWriterClose(t *testing.T) {
	b := start(t, bus.Config{})
	if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err != nil {
		t.Fatal(err)
	}
	w := b.NewDetectionWriter()
	var (
		mu       sync.Mutex
		answered = map[string]int{}
		wg       sync.WaitGroup
	)
	const cameras, each = 4, 300
	for c := range cameras {
		wg.Go(func() {
			for seq := range uint64(each) {
				d := detection(fmt.Sprintf("cam-%d", c), seq)
				w.Write(context.Background(), d, func(error) {
					mu.Lock()
					defer mu.Unlock()
					answered[d.ID]++
				})
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // in the thick of it; any moment will do
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := write(w, detection("gate", 0)); err == nil {
		t.Error("a closed writer wrote")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(answered) != cameras*each {
		t.Errorf("%d answers to %d detections", len(answered), cameras*each)
	}
	for id, n := range answered {
		if n != 1 {
			t.Errorf("%s was answered %d times", id, n)
		}
	}
}

// A caller is not held for ever by a queue that does not move.
func TestWriteGivesUpWithItsContext(t *testing.T) {
	b := start(t, bus.Config{})
	w := writer(t, b)
	hold := make(chan struct{})
	w.Write(t.Context(), detection("gate", 0), func(error) { <-hold })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	refused := 0
	for seq := uint64(1); seq < 100 && refused == 0; seq++ {
		w.Write(ctx, detection("gate", seq), func(err error) {
			if errors.Is(err, context.DeadlineExceeded) {
				refused++
			}
		})
	}
	if refused != 1 {
		t.Error("Write did not give up")
	}
	close(hold)
}

func TestSubscribeDetections(t *testing.T) {
	b := start(t, bus.Config{})
	w := writer(t, b)
	var got []uint64
	stop, err := b.SubscribeDetections(t.Context(), func(d *vedette.Detection, raw []byte) {
		if !json.Valid(raw) {
			t.Errorf("not JSON: %s", raw)
		}
		got = append(got, d.Seq)
	})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, w, "gate", upTo(20)...)
	// A repetition, as after a lost acknowledgement, and nonsense.
	repeated, err := json.Marshal(detection("gate", 19))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{repeated, []byte("{")} {
		if err := b.Conn().Publish("vedette.detection.gate.yolox-nano", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(upTo(20), got); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, cameras := range []int{1, 16} {
		b.Run(fmt.Sprintf("subjects=%d", cameras), func(b *testing.B) {
			w := writer(b, start(b, bus.Config{}))
			var wg sync.WaitGroup
			seq := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				wg.Add(1)
				d := detection(fmt.Sprintf("cam-%d", seq%uint64(cameras)), seq)
				w.Write(context.Background(), d, func(err error) {
					defer wg.Done()
					if err != nil {
						b.Error(err)
					}
				})
				seq++
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
