//go:build !cv

package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/gorgonia"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/ring"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// side is the size of pictures here, which is that of the networks: nothing has
// to be resized, so that these tests need no OpenCV.
const side = 24

// network is a small classifier by the name of a model.
func network(name string) Model {
	return Model{Name: name, Loaded: &models.Model{
		Path: "(test)", ONNX: onnxtest.ConvNet{Batch: -1, Size: side, Layers: 1, Channels: 4, Classes: 3}.Marshal(),
		Report: models.Report{SHA256: fmt.Sprintf("%064x", len(name))},
		Manifest: models.Manifest{
			Name: name, Task: models.Classify, Labels: []string{"a", "b", "c"},
			Input:  models.Input{Width: side, Height: side, Layout: models.NCHW, Color: models.BGR, Scale: 1, Type: models.Float32},
			Output: models.Output{Decoder: "classify", Softmax: true},
		},
	}}
}

// cam is a camera that writes its number and that of each frame into the
// picture.
type cam struct {
	id       string
	number   int
	captured atomic.Int64 // frames sent so far
}

// plant is a pipeline of real parts, less the capture: bus, ring, owner, roster,
// workers.
type plant struct {
	*Pipeline
	t       *testing.T
	metrics *obs.Metrics
	drain   func() error // takes the results that are on their way
	cams    []*cam
	wg      sync.WaitGroup
	mu      sync.Mutex
	out     map[string][]*vedette.Detection
}

