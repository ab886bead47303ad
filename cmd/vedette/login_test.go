package main_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
)

// plantBus is the bus of a plant, without the plant.
func plantBus(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.AddService(bus.ServiceName, "v1", map[string]string{"stage": "run"}, func() any { return map[string]string{"stage": "run", "instance": "x"} }); err != nil {
		t.Fatal(err)
	}
	stop, err := b.AnswerAll(b.Subjects().Reload(), func([]byte) []byte { return []byte(`{"stage":"run","instance":"x","changes":{}}`) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// asked checks that the two commands of operators work.
func asked(t *testing.T, p program) {
	t.Helper()
	for command, says := range map[string]string{"status": "x         run ", "reload": "nothing changed"} {
		with := p
		with.args = append([]string{command}, p.args...)
		if o := with.run(t); o.code != 0 || !strings.Contains(o.stdout, says) || o.stderr != "" {
			t.Errorf("%v: exit code %d, %s%s", with.args, o.code, o.stdout, o.stderr)
		}
	}
}

// deniedBy checks that they say whose key is missing.
func deniedBy(t *testing.T, p program, says ...string) {
	t.Helper()
	for _, command := range []string{"status", "reload"} {
		with := p
		with.args = append([]string{command}, p.args...)
		o := with.run(t)
		o.wantSentence(t, 2, append(says, command+" needs the operator's key")...)
		if o.took > 20*time.Second {
			t.Errorf("it took %v", o.took)
		}
	}
}

func TestOperatorsKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "vedette-data")
	b := plantBus(t, bus.Config{Listen: "127.0.0.1:0", Store: store})
	plant := filepath.Join(dir, "plant.yaml")
	yaml := fmt.Sprintf("bus: {listen: %q, store: %q}\ncameras: [{id: gate, source: 'rtsp://u:${NOT_SET_HERE}@h/x'}]\n", strings.TrimPrefix(b.Address(), "nats://"), store)
	if err := os.WriteFile(plant, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("named", func(t *testing.T) {
		asked(t, program{args: []string{"--server", b.Address(), "--nkey", b.KeyFile(bus.Operator)}})
	})
	t.Run("in the environment", func(t *testing.T) {
		asked(t, program{args: []string{"--server", b.Address()}, env: []string{"VEDETTE_NKEY=" + b.KeyFile(bus.Operator)}})
	})
	t.Run("by the configuration", func(t *testing.T) { asked(t, program{args: []string{"-c", plant}}) })
	t.Run("in the usual folder", func(t *testing.T) { asked(t, program{args: []string{"--server", b.Address()}, dir: dir}) })
	t.Run("none", func(t *testing.T) {
		elsewhere := t.TempDir()
		deniedBy(t, program{args: []string{"--server", b.Address()}, dir: elsewhere}, "-c FILE", "--nkey FILE",
			"there is none at "+filepath.Join(elsewhere, "vedette-data", "keys", "operator.nk"))
	})
	t.Run("by a configuration of another folder", func(t *testing.T) {
		file := filepath.Join(dir, "relative.yaml")
		text := fmt.Sprintf("bus: {listen: %q, store: ./vedette-data}\ncameras: [{id: gate, source: '0'}]\n", strings.TrimPrefix(b.Address(), "nats://"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		asked(t, program{args: []string{"-c", file}, dir: dir})
		elsewhere := t.TempDir()
		says := []string{"there is none at " + filepath.Join(elsewhere, "vedette-data", "keys", "operator.nk"),
			"bus.store in " + file + " is relative to the folder in which the plant was started", "make bus.store absolute", "--nkey FILE"}
		deniedBy(t, program{args: []string{"-c", file}, dir: elsewhere}, says...)
		program{args: []string{"forget", "west", "-c", file}, dir: elsewhere}.run(t).wantSentence(t, 2, append(says, "run forget there")...)
	})
	t.Run("a subscriber's", func(t *testing.T) {
		deniedBy(t, program{args: []string{"--server", b.Address(), "--nkey", b.KeyFile(bus.Subscriber)}})
	})
	t.Run("another plant's", func(t *testing.T) {
		elsewhere := t.TempDir()
		if _, err := bus.MakeKeys(filepath.Join(elsewhere, "vedette-data", "keys"), ""); err != nil {
			t.Fatal(err)
		}
		deniedBy(t, program{args: []string{"--server", b.Address()}, dir: elsewhere},
			filepath.Join(elsewhere, "vedette-data", "keys", "operator.nk")+" is not for this server")
	})
	t.Run("named, and another plant's", func(t *testing.T) {
		keys := t.TempDir()
		if err := os.Chmod(keys, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := bus.MakeKeys(keys, ""); err != nil {
			t.Fatal(err)
		}
		run(t, "status", "--server", b.Address(), "--nkey", filepath.Join(keys, "operator.nk")).wantSentence(t, 1, "refused the login")
	})
	t.Run("no such file", func(t *testing.T) {
		run(t, "status", "--server", b.Address(), "--nkey", "/nosuch.nk").wantSentence(t, 2, "/nosuch.nk", "no such file")
	})
}

// A plant that is reached from other machines, with TLS.
func TestOperatorsKeyWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	cert, key := testkit.NewAuthority(t).Issue("server")
	b := plantBus(t, bus.Config{Listen: "0.0.0.0:0", Store: store, Cert: cert, Key: key})
	port := b.Address()[strings.LastIndexByte(b.Address(), ':')+1:]
	plant := filepath.Join(dir, "plant.yaml")
	yaml := fmt.Sprintf("bus: {listen: '0.0.0.0:%s', store: %q, cert: %q, key: %q}\ncameras: [{id: gate, source: '0'}]\n", port, store, cert, key)
	if err := os.WriteFile(plant, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	asked(t, program{args: []string{"-c", plant}})
	o := program{args: []string{"watch", "-c", plant, "--since", "1h"}}.run(t)
	o.wantSentence(t, 1, "VEDETTE_DETECTIONS does not exist") // it got as far as that
	run(t, "status", "--server", b.Address()).wantSentence(t, 1, "certificate")
	run(t, "watch", "--server", b.Address(), "--ca", cert).wantSentence(t, 2, "watch needs the subscriber's key")
}

func TestSubscribersLogin(t *testing.T) {
	t.Parallel()
	b := plantBus(t, bus.Config{Listen: "127.0.0.1:0"})
	for _, args := range [][]string{nil, {"--nkey", b.KeyFile(bus.Subscriber)}} {
		o := program{args: append([]string{"watch", "--since", "1h", "--server", b.Address()}, args...), dir: t.TempDir()}.run(t)
		o.wantSentence(t, 1, "VEDETTE_DETECTIONS does not exist")
	}
	run(t, "watch", "--server", b.Address(), "--prefix", "other").wantSentence(t, 2, "other.detection", "prefix")
}

func TestKeysCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	first := run(t, "keys", dir)
	if first.code != 0 || strings.Count(first.stdout, "\n") != 6 {
		t.Errorf("exit code %d: %s%s", first.code, first.stdout, first.stderr)
	}
	for path := range strings.Lines(first.stdout) {
		if info, err := os.Stat(strings.TrimSpace(path)); err != nil || (strings.Contains(path, ".nk") && info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "stage.nk"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "keys", dir).wantSentence(t, 2, "stage.nk", "chmod 0600")
	run(t, "keys", dir, "--prefix", "A").wantSentence(t, 2, "prefix")
	run(t, "keys").wantSentence(t, 2, "keys DIR")
}
