package bus_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
)

func TestKeysOfTheStore(t *testing.T) {
	store := t.TempDir()
	read := func() (all [][]byte) {
		b := start(t, bus.Config{Store: store})
		for _, r := range bus.Roles() {
			data, err := os.ReadFile(b.KeyFile(r))
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(b.KeyFile(r))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", r, info.Mode(), err)
			}
			all = append(all, data)
		}
		info, err := os.Stat(filepath.Dir(b.KeyFile(bus.Stage)))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("folder: %v, %v", info.Mode(), err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	made := read()
	for i, a := range made {
		if !bytes.HasPrefix(a, []byte("SU")) {
			t.Errorf("key %d is no seed of a user", i)
		}
		for _, b := range made[:i] {
			if bytes.Equal(a, b) {
				t.Error("two roles have one key")
			}
		}
	}
	if again := read(); !bytes.Equal(bytes.Join(made, nil), bytes.Join(again, nil)) {
		t.Error("the next start has other keys")
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(keys string) error
		says  []string
	}{
		{"others can read the folder", func(keys string) error { return os.Chmod(keys, 0o755) }, []string{"mode 0755", "chmod 0700"}},
		{"others can read a key", func(keys string) error { return os.Chmod(filepath.Join(keys, "operator.nk"), 0o644) }, []string{"operator.nk", "mode 0644", "chmod 0600"}},
		{"the group can write a key", func(keys string) error { return os.Chmod(filepath.Join(keys, "stage.nk"), 0o620) }, []string{"stage.nk", "mode 0620"}},
		{"a key is damaged", func(keys string) error {
			return os.WriteFile(filepath.Join(keys, "stage.nk"), []byte("SUsecret"), 0o600)
		}, []string{"stage.nk", "no NKey seed"}},
		{"a key is empty", func(keys string) error { return os.WriteFile(filepath.Join(keys, "worker.nk"), nil, 0o600) }, []string{"worker.nk", "no NKey seed"}},
		{"a key is a folder", func(keys string) error {
			return errors.Join(os.Remove(filepath.Join(keys, "worker.nk")), os.Mkdir(filepath.Join(keys, "worker.nk"), 0o700))
		}, []string{"worker.nk", "is a directory"}},
		{"the folder is a file", func(keys string) error { return errors.Join(os.RemoveAll(keys), os.WriteFile(keys, nil, 0o600)) }, []string{"keys", "not a directory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := t.TempDir()
			if err := start(t, bus.Config{Store: store}).Close(); err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(filepath.Join(store, "keys")); err != nil {
				t.Fatal(err)
			}
			err := refused(t, bus.Config{Store: store})
			for _, want := range append(tc.says, store) {
				if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "SUsecret") {
				t.Errorf("it shows what is in the file: %v", err)
			}
		})
	}
}

func TestMakeKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	files, err := bus.MakeKeys(dir, "eu.plant-1")
	if err != nil || len(files) != len(bus.Roles())+1 {
		t.Fatalf("%v, %v", files, err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"EU_PLANT-1" {`, `"eu.plant-1.detection.>"`, `"$JS.API.STREAM.INFO.EU_PLANT-1_DETECTIONS"`} {
		if !bytes.Contains(first, []byte(want)) {
			t.Errorf("accounts.conf does not have %s", want)
		}
	}
	if bytes.Contains(first, []byte("nkey: SU")) {
		t.Error("accounts.conf has a secret")
	}
	if _, err := bus.MakeKeys(dir, "eu.plant-1"); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(filepath.Join(dir, "accounts.conf")); err != nil || !bytes.Equal(first, second) {
		t.Errorf("a second time makes others: %v", err)
	}
	if _, err := bus.MakeKeys(dir, "a.>"); !errors.Is(err, bus.ErrConfig) {
		t.Errorf("a bad prefix: %v", err)
	}
}

// What was stored before the server had accounts is still there.
func TestStoreOfAnEarlierVersion(t *testing.T) {
	store := t.TempDir()
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: store, DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "VEDETTE_DETECTIONS", Subjects: []string{"vedette.detection.>"}, Duplicates: time.Second}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "vedette.detection.gate.yolox-nano", []byte(`{"id":"old","epoch":"01jdv8k2zz","seq":7}`)); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.Shutdown()
	s.WaitForShutdown()
	for range 2 {
		b := start(t, bus.Config{Store: store})
		if d, err := b.LastDetection(t.Context(), "gate", "yolox-nano"); err != nil || d == nil || d.ID != "old" {
			t.Fatalf("%+v, %v", d, err)
		}
		if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The sentences that say who may do what are in the log, and never so many that
// they fill a disk.
func TestRefusalsInTheLog(t *testing.T) {
	var log bytes.Buffer
	b, err := bus.Start(t.Context(), bus.Config{Listen: "127.0.0.1:0", Store: t.TempDir()}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(b.Address(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		if err := nc.Publish("vedette.control.reload", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := b.Close(); err != nil { // now nobody writes to the log
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "vedette.control.reload"); n == 0 || n > 30 {
		t.Errorf("%d lines for 2000 refusals:\n%.2000s", n, &log)
	}
}
