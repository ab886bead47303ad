//go:build !cv

package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/testcam/drawn"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// The tests with a plant need neither OpenCV nor ONNX Runtime, and run under
// the race detector: cameras are drawn, everything behind them is real.

const (
	owner  = "preprocess"
	worker = "infer"
)

// plant is a NATS server and what is around it: instances of the stages in this
// process, each with connections of its own, and cameras.
type plant struct {
	t   *testing.T
	url string
	bus *bus.Bus // of the cameras
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "hub", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	p := &plant{t: t, url: s.ClientURL()}
	if p.bus, err = bus.Start(t.Context(), bus.Config{URL: p.url}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close(p.bus) })
	return p
}

func (p *plant) close(c interface{ Close() error }) {
	if err := c.Close(); err != nil {
		p.t.Errorf("close: %v", err)
	}
}

// instance is a stage, or several, at work.
type instance struct {
	*pipeline.Pipeline
	t    *testing.T
	log  *syncBuffer
	stop func() // idempotent: as a signal does it
	gone bool   // it was lost

	metrics *obs.Metrics
}

// page is what the instance has on /metrics.
func (i *instance) page(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	obs.Register(mux, i.metrics, nil, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// lose cuts every connection, as if the process were killed.
func (i *instance) lose() {
	i.gone = true
	_ = i.Bus().Close() // the server is another's
}

// cameras are those of a configuration, all with the network that reads bar
// codes. The source is a name only: the cameras of these tests are drawn.
func cameras(t *testing.T, delivery preprocess.Delivery, ids ...string) []pipeline.Camera {
	t.Helper()
	var all []pipeline.Camera
	for _, id := range ids {
		all = append(all, camera(t, id, "rtsp://192.0.2.1/"+id, delivery, reader()))
	}
	return all
}

// config of a stage on a host.
func (p *plant) config(stage, host string, cameras []pipeline.Camera) pipeline.Config {
	m := reader()
	m.Engine, m.Workers = "gorgonia", 1
	cfg := pipeline.Config{Host: host, Bus: bus.Config{URL: p.url}, Models: []pipeline.Model{m}, Cameras: cameras}
	switch stage {
	case owner:
		cfg.Stages = pipeline.Stages{Preprocess: true}
	case worker:
		cfg.Stages = pipeline.Stages{Infer: true}
	}
	return cfg
}

// open starts an instance that nobody runs or stops.
func (p *plant) open(cfg pipeline.Config) (*pipeline.Pipeline, error) {
	return pipeline.Start(p.t.Context(), cfg, pipeline.Deps{Log: slog.New(slog.DiscardHandler)})
}

// startOnly starts an instance that is not run, until the test ends.
func (p *plant) startOnly(cfg pipeline.Config) *pipeline.Pipeline {
	p.t.Helper()
	i, err := p.open(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.close(i) })
	return i
}

// try starts an instance, and runs it until the test ends or it is stopped.
func (p *plant) try(cfg pipeline.Config) (*instance, error) {
	p.t.Helper()
	i := &instance{t: p.t, log: new(syncBuffer), metrics: obs.New("test")}
	var err error
	i.Pipeline, err = pipeline.Start(p.t.Context(), cfg, pipeline.Deps{Log: slog.New(slog.NewTextHandler(i.log, nil)), Metrics: i.metrics})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	i.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, i.Close()); err != nil && !i.gone {
			p.t.Errorf("end of %s: %v", cfg.Host, err)
		}
	})
	p.t.Cleanup(func() {
		i.stop()
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", cfg.Host, i.log)
		}
	})
	return i, nil
}

func (p *plant) start(cfg pipeline.Config) *instance {
	p.t.Helper()
	i, err := p.try(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return i
}

// drawn starts a camera on a host.
func (p *plant) drawn(host, id string, delivery preprocess.Delivery) *drawn.Camera {
	p.t.Helper()
	c, err := drawn.New(p.bus, host, id, ingest.Delivery(delivery) == ingest.Every)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.close(c) })
	return c
}

