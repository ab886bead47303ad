package main_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette/internal/bus"
)

// unusedAddress is one that nothing listened on a moment ago.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestDoctorsHub has hubs that can be used, and such that cannot.
func TestDoctorsHub(t *testing.T) {
	t.Parallel()
	leafs := unusedAddress(t)
	hub := plantBus(t, bus.Config{Listen: "127.0.0.1:0", Leafs: leafs, Store: t.TempDir()})
	other := plantBus(t, bus.Config{Listen: "127.0.0.1:0", Store: t.TempDir()})
	clients := strings.TrimPrefix(hub.Address(), "nats://")
	for _, tc := range []struct {
		name, hub, says string
		bad             bool
	}{
		{"good", fmt.Sprintf("url: 'nats-leaf://%s', nkey: %q", leafs, hub.KeyFile(bus.Leaf)), "takes the login, and its JetStream answers in the domain hub", false},
		{"away", fmt.Sprintf("url: 'nats-leaf://%s', nkey: %q", unusedAddress(t), hub.KeyFile(bus.Leaf)), "it cannot be reached: ", true},
		{"another key", fmt.Sprintf("url: 'nats-leaf://%s', nkey: %q", leafs, other.KeyFile(bus.Leaf)), "it refuses the login", true},
		{"port", fmt.Sprintf("url: 'nats-leaf://%s', nkey: %q", clients, hub.KeyFile(bus.Leaf)), "does not take leaf nodes", true},
		{"domain", fmt.Sprintf("url: 'nats-leaf://%s', nkey: %q, domain: plant", leafs, hub.KeyFile(bus.Leaf)), "no JetStream answers there in the domain plant", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			plant := filepath.Join(dir, "plant.yaml")
			text := fmt.Sprintf("bus: {store: %q, listen: '127.0.0.1:0', hub: {%s}}\n%s", filepath.Join(dir, "store"), tc.hub, doctorPlant)
			if err := os.WriteFile(plant, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out := examine(t, plant, tc.bad); !strings.Contains(out, "  hub             ") || !strings.Contains(out, tc.says) {
				t.Errorf("it does not say %q:\n%s", tc.says, out)
			}
		})
	}
}

// TestCheckOfTheHub reads files that are for the hub.
func TestCheckOfTheHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant := filepath.Join(dir, "plant.yaml")
	if err := os.WriteFile(filepath.Join(dir, "leaf.nk"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"none.nk": "bus.hub.nkey: the file cannot be read: no such file", "leaf.nk": "no NKey seed of a user"} {
		text := fmt.Sprintf("bus:\n  hub: {url: 'nats-leaf://hub:7422', nkey: %q}\n%s", filepath.Join(dir, file), doctorPlant)
		if err := os.WriteFile(plant, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := run(t, "check", "-c", plant, "--quick")
		if o.code != 2 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit code %d: %s", file, o.code, o.stderr)
		}
	}
}

// TestDoctorsHubBehind has a server on the host that is to be a leaf node, and is
// or is not.
func TestDoctorsHubBehind(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(unusedAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	natsServer(t, server.Options{StoreDir: t.TempDir(), JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: at}})
	remote := []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: "127.0.0.1:" + port}}}}
	leaf := natsServer(t, server.Options{StoreDir: t.TempDir(), MaxPayload: 8 << 20, JetStreamDomain: "east", LeafNode: server.LeafNodeOpts{Remotes: remote}})
	alone := natsServer(t, server.Options{StoreDir: t.TempDir(), MaxPayload: 8 << 20, JetStreamDomain: "east"})
	plant := func(address string) string {
		return textFile(t, "plant.yaml", fmt.Sprintf("bus: {url: %q, hub: {domain: hub}}\n%s", address, doctorPlant))
	}
	if out := examine(t, plant(leaf), false); !strings.Contains(out, "ok    hub             its JetStream answers in the domain hub") {
		t.Errorf("behind a leaf node:\n%s", out)
	}
	if out := examine(t, plant(alone), true); !strings.Contains(out, "bad   hub             no JetStream answers in the domain hub: is the server of this host connected") {
		t.Errorf("without a hub:\n%s", out)
	}
}
