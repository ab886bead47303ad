//go:build cv

package stagetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/clip"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
)

const tags = "cv,gocv_specific_modules,gocv_videoio"

// program builds vedette once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vedette-stagetest-*")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "vedette")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", bin, "../../cmd/vedette")
	cmd.Env = append(os.Environ(), "CGO_CXXFLAGS=-O2 -w")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// plant is a NATS server and the processes around it.
type plant struct {
	t     *testing.T
	bin   string
	dir   string
	store string
	nats  *server.Server
	port  int
	keys  string // folder with the keys of the roles; empty: everybody may do everything
	// busKeys are more keys of the configuration's bus.
	busKeys string
	leafs   int // port for leaf nodes, of which the server then is the hub; 0: none
	// env are more variables of the stages.
	env []string

	mu  sync.Mutex
	out []*vedette.Detection // as they came, live
	nc  *nats.Conn
}

func newPlant(t *testing.T) *plant { return newPlantWith(t, "") }

// newPlantWith starts a server that knows the roles whose keys are in a folder.
func newPlantWith(t *testing.T, keys string) *plant { return newHub(t, keys, 0) }

// newHub is newPlantWith for a server that takes leaf nodes at a port.
func newHub(t *testing.T, keys string, leafs int) *plant {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, bin: bin, dir: t.TempDir(), store: t.TempDir(), port: server.RANDOM_PORT, keys: keys, leafs: leafs}
	p.startNATS()
	t.Cleanup(func() { p.nats.Shutdown(); p.nats.WaitForShutdown() })
	p.connect()
	return p
}

// connect looks on, as a subscriber.
func (p *plant) connect() {
	p.t.Helper()
	t, err := p.t, error(nil)
	login := func(*nats.Options) error { return nil }
	if p.keys != "" {
		if login, err = nats.NkeyOptionFromSeed(p.key(bus.Subscriber)); err != nil {
			t.Fatal(err)
		}
	}
	p.nc, err = nats.Connect(p.url(), login, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.nc.Close)
	p.hear()
}

// hear listens live.
func (p *plant) hear() {
	p.t.Helper()
	if _, err := p.nc.Subscribe("vedette.detection.>", func(m *nats.Msg) {
		var d vedette.Detection
		if err := json.Unmarshal(m.Data, &d); err != nil {
			p.t.Error(err)
			return
		}
		p.mu.Lock()
		p.out = append(p.out, &d)
		p.mu.Unlock()
	}); err != nil {
		p.t.Fatal(err)
	}
}

// key is the file with a role's key.
func (p *plant) key(r bus.Role) string { return filepath.Join(p.keys, string(r)+".nk") }

func (p *plant) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.port) }

func (p *plant) startNATS() {
	p.t.Helper()
	opts := &server.Options{
		ServerName: "hub", Host: "127.0.0.1", Port: p.port, JetStream: true, StoreDir: p.store, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	}
	if p.keys != "" {
		if err := opts.ProcessConfigFile(filepath.Join(p.keys, "accounts.conf")); err != nil {
			p.t.Fatal(err)
		}
	}
	if p.leafs != 0 {
		opts.LeafNode.Host, opts.LeafNode.Port, opts.JetStreamDomain = "127.0.0.1", p.leafs, "hub"
	}
	s, err := server.NewServer(opts)
	if err != nil {
		p.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		p.t.Fatal("the NATS server is not ready")
	}
	p.nats = s
	if _, err := fmt.Sscanf(s.ClientURL(), "nats://127.0.0.1:%d", &p.port); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) stopNATS() {
	p.nats.Shutdown()
	p.nats.WaitForShutdown()
}

// config writes a configuration for the plant.
func (p *plant) config(name, rest string) string {
	p.t.Helper()
	return p.configFor(bus.Stage, name, rest)
}

// configFor is config with the login of a role.
func (p *plant) configFor(r bus.Role, name, rest string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	login := ""
	if p.keys != "" {
		login = fmt.Sprintf(", nkey: %q", p.key(r))
	}
	text := fmt.Sprintf("site: test\nbus: {url: %q%s%s}\n%s", p.url(), login, p.busKeys, rest)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// process is one stage.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
}