// film sends n frames beside the test; wait says when the last one was sent
// and, under every, answered.
func (p *plant) film(c *drawn.Camera, n int, period time.Duration) (wait func()) {
	done, sent := make(chan error, 1), make(chan struct{})
	go func() {
		err := c.Run(p.t.Context(), n, period)
		close(sent)
		if err == nil {
			c.Wait()
		}
		done <- err
	}()
	p.t.Cleanup(func() { <-sent }) // before the camera is closed
	return func() {
		p.t.Helper()
		select {
		case err := <-done:
			if err != nil {
				p.t.Fatal(err)
			}
		case <-time.After(time.Minute):
			p.t.Fatal("not every frame is answered")
		}
	}
}

// filmUntil sends frames beside the test until end is called, which says how many
// they were when the last one is answered. It pauses while the camera's owner is
// far behind: what waits in a spool is for the edition it was made for, so that a
// slow machine would see each change late.
func (p *plant) filmUntil(c *drawn.Camera, owner *instance, camera string, period time.Duration) (end func() (frames int)) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for owner.counts(camera).InFlight > 30 && ctx.Err() == nil {
				time.Sleep(period)
			}
			_ = c.Run(ctx, 10, period) // until the end
		}
	}()
	p.t.Cleanup(func() { cancel(); <-done }) // before the camera is closed
	return func() int {
		p.t.Helper()
		cancel()
		<-done
		answered := make(chan struct{})
		go func() { c.Wait(); close(answered) }()
		select {
		case <-answered:
		case <-time.After(time.Minute):
			p.t.Fatal("not every frame is answered")
		}
		return int(c.Sent())
	}
}

// results waits until a camera has n stored results, and returns them.
func (p *plant) results(camera string, n int) []*vedette.Detection {
	p.t.Helper()
	c, err := client.Connect(p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	enough := errors.New("enough")
	var out []*vedette.Detection
	err = c.Detections(ctx, client.Filter{Camera: camera, StartSeq: 1}, func(m client.Message) error {
		if out = append(out, m.Detection); len(out) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		p.t.Fatalf("%d results of camera %s, want %d: %v", len(out), camera, n, err)
	}
	return out
}

// checkWhole checks that each of n frames left one result, in order, of its own
// picture.
func (p *plant) checkWhole(camera string, n int) {
	p.t.Helper()
	out := p.results(camera, n)
	checkChain(p.t, out)
	for base := range checkNumbers(p.t, out) {
		if base != out[0].Epoch {
			p.t.Errorf("epochs %s and %s", out[0].Epoch, base)
		}
	}
	for i, d := range out {
		if d.Seq != uint64(i) {
			p.t.Fatalf("result %d is of seq %d", i, d.Seq)
		}
	}
}

// checkStored checks that the stream has n results in all: none is there twice.
func (p *plant) checkStored(n int) {
	p.t.Helper()
	streams, err := p.bus.Streams(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range streams {
		if s.Name == "VEDETTE_DETECTIONS" && s.Messages != uint64(n) {
			p.t.Errorf("%d results are stored, want %d", s.Messages, n)
		}
	}
}

// await waits for something that is looked for again and again.
func (p *plant) await(what string, ok func() bool) {
	p.t.Helper()
	for range 60 * 100 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("timed out waiting for %s", what)
}

// account is that of a camera at an instance, when nothing is in flight: a
// result is stored a moment before its frame leaves the account.
func (i *instance) account(camera string) (a preprocess.Counts) {
	for range 500 {
		if a = i.counts(camera); a.InFlight == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return a
}

// counts is the account of a camera at this moment.
func (i *instance) counts(camera string) (a preprocess.Counts) {
	for _, c := range i.Status().Cameras {
		if c.ID == camera {
			a = c.Accounts[reader().Loaded.Manifest.Name]
		}
	}
	return a
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
