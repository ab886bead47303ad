package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestEmbeddedServerRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	held := t.TempDir()
	start(t, bus.Config{Store: held})

	for _, tc := range []struct {
		name string
		cfg  bus.Config
		want []string
	}{
		{"store is a file", bus.Config{Store: file}, []string{"store " + file, "not a directory"}},
		{"store below a file", bus.Config{Store: file + "/x"}, []string{"cannot make the folder", "not a directory"}},
		{"store in use", bus.Config{Store: held}, []string{"in use by another vedette", "bus.store"}},
		{"port in use", bus.Config{Listen: taken.Addr().String()}, []string{taken.Addr().String(), "the port is in use", "bus.listen"}},
		{"beyond this machine with no place for keys", bus.Config{Listen: "0.0.0.0:4222"}, []string{"everybody needs a key", "bus.store"}},
		{"no port", bus.Config{Listen: "localhost"}, []string{"want address:port"}},
		{"no address", bus.Config{Listen: "camera:4222"}, []string{"want address:port"}},
		{"bad prefix", bus.Config{Prefix: "a.>"}, []string{"subject prefix"}},
		{"negative", bus.Config{MaxStore: -1}, []string{"max_store", "negative"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := time.Now()
			err := refused(t, tc.cfg)
			if !errors.Is(err, bus.ErrConfig) {
				t.Errorf("not the configuration's fault: %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

func TestEmbeddedServerServesOthers(t *testing.T) {
	dir := t.TempDir()
	b := start(t, bus.Config{Listen: "localhost:0", Store: dir})
	nc, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	live, err := nc.SubscribeSync("vedette.detection.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, writer(t, b), "gate", 0)
	if _, err := live.NextMsg(5 * time.Second); err != nil {
		t.Error(err)
	}
	// The same store goes on in the next run.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, bus.Config{Store: dir})
	mustWrite(t, writer(t, again), "gate", 0, 1)
	wantStored(t, again, "gate", []uint64{0, 1})
	if again.Address() != "" {
		t.Errorf("it listens at %s", again.Address())
	}
}

func TestTemporaryStoreIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := start(t, bus.Config{})
	made, err := filepath.Glob(filepath.Join(os.TempDir(), "vedette-*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("%v, %v", made, err)
	}
	for range 2 { // Close is idempotent
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(made[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", made[0], err)
	}
}

func TestEnsureDetections(t *testing.T) {
	b := start(t, bus.Config{MaxStore: 4 << 30, Listen: "127.0.0.1:0"})
	js, err := jetstream.New(as(t, b, bus.Operator).Conn())
	if err != nil {
		t.Fatal(err)
	}
	limits := func() bus.Limits {
		info := stream(t, b).CachedInfo()
		return bus.Limits{Age: info.Config.MaxAge, Bytes: info.Config.MaxBytes}
	}
	for _, want := range []bus.Limits{
		{Age: time.Hour, Bytes: 1 << 20},
		{Age: 2 * time.Hour, Bytes: 2 << 20},
		{Age: 2 * time.Hour, Bytes: 2 << 20},
		{Age: time.Second, Bytes: 1 << 20}, // shorter than the duplicate window
		{Age: 0, Bytes: 0},
	} {
		if err := b.EnsureDetections(t.Context(), want); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if want.Bytes == 0 {
			want.Bytes = -1
		}
		if got := limits(); got != want {
			t.Errorf("limits %+v, want %+v", got, want)
		}
	}
	if err := b.EnsureDetections(t.Context(), bus.Limits{Bytes: 5 << 30}); err == nil || !strings.Contains(err.Error(), "5.0 GiB") || !strings.Contains(err.Error(), "bus.max_store") {
		t.Errorf("more than the store: %v", err)
	}
	for _, tc := range []struct {
		name string
		cfg  jetstream.StreamConfig
		want []string
	}{
		{"in memory, by interest", jetstream.StreamConfig{Name: "VEDETTE_DETECTIONS", Subjects: []string{"vedette.detection.>"}, Storage: jetstream.MemoryStorage, Retention: jetstream.InterestPolicy},
			[]string{"storage is Memory, vedette needs File", "retention is Interest, vedette needs Limits", "bus.prefix"}},
		{"other subjects", jetstream.StreamConfig{Name: "VEDETTE_DETECTIONS", Subjects: []string{"x.>"}}, []string{"subjects is [x.>]"}},
		{"one message each", jetstream.StreamConfig{Name: "VEDETTE_DETECTIONS", Subjects: []string{"vedette.detection.>"}, MaxMsgsPerSubject: 1}, []string{"per subject is 1"}},
		{"another stream", jetstream.StreamConfig{Name: "ALL", Subjects: []string{"vedette.>"}}, []string{"another stream takes [vedette.detection.>]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_ = js.DeleteStream(t.Context(), "VEDETTE_DETECTIONS")
			// The server removes the folder of the stream before it behind our
			// back, and a new one of that name may find it half gone.
			_, err := js.CreateStream(t.Context(), tc.cfg)
			for range 100 {
				if err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
				_, err = js.CreateStream(t.Context(), tc.cfg)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = js.DeleteStream(t.Context(), tc.cfg.Name) }()
			err = b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits())
			if !errors.Is(err, bus.ErrConfig) {
				t.Fatalf("not the configuration's fault: %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestInterruptedStart(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := bus.Start(ctx, bus.Config{URL: "nats://" + silent.Addr().String()}, slog.New(slog.DiscardHandler)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	silent.Close() // lets go of the attempt
}

// Requests within one process, and over the bus, behave alike.
func TestRequests(t *testing.T) {
	b := start(t, bus.Config{Listen: "127.0.0.1:0"})
	t.Run("local", func(t *testing.T) { testRequests(t, b, b, false) })
	t.Run("remote", func(t *testing.T) { testRequests(t, b, as(t, b, bus.Stage), true) })
}

func testRequests(t *testing.T, server, b *bus.Bus, remote bool) {
	ctx := t.Context()
	if _, err := b.Request(ctx, "vedette.tensor.none.i", "H", "", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("nobody there: %v", err)
	}
	stop, err := server.Serve("vedette.tensor.m.i", "H", func(header string, body []byte, respond func([]byte) error) {
		if header == "silent" {
			return
		}
		if err := respond(append([]byte(header+":"), body...)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Request(ctx, "vedette.tensor.m.i", "H", "{}", []byte("abc")); err != nil || string(got) != "{}:abc" {
		t.Errorf("%q, %v", got, err)
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if _, err := b.Request(short, "vedette.tensor.m.i", "H", "silent", nil); !errors.Is(err, bus.ErrTimeout) {
		t.Errorf("no answer: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Request(gone, "vedette.tensor.m.i", "H", "silent", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := b.Request(ctx, "vedette.tensor.m.i", "H", "{}", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("after it stopped: %v", err)
	}
	if remote {
		testLostConnection(t, server, b)
	}
}

func testLostConnection(t *testing.T, server, b *bus.Bus) {
	asked := make(chan struct{})
	stop, err := server.Serve("vedette.tensor.m.i", "H", func(string, []byte, func([]byte) error) { close(asked) })
	if err != nil {
		t.Fatal(err)
	}
	// The connection is lost while the worker thinks.
	lost := make(chan error, 1)
	go func() {
		_, err := b.Request(context.Background(), "vedette.tensor.m.i", "H", "", nil)
		lost <- err
	}()
	<-asked
	if err := b.Connections()["tensors"].ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-lost:
		if !errors.Is(err, bus.ErrNoResponders) {
			t.Errorf("lost connection: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a request waits for an answer that cannot come")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func BenchmarkRequest(b *testing.B) {
	server := start(b, bus.Config{Listen: "127.0.0.1:0"})
	answer := make([]byte, 400)
	stop, err := server.Serve("vedette.tensor.m.i", "H", func(_ string, _ []byte, respond func([]byte) error) { _ = respond(answer) })
	if err != nil {
		b.Fatal(err)
	}
	defer stop() //nolint:errcheck // it fails only with the connection
	body := make([]byte, 416*416*3)
	for name, client := range map[string]*bus.Bus{"local": server, "tcp": as(b, server, bus.Stage)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Request(context.Background(), "vedette.tensor.m.i", "H", "{}", body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
