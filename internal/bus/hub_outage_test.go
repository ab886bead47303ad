package bus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bus"
)

// siteEnv makes this binary a hub or a camera host, so that a test can kill it.
const siteEnv = "VEDETTE_TEST_SITE"

// site is a process with a server in it, and what it writes without end.
type site struct {
	Bus     bus.Config
	Cameras []string
	Pause   time.Duration // between detections of a camera
	From    uint64        // number of the first

	cmd    *exec.Cmd
	stored *atomic.Int64 // detections that it said are stored
}

// serveSite is the process: it says when it is ready, and each time that a
// detection is stored, until its input ends.
func serveSite(text string) error {
	var s site
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("VEDETTE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx := context.Background()
	b, err := bus.Start(ctx, s.Bus, log)
	if err != nil {
		return err
	}
	if err := b.EnsureDetections(ctx, bus.DefaultDetectionLimits()); err != nil {
		return err
	}
	fmt.Println("ready")
	w := b.NewDetectionWriter()
	for _, camera := range s.Cameras {
		last, err := b.LastDetection(ctx, camera, "yolox-nano")
		if err != nil {
			return err
		}
		next := s.From
		if last != nil {
			next = max(next, last.Seq+1)
		}
		go func() {
			for seq := next; ; seq++ {
				done := make(chan error, 1)
				w.Write(ctx, detection(camera, seq), func(err error) { done <- err })
				if err := <-done; err != nil {
					fmt.Fprintln(os.Stderr, camera, seq, err)
					os.Exit(1)
				}
				fmt.Printf("%s %d\n", camera, seq)
				time.Sleep(s.Pause)
			}
		}()
	}
	buf := make([]byte, 1)
	_, _ = os.Stdin.Read(buf) // ends with the test, or when it is stopped in order
	return w.Close()
}

func (s *site) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.stored == nil {
		s.stored = new(atomic.Int64)
	}
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(os.Environ(), siteEnv+"="+string(text))
	s.cmd.Stderr = os.Stderr
	if _, err := s.cmd.StdinPipe(); err != nil { // its end is the child's end
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready" {
				close(ready)
				continue
			}
			s.stored.Add(1)
		}
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the process does not start")
	}
	t.Cleanup(s.kill)
}

func (s *site) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// operator logs in at a server as who may see everything.
func (s *site) operator(t *testing.T) *bus.Bus {
	return start(t, bus.Config{URL: "nats://" + s.Bus.Listen, NKey: bus.KeyFile(s.Bus.Store, bus.Operator), Role: bus.Operator})
}

// siteOf is a host of a hub, with cameras.
func siteOf(t *testing.T, name string, hub *site, address string, cameras ...string) *site {
	cfg := hostConfig(t, name, address, hub.Bus)
	cfg.Listen = fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
	return &site{Bus: cfg, Cameras: cameras, Pause: 5 * time.Millisecond}
}

// progress waits until a site has stored some more.
func (s *site) progress(t *testing.T, n int64) {
	t.Helper()
	mark := s.stored.Load()
	patient(t, "some progress", func() bool { return s.stored.Load() >= mark+n })
}

// same waits until the hub has of the cameras what their host has, and checks
// that it is each number once, in order.
func same(t *testing.T, hub, host *bus.Bus, cameras []string) (total int) {
	t.Helper()
	for _, camera := range cameras {
		want := stored(t, host, camera)
		patient(t, fmt.Sprintf("%d of %s at the hub", len(want), camera), func() bool { return len(stored(t, hub, camera)) >= len(want) })
		if got := stored(t, hub, camera); !slices.Equal(got, want) || !slices.Equal(want, upTo(uint64(len(want)))) {
			t.Errorf("%s: %d on the host, %d at the hub: %s", camera, len(want), len(got), firstDifference(got, want))
		}
		total += len(want)
	}
	return total
}

func firstDifference(got, want []uint64) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("at place %d it has %d, want %d", i, got[i], want[i])
		}
	}
	return "one is longer"
}

var fourCameras = []string{"gate", "yard", "dock", "ramp"}

// The hub is killed and comes back, again and again, while four cameras'
// detections are stored on their host: all are at the hub then, each once, in
// order.
func TestHubKilled(t *testing.T) {
	t.Parallel()
	kills := 2
	if os.Getenv("VEDETTE_SOAK") != "" {
		kills = 20
	}
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	host := siteOf(t, "east", hub, hub.Bus.Leafs, fourCameras...)
	host.start(t)
	var took []time.Duration
	for range kills {
		host.progress(t, 400)
		hub.kill()
		host.progress(t, 400) // nothing on the host waits for the hub
		hub.start(t)
		took = append(took, caughtUp(t, hub, host))
	}
	host.Cameras = nil
	host.kill()
	host.start(t) // with nothing to write
	total := same(t, hub.operator(t), host.operator(t), fourCameras)
	t.Logf("%d detections, hub killed %d times: all at the hub once, in order; it had caught up after %v", total, kills, took)
}

// caughtUp waits until the hub is as far as the host, while that goes on.
func caughtUp(t *testing.T, hub, host *site) time.Duration {
	t.Helper()
	began := time.Now()
	h := hub.operator(t)
	patient(t, "a hub that has caught up", func() bool {
		info, err := stream(t, h).Info(t.Context())
		return err == nil && int64(info.State.Msgs)+100 >= host.stored.Load()
	})
	return time.Since(began).Round(100 * time.Millisecond)
}

