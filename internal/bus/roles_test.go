package bus_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/vedette-io/vedette/internal/bus"
)

var update = flag.Bool("update", false, "write the generated files anew")

// shipped is the folder with the configurations for an external server.
var shipped = filepath.Join("..", "..", "docs", "nats")

func TestShippedAccounts(t *testing.T) {
	path := filepath.Join(shipped, "accounts.conf")
	want := bus.Accounts("", func(r bus.Role) string { return "$VEDETTE_" + strings.ToUpper(string(r)) })
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table of roles says: run go test ./internal/bus -run TestShippedAccounts -update", path)
	}
}

// plant is a server with roles.
type plant struct {
	url string
	key func(bus.Role) string
}

// anonymous is who logs in with nothing.
const anonymous = "anonymous"

// connect logs in as a role with a client that is not ours.
func (p plant) connect(t *testing.T, who string, options ...nats.Option) *nats.Conn {
	t.Helper()
	if who != anonymous {
		key, err := nats.NkeyOptionFromSeed(p.key(bus.Role(who)))
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, key)
	}
	options = append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.MaxReconnects(0), nats.Timeout(10*time.Second))
	nc, err := nats.Connect(p.url, options...)
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// bus logs in as a role with ours.
func (p plant) bus(t *testing.T, r bus.Role) *bus.Bus {
	return start(t, bus.Config{URL: p.url, NKey: p.key(r), Role: r})
}

// embeddedPlant is the server inside the program.
func embeddedPlant(t *testing.T) plant {
	b := start(t, bus.Config{Listen: "127.0.0.1:0", Store: t.TempDir()})
	return plant{url: b.Address(), key: b.KeyFile}
}

