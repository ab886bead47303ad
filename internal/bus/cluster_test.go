package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
)

// nodeEnv makes this binary one server of a cluster, so that a test can kill it.
const nodeEnv = "VEDETTE_TEST_NATS_NODE"

// node is one server of a cluster.
type node struct {
	Name, Config, Store string
	Port, Route         int

	cmd *exec.Cmd
}

// serveNode runs a server with the shipped configuration until its input ends.
// Only what one machine cannot have three times is another.
func serveNode(text string) error {
	var n node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return err
	}
	opts, err := server.ProcessConfigFile(n.Config)
	if err != nil {
		return err
	}
	opts.Host, opts.Port, opts.Cluster.Host, opts.Cluster.Port = "127.0.0.1", n.Port, "127.0.0.1", n.Route
	opts.HTTPPort, opts.LeafNode.Port, opts.StoreDir, opts.NoSigs = 0, 0, n.Store, true
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	buf := make([]byte, 1)
	_, _ = os.Stdin.Read(buf) // ends with the test
	return nil
}

func (n *node) start(t *testing.T, routes string) {
	t.Helper()
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(text), "NATS_NAME="+n.Name, "NATS_ROUTE_PASSWORD=pass-route", "NATS_ROUTES="+routes)
	n.cmd.Stderr = os.Stderr
	if _, err := n.cmd.StdinPipe(); err != nil { // its end is the child's end
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// cluster is three servers, each a process.
type cluster struct {
	plant
	nodes  []*node
	routes string
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if _, err := bus.MakeKeys(keys, ""); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{filepath.Join(shipped, "cluster.conf"): "cluster.conf", filepath.Join(keys, "accounts.conf"): "accounts.conf"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{plant: plant{key: func(r bus.Role) string { return filepath.Join(keys, string(r)+".nk") }}}
	var urls, routes []string
	ports := freePorts(t, 6)
	for i := range 3 {
		n := &node{
			Name: fmt.Sprintf("nats-%d", i+1), Config: filepath.Join(dir, "cluster.conf"), Store: t.TempDir(),
			Port: ports[2*i], Route: ports[2*i+1],
		}
		c.nodes = append(c.nodes, n)
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.Port))
		routes = append(routes, fmt.Sprintf("nats-route://plant:pass-route@127.0.0.1:%d", n.Route))
	}
	c.url, c.routes = strings.Join(urls, ","), "["+strings.Join(routes, ", ")+"]"
	for _, n := range c.nodes {
		n.start(t, c.routes)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
		}
	})
	patient(t, "a server that accepts connections", func() bool {
		nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.nodes[0].Port))
		return err == nil && nc.Close() == nil
	})
	return c
}

// freePorts finds ports that nobody listens on, below those that the system
// gives to whoever connects.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range 1000 {
		port := 15000 + rand.IntN(15000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close() // not before all are found: they differ
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

// patient waits for what takes a cluster some elections.
func patient(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("two minutes without %s", what)
}

// info asks for the stream of detections, nil if nobody knows.
func (c *cluster) info(js jetstream.JetStream) *jetstream.StreamInfo {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "VEDETTE_DETECTIONS")
	if err != nil || s.CachedInfo().Cluster == nil {
		return nil
	}
	return s.CachedInfo()
}

// whole reports whether the stream has a leader and two servers that are as far.
func (c *cluster) whole(js jetstream.JetStream) bool {
	info := c.info(js)
	return info != nil && info.Cluster.Leader != "" && len(info.Cluster.Replicas) == 2 &&
		!slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return p.Offline || !p.Current })
}

// writing writes detections of several cameras without end.
type writing struct {
	acked   atomic.Int64
	longest atomic.Int64 // time without an acknowledgement, in ns
	last    atomic.Int64
	mu      sync.Mutex
	stored  map[string][]uint64 // those that were acknowledged
}

func (wr *writing) run(ctx context.Context, t *testing.T, w *bus.DetectionWriter, camera string) {
	for seq := uint64(0); ctx.Err() == nil; seq++ {
		done := make(chan error, 1)
		w.Write(context.Background(), detection(camera, seq), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Errorf("%s %d: %v", camera, seq, err)
			return
		}
		now := time.Now().UnixNano()
		wr.longest.Store(max(wr.longest.Load(), now-wr.last.Swap(now)))
		wr.acked.Add(1)
		wr.mu.Lock()
		wr.stored[camera] = append(wr.stored[camera], seq)
		wr.mu.Unlock()
	}
}