// start runs a stage until the test ends, or it is killed.
func (p *plant) start(stage, config string, args ...string) *process {
	p.t.Helper()
	cmd := exec.Command(p.bin, append([]string{stage, "-c", config, "--host", "here", "--log-level", "info"}, args...)...)
	cmd.Dir = p.dir // where no models are
	cmd.Env = append(append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(p.dir, "cache")), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pr := &process{t: p.t, name: stage, cmd: cmd, log: new(buffer), done: make(chan struct{})}
	cmd.Stderr = pr.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(pr.done)
	}()
	p.t.Cleanup(func() {
		pr.stop()
		if p.t.Failed() {
			p.t.Logf("%s (process %d):\n%s", stage, cmd.Process.Pid, pr.log)
		}
	})
	return pr
}

func (pr *process) kill() {
	_ = pr.cmd.Process.Kill()
	<-pr.done
}

// stop asks the stage to end.
func (pr *process) stop() {
	_ = pr.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-pr.done:
	case <-time.After(10 * time.Second):
		pr.t.Errorf("%s does not stop", pr.name)
		pr.kill()
	}
}

// await waits for something.
func (p *plant) await(what string, ok func() bool) {
	p.t.Helper()
	patience := time.Minute
	if soak {
		patience *= 5
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	p.t.Fatalf("timed out waiting for %s; %d detections", what, p.live())
}

// live is how many detections came so far.
func (p *plant) live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.out)
}

// of is how many detections of a camera came so far.
func (p *plant) of(camera string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.out {
		if d.Camera == camera {
			n++
		}
	}
	return n
}

// stored reads a camera's detections from the stream.
func (p *plant) stored(camera string) []*vedette.Detection {
	p.t.Helper()
	js, err := jetstream.New(p.nc)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := js.OrderedConsumer(p.t.Context(), "VEDETTE_DETECTIONS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"vedette.detection." + camera + ".*"}})
	if err != nil {
		p.t.Fatal(err)
	}
	var out []*vedette.Detection
	for {
		batch, err := c.FetchNoWait(500)
		if err != nil {
			p.t.Fatal(err)
		}
		n := 0
		for m := range batch.Messages() {
			var d vedette.Detection
			if err := json.Unmarshal(m.Data(), &d); err != nil {
				p.t.Fatal(err)
			}
			out = append(out, &d)
			n++
		}
		if n == 0 {
			return out
		}
	}
}

// checkWhole checks that each of n frames left one result, in order, of its
// own picture.
func (p *plant) checkWhole(camera string, n int) {
	p.t.Helper()
	out := p.stored(camera)
	if len(out) != n {
		p.t.Errorf("%d results of %d frames", len(out), n)
	}
	prev := int64(-1)
	for i, d := range out {
		if d.Seq != uint64(i) || d.Status != vedette.StatusOK || d.Epoch != out[0].Epoch || d.PrevSeq != prev || len(d.GapBefore) > 0 {
			p.t.Fatalf("result %d: %s seq %d, prev_seq %d, gap_before %v, %s %s", i, d.Epoch, d.Seq, d.PrevSeq, d.GapBefore, d.Status, d.Reason)
		}
		prev = int64(d.Seq)
		if r := read(d); !r.HasNumber || uint64(r.Number) != d.Seq {
			p.t.Errorf("seq %d: its picture shows %+v", d.Seq, r)
		}
	}
	p.t.Logf("%d frames, %d results, each of its own picture", n, len(out))
}

func read(d *vedette.Detection) barcode.Reading {
	var white []int
	for _, o := range *d.Objects {
		white = append(white, o.ClassID)
	}
	return onnxtest.ReadBarcode(white)
}

// clipOf makes a video whose pictures show their numbers.
func (p *plant) clipOf(frames int) string {
	p.t.Helper()
	path := filepath.Join(p.dir, "numbered.mp4")
	if err := clip.WriteFile(p.t.Context(), path, clip.Spec{Width: 320, Height: 180, FPS: 100, Frames: frames}); err != nil {
		p.t.Fatalf("make a clip (needs the ffmpeg command): %v", err)
	}
	return path
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *buffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// storedCount is how many results of a camera are stored; 0 while the broker is
// away.
func (p *plant) storedCount(camera string) int {
	js, err := jetstream.New(p.nc)
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, "VEDETTE_DETECTIONS")
	if err != nil {
		return 0
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("vedette.detection."+camera+".*"))
	if err != nil {
		return 0
	}
	n := 0
	for _, count := range info.State.Subjects {
		n += int(count)
	}
	return n
}
