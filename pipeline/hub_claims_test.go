//go:build !cv

package pipeline_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// hub is the plant's server, which hosts with servers of their own connect to.
type hub struct {
	*plant
	cfg bus.Config
	bus *bus.Bus
}

func newHub(t *testing.T) *hub {
	t.Helper()
	var free []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free = append(free, l.Addr().String())
	}
	return &hub{plant: &plant{t: t}, cfg: bus.Config{Listen: free[0], Leafs: free[1], Store: t.TempDir()}}
}

func (h *hub) start() {
	h.t.Helper()
	var err error
	if h.bus, err = bus.Start(h.t.Context(), h.cfg, slog.New(slog.DiscardHandler)); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.close(h.bus) })
}

// host is an owner of a camera, with a server of its own.
func (h *hub) host(name string) pipeline.Config {
	cfg := h.config(owner, name, cameras(h.t, preprocess.Latest, "gate"))
	cfg.Bus = bus.Config{
		Listen: "127.0.0.1:0", Store: h.t.TempDir(),
		Hub: bus.Hub{URL: "nats-leaf://" + h.cfg.Leafs, NKey: bus.KeyFile(h.cfg.Store, bus.Leaf)},
	}
	return cfg
}

func (i *instance) has(camera string) bool {
	for _, c := range i.Status().Cameras {
		if c.ID == camera {
			return true
		}
	}
	return false
}

// refused checks that a host may not have the camera.
func (h *hub) refused(name string, says ...string) {
	h.t.Helper()
	p, err := h.open(h.host(name))
	if err == nil {
		h.close(p)
		h.t.Fatalf("%s has the camera, too", name)
	}
	for _, want := range says {
		if !errors.Is(err, pipeline.ErrOwned) || !strings.Contains(err.Error(), want) {
			h.t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// Of two hosts of a hub one has a camera; the silence of one that may be cut off
// frees nothing, until somebody says that it is gone.
func TestHostsOfAHubShareCameras(t *testing.T) {
	h := newHub(t)
	h.start()
	east := h.join("east")
	h.refused("west", "camera gate is owned already", "on the host east", "stop that one")
	east.lose()
	h.refused("west", "on the host east", "of which nothing is heard", "vedette forget east")
	keys, err := h.bus.ForgetHost(t.Context(), "east")
	if err != nil || fmt.Sprint(keys) != "[owner.gate]" {
		t.Fatalf("forget: %v, %v", keys, err)
	}
	west := h.join("west")
	// A third that starts while the hub is away takes the camera, and gives in when
	// the hub is back.
	h.close(h.bus)
	north := h.join("north")
	if !north.has("gate") || !west.has("gate") {
		t.Error("without a hub a host does not work")
	}
	h.start()
	h.await("north to give in", func() bool { return !north.has("gate") })
	if !west.has("gate") {
		t.Error("west, which was first, gave in, too")
	}
	if !strings.Contains(north.log.String(), "on the host west") {
		t.Errorf("north does not say why:\n%s", north.log)
	}
}

// join starts a host that has to get its camera.
func (h *hub) join(name string) *instance {
	h.t.Helper()
	return h.plant.start(h.host(name))
}