// Servers of a cluster are killed, the leader among them, while detections are
// written and read. VEDETTE_SOAK=1 does it for longer.
func TestClusterLosesAServer(t *testing.T) {
	t.Parallel()
	kills := 2
	if os.Getenv("VEDETTE_SOAK") != "" {
		kills = 30
	}
	c := startCluster(t)
	b := c.plant.bus(t, bus.Stage)
	patient(t, "a stream", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return b.EnsureDetections(ctx, bus.Limits{Bytes: 1 << 30}) == nil
	})
	js, err := jetstream.New(c.plant.bus(t, bus.Operator).Conn())
	if err != nil {
		t.Fatal(err)
	}
	patient(t, "three replicas", func() bool { info := c.info(js); return info != nil && info.Config.Replicas == 3 })
	patient(t, "three copies", func() bool { return c.whole(js) })

	w := b.NewDetectionWriter()
	defer w.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wr := &writing{stored: map[string][]uint64{}}
	wr.last.Store(time.Now().UnixNano())
	cameras := []string{"gate", "yard", "line-1"}
	var writers, reader sync.WaitGroup
	for _, camera := range cameras {
		writers.Go(func() { wr.run(ctx, t, w, camera) })
	}
	read := follow(t, c, &reader)
	for k := range kills {
		mark := wr.acked.Load()
		patient(t, "some progress", func() bool { return wr.acked.Load() > mark+200 })
		victim := c.victim(t, k, js, b)
		wr.longest.Store(0)
		mark = wr.acked.Load()
		victim.kill()
		patient(t, "progress without one server", func() bool { return wr.acked.Load() > mark+500 })
		victim.start(t, c.routes)
		patient(t, "three copies again", func() bool { return c.whole(js) })
		t.Logf("kill %d, %s: longest time without a stored detection %v; %d stored so far", k+1, victim.Name,
			time.Duration(wr.longest.Load()).Round(time.Millisecond), wr.acked.Load())
	}
	stop()
	writers.Wait()
	if w.Degraded() {
		t.Error("the writer gave up storing")
	}
	patient(t, "a stream to compare with", func() bool { return c.whole(js) })
	patient(t, "a leader of the cluster, who makes consumers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := stream(t, b).OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		return err == nil
	})
	for _, camera := range cameras {
		wantStored(t, b, camera, wr.stored[camera])
	}
	patient(t, "the reader at the end", func() bool { return read.count() == int(wr.acked.Load()) })
	read.end()
	reader.Wait()
	read.compare(t, wr.stored)
	t.Logf("%d detections, %d servers killed: all stored once, in order, and read so", wr.acked.Load(), kills)
}

// victim is the server to kill: the stream's leader, one that follows it, and
// the one that the writer is connected to, in turn.
func (c *cluster) victim(t *testing.T, k int, js jetstream.JetStream, b *bus.Bus) *node {
	t.Helper()
	var name string
	patient(t, "a leader", func() bool {
		info := c.info(js)
		if info == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) == 0 {
			return false
		}
		name = []string{info.Cluster.Leader, info.Cluster.Replicas[0].Name, b.Conn().ConnectedServerName()}[k%3]
		return name != ""
	})
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.Name == name })
	if i < 0 {
		t.Fatalf("no server %q", name)
	}
	return c.nodes[i]
}

// readings are what a subscriber got.
type readings struct {
	mu     sync.Mutex
	seqs   map[string][]uint64
	missed int
	n      int
	end    context.CancelFunc
}

func (r *readings) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// follow reads as a service of somebody else's would, all the time.
func follow(t *testing.T, c *cluster, wg *sync.WaitGroup) *readings {
	t.Helper()
	sub, err := client.Connect(c.url, client.NKey(c.key(bus.Subscriber)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &readings{seqs: map[string][]uint64{}, end: cancel}
	wg.Go(func() {
		defer sub.Close()
		err := sub.Detections(ctx, client.Filter{StartSeq: 1}, func(m client.Message) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.seqs[m.Camera] = append(r.seqs[m.Camera], m.Seq)
			r.n++
			if m.Missed {
				r.missed++
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the reader ended: %v", err)
		}
	})
	return r
}

func (r *readings) compare(t *testing.T, want map[string][]uint64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed != 0 {
		t.Errorf("the reader was told of %d gaps", r.missed)
	}
	for camera, seqs := range want {
		if !slices.Equal(seqs, r.seqs[camera]) {
			t.Errorf("%s: %d stored, %d read, or in another order", camera, len(seqs), len(r.seqs[camera]))
		}
	}
}