// startPlant runs cameras against an engine.
func startPlant(t *testing.T, eng infer.Engine, cfg Config) *plant {
	t.Helper()
	p := &plant{t: t, metrics: obs.New("test"), out: map[string][]*vedette.Detection{}}
	for i := range cfg.Cameras {
		id := cfg.Cameras[i].Owner.ID
		src, err := ingest.ParseSource("synthetic://bars")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Cameras[i].Ingest = ingest.Config{ID: id, Source: src, Delivery: ingest.Delivery(cfg.Cameras[i].Owner.Delivery)}
		p.cams = append(p.cams, &cam{id: id, number: i})
	}
	cfg.Host, cfg.Stages = "here", Stages{Preprocess: true, Infer: true}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	p.Pipeline, err = Start(ctx, cfg, Deps{
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Metrics: p.metrics,
		Engine: func(string, *slog.Logger) (infer.Engine, error) { return eng, nil },
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stop, err := p.Bus().SubscribeDetections(context.Background(), func(d *vedette.Detection, _ []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.out[d.Camera+" "+d.Model.Name] = append(p.out[d.Camera+" "+d.Model.Name], d)
	})
	if err != nil {
		t.Fatal(err)
	}
	p.drain = sync.OnceValue(stop)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		p.wg.Wait()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
		if err := errors.Join(p.drain(), p.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// film sends frames of all cameras at a rate until each has sent so many, or ctx
// ends.
func (p *plant) film(ctx context.Context, period time.Duration, frames int) {
	for _, c := range p.cams {
		p.wg.Go(func() {
			if err := p.shoot(ctx, c, period, frames); err != nil {
				p.t.Errorf("%s: %v", c.id, err)
			}
		})
	}
}

func (p *plant) shoot(ctx context.Context, c *cam, period time.Duration, frames int) error {
	const slots = 8
	w, err := ring.Create(slots, 3*side*side)
	if err != nil {
		return err
	}
	defer w.Close()
	sender, err := p.Bus().NewFrameSender("here", c.id)
	if err != nil {
		return err
	}
	defer sender.Close()
	p.mu.Lock()
	every := p.cfg.Cameras[c.number].Owner.Delivery == preprocess.Every
	epoch := p.epochs.Next(time.Now())
	p.mu.Unlock()
	free := make(chan struct{}, slots-1) // of lossless frames, whose slot stays theirs
	tick := time.NewTicker(period)
	defer tick.Stop()
	for seq := range frames {
		var release func()
		if every {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			release = func() { <-free }
		}
		pix := w.Begin(seq % slots)
		pix[0] = byte(c.number)
		binary.BigEndian.PutUint16(pix[3:], uint16(seq)) // in blue and green of the second pixel
		now := vedette.At(time.Now())
		f := &vedette.Frame{
			Schema: vedette.FrameSchema, Camera: c.id, Epoch: epoch, Seq: uint64(seq), Clock: vedette.ClockHost, CaptureTime: now, CapturedAt: now,
			PublishTime: now, Width: side, Height: side, Format: vedette.BGR24, Ref: w.Commit(seq%slots, 3*side, 3*side*side),
		}
		c.captured.Add(1)
		if err := sender.Send(ctx, f, release); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return p.settled(ctx, c)
}

// settled waits until every frame of a camera was taken and is answered; its ring
// is then free.
func (p *plant) settled(ctx context.Context, c *cam) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		open := uint64(0)
		for _, a := range p.owner.Accounts()[c.id] {
			open += uint64(c.captured.Load()) - a.Captured + a.InFlight
		}
		if open == 0 || ctx.Err() != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d frames are not answered", open)
		}
	}
}

// account is that of a camera and model. It must close.
func (p *plant) account(camera, model string) preprocess.Counts {
	p.t.Helper()
	a := p.owner.Accounts()[camera][model]
	if a.Balance() != 0 || a.InFlight != 0 {
		p.t.Errorf("the account of %s and %s does not close: %+v", camera, model, a)
	}
	return a
}

// chain checks that results follow each other as they say, up to the last, and
// returns how many frames they leave out.
func (p *plant) chain(camera, model string) (results, left int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	next := uint64(0)
	for _, d := range p.out[camera+" "+model] {
		missing := uint64(0)
		for why, n := range d.GapBefore {
			if why != vedette.GapSource { // it has no seq
				missing += n
			}
		}
		if d.Seq != next+missing {
			p.t.Errorf("%s: seq %d after %d frames and a gap of %v", camera, d.Seq, next, d.GapBefore)
		}
		next = d.Seq + 1
		left += int(missing)
		results++
	}
	return results, left
}

// slowEngine takes its time for each run, and says which picture one starts with.
type slowEngine struct {
	engine.Engine
	takes time.Duration
	start func(camera, seq int)
}

func (e slowEngine) Load(ctx context.Context, onnx []byte, opts engine.LoadOptions) (engine.Model, error) {
	m, err := e.Engine.Load(ctx, onnx, opts)
	return slowModel{m, e}, err
}

type slowModel struct {
	engine.Model
	e slowEngine
}

func (m slowModel) NewRunner(ctx context.Context, batch int) (engine.Runner, error) {
	r, err := m.Model.NewRunner(ctx, batch)
	return &slowRunner{Runner: r, e: m.e}, err
}

type slowRunner struct {
	engine.Runner
	e    slowEngine
	used bool
}

func (r *slowRunner) Run(ctx context.Context) ([]engine.Output, error) {
	began := time.Now()
	if in := r.Input().F32; r.used {
		const plane = side * side
		r.e.start(int(in[0]), int(in[1])<<8|int(in[plane+1]))
	}
	r.used = true
	out, err := r.Runner.Run(ctx)
	select {
	case <-time.After(r.e.takes - time.Since(began)):
	case <-ctx.Done():
	}
	return out, err
}

// latest are cameras whose newest frame wins.
func latest(model string, ids ...string) []Camera {
	var out []Camera
	for _, id := range ids {
		out = append(out, Camera{Owner: preprocess.CameraConfig{ID: id, Delivery: preprocess.Latest, Detect: []preprocess.DetectConfig{{Model: model}}}})
	}
	return out
}

// TestLatestIsNewest has an engine that is slowed to a third of the rate of the
// cameras together. When a run starts, at most two newer frames of its camera
// exist; no camera starves another; what is dropped is counted, and the account
// closes to the last frame.
func TestLatestIsNewest(t *testing.T) {
	for name, c := range map[string]struct {
		cameras, workers, frames int
		period, takes            time.Duration
	}{
		"one camera, long runs":       {1, 1, 90, 40 * time.Millisecond, 120 * time.Millisecond},
		"one camera, short runs":      {1, 1, 180, 15 * time.Millisecond, 45 * time.Millisecond},
		"one camera, two workers":     {1, 2, 120, 30 * time.Millisecond, 180 * time.Millisecond},
		"six cameras and two workers": {6, 2, 60, 50 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var p *plant
			var mu sync.Mutex
			var newer []int
			eng := slowEngine{gorgonia.New(), c.takes, func(camera, seq int) {
				mu.Lock()
				defer mu.Unlock()
				newer = append(newer, int(p.cams[camera].captured.Load())-1-seq)
			}}
			m := network("slow")
			m.Workers = c.workers
			var ids []string
			for i := range c.cameras {
				ids = append(ids, fmt.Sprintf("cam-%d", i))
			}
			p = startPlant(t, eng, Config{Models: []Model{m}, Cameras: latest("slow", ids...)})
			p.film(t.Context(), c.period, c.frames)
			p.wg.Wait()
			if err := p.drain(); err != nil {
				t.Fatal(err)
			}
			least, most, all, stale := c.frames, 0, 0, 0
			for _, id := range ids {
				a := p.account(id, "slow")
				results, left := p.chain(id, "slow")
				if a.Captured != uint64(c.frames) || int(a.Inferred) != results || results+left != c.frames {
					t.Errorf("%s: %d results and %d left out of %d frames; account %+v", id, results, left, c.frames, a)
				}
				if a.Inferred+a.Dropped[preprocess.DropStale] != a.Captured {
					t.Errorf("%s: %+v", id, a)
				}
				least, most, all, stale = min(least, results), max(most, results), all+results, stale+int(a.Dropped[preprocess.DropStale])
			}
			slices.Sort(newer)
			t.Logf("%d cameras at %v a frame, runs of %v on %d workers: of %d frames %d were inferred and %d dropped as stale; newer frames at a start: median %d, p95 %d, most %d; a camera has %d to %d results",
				c.cameras, c.period, c.takes, c.workers, c.cameras*c.frames, all, stale, newer[len(newer)/2], newer[len(newer)*95/100], newer[len(newer)-1], least, most)
			if all > c.cameras*c.frames*3/4 {
				t.Errorf("%d of %d frames were inferred: the engine is not slow", all, c.cameras*c.frames)
			}
			// Frames that queue up delay every run. A machine that is busy with other
			// tests stops everything now and then, which the soak has for itself.
			share := 50
			if os.Getenv("VEDETTE_SOAK") != "" {
				share = 95
			}
			if high := newer[len(newer)*share/100]; high > 2 {
				t.Errorf("%d newer frames existed when a run started", high)
			}
			if least*2 < most {
				t.Errorf("cameras have %d to %d results: one starves another", least, most)
			}
		})
	}
}
