package stagetest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/tensor"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/pipeline"
)

// workerProgram is the program without OpenCV, as hosts have it that only run
// workers; $VEDETTE_BIN names one that is built already.
func workerProgram(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("VEDETTE_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "vedette")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/vedette").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// site is a NATS server, a worker, and what the worker says of its model.
type site struct {
	t      *testing.T
	nc     *nats.Conn
	worker *exec.Cmd
	log    strings.Builder
	ended  chan error
	// Those of the model and its worker, once it is there.
	sum, instance string

	mu     sync.Mutex
	status pipeline.Status
}

const workerSide = 64 // of the worker's pictures

// startWorker runs a worker process on $VEDETTE_TEST_DEVICE, by default the CPU,
// with a network that takes batches.
func startWorker(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, ended: make(chan error, 1)}
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	if s.nc, err = nats.Connect(ns.ClientURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nc.Close)
	if _, err := s.nc.Subscribe("vedette.status.infer.*", func(m *nats.Msg) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := json.Unmarshal(m.Data, &s.status); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	onnx := onnxtest.ConvNet{Batch: 1, Size: workerSide, Layers: 40, Channels: 16, Classes: 5}.Marshal()
	for name, text := range map[string]string{
		"net.onnx": string(onnx),
		"net.yaml": "task: classify\ninput: {color: rgb, scale: 0.00392157}\noutput: {decoder: classify, softmax: true}\n",
		"site.yaml": fmt.Sprintf(`
bus: {url: %q}
models: [{name: net, file: %q, device: %q, batch: {sizes: [1, 2, 4, 8], max_wait: 2ms}}]
cameras: [{id: cam, source: "synthetic://bars"}]
`, ns.ClientURL(), filepath.Join(dir, "net.onnx"), cmp.Or(os.Getenv("VEDETTE_TEST_DEVICE"), "cpu")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.worker = exec.Command(workerProgram(t), "infer", "-c", filepath.Join(dir, "site.yaml"), "--host", "here", "--log-level", "info")
	s.worker.Stderr, s.worker.Dir = &s.log, dir
	s.worker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.worker.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.worker.Wait() }()
	t.Cleanup(func() {
		_ = s.worker.Process.Kill() // it may have ended
		if t.Failed() {
			t.Logf("the worker:\n%s", &s.log)
		}
	})
	return s
}

// model waits for the worker's model.
func (s *site) model() pipeline.ModelStatus {
	s.t.Helper()
	for range 60 * 100 {
		s.mu.Lock()
		m, instance := s.status.Models, s.status.Instance
		s.mu.Unlock()
		if len(m) == 1 && m[0].Credits > 0 {
			s.sum, s.instance = m[0].SHA256, instance
			return m[0]
		}
		select {
		case err := <-s.ended:
			s.t.Fatalf("the worker ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.t.Fatal("the worker does not say that it has the model")
	return pipeline.ModelStatus{}
}

// ask sends one picture over the bus.
func (s *site) ask(ctx context.Context, seed int) (*tensor.Answer, error) {
	header, err := json.Marshal(tensor.Request{SHA256: s.sum, Geometry: tensor.Geometry{ScaleX: 1, ScaleY: 1, Width: workerSide, Height: workerSide}})
	if err != nil {
		return nil, err
	}
	picture := make([]byte, 3*workerSide*workerSide)
	rnd := rand.New(rand.NewPCG(1, uint64(seed)))
	for i := range picture {
		picture[i] = byte(rnd.IntN(256))
	}
	m, err := s.nc.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: "vedette.tensor.net." + s.instance, Header: nats.Header{tensor.Header: {string(header)}}, Data: picture,
	})
	if err != nil {
		return nil, err
	}
	var a tensor.Answer
	return &a, json.Unmarshal(m.Data, &a)
}

// TestWorkerInterrupted has a worker process run batches on the device, and
// interrupts it in the midst of them: it ends in order and answers what it has.
// CUDA's libraries make the Go runtime die of the signal when they are let.
func TestWorkerInterrupted(t *testing.T) {
	s := startWorker(t)
	m := s.model()
	if want := cmp.Or(os.Getenv("VEDETTE_TEST_DEVICE"), "cpu"); !strings.HasPrefix(m.Device, want) {
		t.Errorf("it runs on %s, want %s", m.Device, want)
	}
	t.Logf("%s on %s: batches of %v, %d workers, %d credits", m.Engine, m.Device, m.Batches, m.Workers, m.Credits)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var answered atomic.Int64
	var lost sync.Map
	var wg sync.WaitGroup
	for i := range m.Credits {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a, err := s.ask(ctx, 1000*i+n)
				if err != nil || a.Again {
					return // it leaves
				}
				if a.Status != vedette.StatusOK {
					lost.Store(i, fmt.Sprint(a.Status, " ", a.Reason))
					return
				}
				answered.Add(1)
			}
		})
	}
	for answered.Load() < 200 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if err := s.worker.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("the interrupted worker: %v", err)
		}
		t.Logf("%d answers; it ended %v after the interrupt", answered.Load(), time.Since(began).Round(time.Millisecond))
	case <-time.After(20 * time.Second):
		t.Error("the interrupted worker does not end")
	}
	cancel()
	wg.Wait()
	lost.Range(func(_, why any) bool {
		t.Errorf("a picture is lost: %v", why)
		return true
	})
}