// externalPlant is one as an operator sets it up: with a shipped file, and what
// MakeKeys writes.
func externalPlant(t *testing.T, file, more string) plant {
	keys := filepath.Join(t.TempDir(), "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	return plant{url: startShipped(t, file, more, keys, 0), key: func(r bus.Role) string { return filepath.Join(keys, string(r)+".nk") }}
}

// startShipped starts a server with a shipped file, and returns where it is. It
// listens for leaf nodes at a port, or any.
func startShipped(t *testing.T, file, more, keys string, leaf int) string {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(shipped, file))
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := os.ReadFile(filepath.Join(keys, "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	for name, data := range map[string][]byte{file: append(config, more...), "accounts.conf": accounts} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Only what this machine may have taken is another.
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	if opts.LeafNode.Port != 0 {
		opts.LeafNode.Host, opts.LeafNode.Port = "127.0.0.1", cmp.Or(leaf, server.RANDOM_PORT)
	}
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	return runServer(t, opts)
}

// letter stands for a role in the table of rights.
var letter = map[string]string{"stage": "s", "worker": "w", "operator": "o", "subscriber": "U", anonymous: "A"}

// may reports whether the server lets nc publish or subscribe.
func may(t *testing.T, nc *nats.Conn, do, subject string) bool {
	t.Helper()
	var err error
	if do == "pub" {
		err = nc.Publish(subject, nil)
	} else {
		var sub *nats.Subscription
		if sub, err = nc.SubscribeSync(subject); err == nil {
			defer sub.Unsubscribe() //nolint:errcheck // the connection ends with the test
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	last := nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) {
		return true
	}
	// A server translates its own domain's name first.
	own := strings.Replace(subject, "$JS.hub.API.", "$JS.API.", 1)
	doing := map[string]string{"pub": "Publish", "sub": "Subscription"}[do]
	return !strings.Contains(last.Error(), fmt.Sprintf("%s to %q", doing, subject)) && !strings.Contains(last.Error(), fmt.Sprintf("%s to %q", doing, own))
}

func TestRights(t *testing.T) {
	for _, tc := range []struct {
		name   string
		plant  func(*testing.T) plant
		nobody bool // may log in with nothing
	}{
		{"embedded", embeddedPlant, false},
		{"external", func(t *testing.T) plant { return externalPlant(t, "server.conf", "") }, true},
		{"external with the new form of acknowledgements", func(t *testing.T) plant {
			return externalPlant(t, "server.conf", "feature_flags {js_ack_fc_v2: true, js_api_reply_v2: true}\n")
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := tc.plant(t)
			who := []string{"stage", "worker", "operator", "subscriber", anonymous}
			if tc.nobody {
				who = who[:4]
				if nc, err := nats.Connect(p.url); err == nil {
					nc.Close()
					t.Error("one can log in with nothing")
				}
			}
			for _, w := range who {
				nc := p.connect(t, w)
				for _, r := range rights {
					if got, want := may(t, nc, r.do, r.subject), strings.Contains(r.allowed, letter[w]); got != want {
						t.Errorf("%s may %s (%s): %t, want %t", w, r.what, r.subject, got, want)
					}
				}
			}
			t.Run("a stage does its work", func(t *testing.T) { b := p.bus(t, bus.Stage); testStageWorks(t, b, b) })
			t.Run("a worker fetches models", func(t *testing.T) { testWorkerFetches(t, p) })
			for _, w := range who[3:] {
				t.Run("a reader that is "+w, func(t *testing.T) { testReads(t, p, w) })
				t.Run("a forger that is "+w, func(t *testing.T) { testForger(t, p, w) })
			}
			t.Run("an operator asks", func(t *testing.T) { testOperatorAsks(t, p) })
		})
	}
}

// notOurs are keys that nobody knows.
func TestUnknownKey(t *testing.T) {
	p := embeddedPlant(t)
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	err = refused(t, bus.Config{URL: p.url, NKey: write0600(t, "other.nk", seed)})
	if !strings.Contains(err.Error(), "refused the login") || strings.Contains(err.Error(), string(seed)) {
		t.Error(err)
	}
}

// testStageWorks does what the pipeline does, and is refused nothing.
// What it stored is read by another.
func testStageWorks(t *testing.T, b, reader *bus.Bus) {
	mustWrite(t, writer(t, b), "gate", 0, 1, 2)
	wantStored(t, reader, "gate", upTo(3))
	if err := b.PutSourceRun(t.Context(), "gate", bus.SourceRun{Source: "x"}); err != nil {
		t.Error(err)
	}
	if r, err := b.SourceRun(t.Context(), "gate"); err != nil || r.Source != "x" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := b.PutModel(t.Context(), bus.StoredModel{Name: "m", SHA256: emptySum, Manifest: []byte("task: detect")}); err != nil {
		t.Error(err)
	}
	if err := b.Permitted(t.Context()); err != nil {
		t.Error(err)
	}
	if n := b.Counters().Errors.Load(); n != 0 {
		t.Errorf("%d errors on the bus", n)
	}
}

// emptySum is the SHA-256 of an empty file.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func testWorkerFetches(t *testing.T, p plant) {
	w := p.bus(t, bus.Worker)
	m, err := w.GetModel(t.Context(), "m", "")
	if err != nil || m.SHA256 != emptySum {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := w.Permitted(t.Context()); err != nil {
		t.Errorf("fetching a model: %v", err)
	}
	stop, err := w.Serve("vedette.tensor.m.i", "H", func(_ string, body []byte, respond func([]byte) error) { _ = respond(body) })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.bus(t, bus.Stage).Request(t.Context(), "vedette.tensor.m.i", "H", "", []byte("abc")); err != nil || string(got) != "abc" {
		t.Errorf("a tensor's answer: %q, %v", got, err)
	}
	if err := errors.Join(stop(), w.Permitted(t.Context())); err != nil {
		t.Errorf("answering a tensor: %v", err)
	}
	// What is not for it fails at once and says why.
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.PutModel(within, bus.StoredModel{Name: "m", SHA256: emptySum}); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("storing a model: %v", err)
	}
	if err := w.EnsureDetections(within, bus.DefaultDetectionLimits()); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("making the stream: %v", err)
	}
	if _, err := w.Request(within, "vedette.tensor.m.i", "H", "", nil); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("asking a worker: %v", err)
	}
}

func testOperatorAsks(t *testing.T, p plant) {
	stage, operator := p.bus(t, bus.Stage), p.bus(t, bus.Operator)
	stop, err := stage.AnswerAll("vedette.control.reload", func([]byte) []byte { return []byte("done") })
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // it fails only with the connection
	if _, err := stage.AddService(bus.ServiceName, "v1", map[string]string{"stage": "run"}, func() any { return 1 }); err != nil {
		t.Fatal(err)
	}
	if got, err := operator.AskAll(t.Context(), "vedette.control.reload", nil, 1, 10*time.Second); err != nil || len(got) != 1 || string(got[0]) != "done" {
		t.Errorf("reload: %q, %v", got, err)
	}
	if got, err := operator.ServiceStats(t.Context(), 500*time.Millisecond); err != nil || len(got) != 1 {
		t.Errorf("status: %v, %v", got, err)
	}
	for _, r := range []bus.Role{bus.Subscriber, bus.Worker} {
		other := p.bus(t, r)
		if got, err := other.AskAll(t.Context(), "vedette.control.reload", nil, 1, time.Minute); !errors.Is(err, bus.ErrDenied) {
			t.Errorf("%s reloads: %q, %v", r, got, err)
		}
		if got, err := other.ServiceStats(t.Context(), time.Minute); !errors.Is(err, bus.ErrDenied) {
			t.Errorf("%s sees the status: %v, %v", r, got, err)
		}
	}
	js, err := jetstream.New(operator.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "VEDETTE_DETECTIONS"); err != nil {
		t.Error(err)
	}
}
