package bus_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
)

// Why a host is not connected to its hub, or why that does not collect, is said in
// a sentence; the host works all the same.
func TestHubRefuses(t *testing.T) {
	cfg := hubConfig(t)
	startTold(t, cfg)
	secret := plainHub(t, "user", func(o *server.Options) { o.LeafNode.Username, o.LeafNode.Password = "host", "r1ght-pw" })
	bare := plainHub(t, "bare", func(o *server.Options) { o.JetStream = false })
	authority, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := authority.Issue("hub")
	tlsHub := plainHub(t, "tls", func(o *server.Options) {
		config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: cert, KeyFile: key})
		if err != nil {
			t.Fatal(err)
		}
		o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout = config, 5
	})
	login := bus.KeyFile(cfg.Store, bus.Leaf)
	nobody := fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
	for i, tc := range []struct {
		name string
		hub  bus.Hub
		want string
	}{
		{"nobody there", bus.Hub{URL: "nats-leaf://" + nobody, NKey: login}, "it cannot be reached: "},
		{"a name that is not known", bus.Hub{URL: "nats-leaf://hub.invalid:7422", NKey: login}, "it cannot be reached: "},
		{"another key", bus.Hub{URL: "nats-leaf://" + cfg.Leafs, NKey: startTold(t, bus.Config{Store: t.TempDir()}).KeyFile(bus.Leaf)}, "it refuses the login"},
		{"no key", bus.Hub{URL: "nats-leaf://" + secret}, "it refuses the login"},
		{"another password", bus.Hub{URL: "nats-leaf://host:wr0ng-pw@" + secret}, "it refuses the login"},
		{"the port of clients", bus.Hub{URL: "nats-leaf://" + cfg.Listen, NKey: login}, "does not take leaf nodes"},
		{"another domain", bus.Hub{URL: "nats-leaf://" + cfg.Leafs, NKey: login, Domain: "plant"}, "no JetStream answers there in the domain plant"},
		{"no JetStream", bus.Hub{URL: "nats-leaf://" + bare}, "no JetStream answers there in the domain hub"},
		{"a certificate of somebody", bus.Hub{URL: "tls://" + tlsHub}, "no TLS with it: "},
		{"a certificate of another", bus.Hub{URL: "tls://" + tlsHub, CA: other.File}, "no TLS with it: "},
		{"no TLS there", bus.Hub{URL: "tls://" + cfg.Leafs, NKey: login}, "does it speak TLS there"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := startTold(t, bus.Config{Host: fmt.Sprintf("host-%d", i), Store: t.TempDir(), Hub: tc.hub})
			mustWrite(t, writer(t, b), "gate", 0, 1, 2)
			var s *bus.HubState
			patient(t, "a reason", func() bool { s = b.HubState(); return s != nil && !s.Collects && s.Problem != "" })
			t.Log(s.Problem)
			if !strings.Contains(s.Problem, tc.want) || strings.Contains(s.Problem, "-pw") || s.Connected {
				t.Errorf("%+v, want %q", s, tc.want)
			}
			wantStored(t, b, "gate", upTo(3))
		})
	}
	t.Run("the right password", func(t *testing.T) {
		t.Parallel()
		b := startTold(t, bus.Config{Host: "right", Store: t.TempDir(), Hub: bus.Hub{URL: "nats-leaf://host:r1ght-pw@" + secret}})
		mustWrite(t, writer(t, b), "gate", 0, 1, 2)
		patient(t, "a hub that collects", func() bool { return b.HubState().Collects })
	})
	t.Run("a certificate that is known", func(t *testing.T) {
		t.Parallel()
		b := startTold(t, bus.Config{Host: "known", Store: t.TempDir(), Hub: bus.Hub{URL: "tls://" + tlsHub, CA: authority.File}})
		mustWrite(t, writer(t, b), "gate", 0, 1, 2)
		patient(t, "a hub that collects", func() bool { return b.HubState().Collects })
	})
}

// plainHub is a server without roles that takes leaf nodes, and returns where.
func plainHub(t *testing.T, name string, change func(*server.Options)) string {
	t.Helper()
	port := freePorts(t, 1)[0]
	opts := &server.Options{
		ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, JetStreamDomain: "hub", StoreDir: t.TempDir(),
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: port},
	}
	change(opts)
	runServer(t, opts)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// A stream that an older server made for the hub, without what it did not know, is
// put right by a newer one.
func TestHubUpdated(t *testing.T) {
	cfg := hubConfig(t)
	hub := startTold(t, cfg)
	writer(t, hub) // makes the stream
	js, err := jetstream.New(hub.Conn())
	if err != nil {
		t.Fatal(err)
	}
	info := stream(t, hub).CachedInfo().Config
	if info.SubjectTransform == nil {
		t.Fatalf("a hub's stream: %+v", info)
	}
	info.SubjectTransform = nil
	if _, err := js.UpdateStream(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	b := startTold(t, hostConfig(t, "east", cfg.Leafs, cfg))
	mustWrite(t, writer(t, b), "gate", 0, 1, 2)
	patient(t, "a hub that collects", func() bool { return b.HubState().Collects && len(stored(t, hub, "gate")) == 3 })
	if stream(t, hub).CachedInfo().Config.SubjectTransform == nil {
		t.Error("the stream was not put right")
	}
}