// A host is killed again and again.
func TestHostOfAHubKilled(t *testing.T) {
	t.Parallel()
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	host := siteOf(t, "east", hub, hub.Bus.Leafs, fourCameras...)
	host.start(t)
	for range 4 {
		host.progress(t, 400)
		host.kill()
		host.start(t)
	}
	host.progress(t, 400)
	host.kill()
	host.Cameras = nil
	host.start(t)
	total := same(t, hub.operator(t), host.operator(t), fourCameras)
	t.Logf("%d detections, host killed 5 times: all at the hub once, in order", total)
}

// The network between them is cut, and stops without a word.
func TestHubCutOff(t *testing.T) {
	t.Parallel()
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	wire := newWire(t, hub.Bus.Leafs)
	host := siteOf(t, "east", hub, wire.address, fourCameras...)
	host.start(t)
	var took []time.Duration
	cuts := []time.Duration{0, 5 * time.Second} // some are noticed before they end, some after
	if os.Getenv("VEDETTE_SOAK") != "" {
		cuts = []time.Duration{0, 4 * time.Second, 8 * time.Second, 12 * time.Second}
	}
	for i, pause := range cuts {
		host.progress(t, 400)
		wire.cut(i%2 == 1)
		time.Sleep(pause)
		host.progress(t, 400)
		wire.mend()
		took = append(took, caughtUp(t, hub, host))
	}
	host.kill()
	host.Cameras = nil
	host.start(t)
	total := same(t, hub.operator(t), host.operator(t), fourCameras)
	t.Logf("%d detections, cut off %d times: all at the hub once, in order; it had caught up after %v", total, len(cuts), took)
}

// copyStore copies a store as it is on the disk at this moment: with it, what came
// later is lost as by a power cut.
func copyStore(t *testing.T, from string) (restore func()) {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "store")
	run := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil && !strings.Contains(string(out), "No such file") {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("cp", "-a", from, saved)
	return func() {
		if err := os.RemoveAll(from); err != nil {
			t.Fatal(err)
		}
		run("cp", "-a", saved, from)
	}
}

// The hub loses the end of what it had, as by a power cut; then all of it.
func TestHubLosesItsEnd(t *testing.T) {
	t.Parallel()
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	host := siteOf(t, "east", hub, hub.Bus.Leafs, fourCameras...)
	host.start(t)
	host.progress(t, 400)
	caughtUp(t, hub, host)
	restore := copyStore(t, hub.Bus.Store)
	host.progress(t, 400)
	caughtUp(t, hub, host)
	hub.kill()
	restore()
	hub.start(t)
	host.progress(t, 400)
	caughtUp(t, hub, host)
	hub.kill()
	if err := os.RemoveAll(filepath.Join(hub.Bus.Store, "jetstream")); err != nil {
		t.Fatal(err)
	}
	hub.start(t)
	host.progress(t, 400)
	caughtUp(t, hub, host)
	host.kill()
	host.Cameras = nil
	host.start(t)
	same(t, hub.operator(t), host.operator(t), fourCameras)
}

// A host loses the end of its stream, and what it stores then has numbers that
// the hub has seen before.
func TestHostLosesItsEnd(t *testing.T) {
	t.Parallel()
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	host := siteOf(t, "east", hub, hub.Bus.Leafs, fourCameras...)
	host.start(t)
	host.progress(t, 400)
	restore := copyStore(t, host.Bus.Store)
	host.progress(t, 400)
	caughtUp(t, hub, host)
	host.kill()
	before := map[string]uint64{}
	h := hub.operator(t)
	for _, camera := range fourCameras {
		before[camera] = uint64(len(stored(t, h, camera)))
	}
	restore()
	rebooted(t, host.Bus.Store)
	const anew = 1_000_000 // what is written now is something else
	host.From = anew
	host.start(t)
	host.progress(t, 2000)
	host.kill()
	host.Cameras = nil
	host.start(t)
	o := host.operator(t)
	for _, camera := range fourCameras {
		want := stored(t, o, camera)
		want = want[slices.Index(want, anew):]
		patient(t, "the end of "+camera, func() bool {
			got := stored(t, h, camera)
			return got[len(got)-1] == want[len(want)-1]
		})
		got := stored(t, h, camera)
		if !slices.Equal(got[:before[camera]], upTo(before[camera])) || !slices.Equal(got[before[camera]:], want) {
			t.Errorf("%s: the hub had %d and has %d; the host wrote %d more: %s", camera, before[camera], len(got), len(want), firstDifference(got[before[camera]:], want))
		}
	}
}

// rebooted makes a store one that was last used before the machine was started.
func rebooted(t *testing.T, store string) {
	t.Helper()
	path := filepath.Join(store, "hub.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	state["boot"] = "an earlier one"
	if data, err = json.Marshal(state); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A host comes back with an empty store, under its old name.
func TestHostOfAHubReplaced(t *testing.T) {
	hub := &site{Bus: hubConfig(t)}
	hub.start(t)
	host := siteOf(t, "east", hub, hub.Bus.Leafs, "gate")
	host.start(t)
	host.progress(t, 300)
	caughtUp(t, hub, host)
	host.kill()
	h := hub.operator(t)
	before := uint64(len(stored(t, h, "gate")))
	host = siteOf(t, "east", hub, hub.Bus.Leafs, "yard")
	host.start(t)
	host.progress(t, 100)
	host.kill()
	host.Cameras = nil
	host.start(t)
	same(t, h, host.operator(t), []string{"yard"})
	if got := stored(t, h, "gate"); !slices.Equal(got, upTo(before)) {
		t.Errorf("%d of gate, want the %d that there were", len(got), before)
	}
}
