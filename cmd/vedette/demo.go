package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/board"
	"github.com/vedette-io/vedette/internal/bus"
	pcbdefects "github.com/vedette-io/vedette/models/pcb-defects"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// demoPictures is how many annotated pictures the demo writes at most.
const demoPictures = 12

// demoFlags are the flags of demo.
type demoFlags struct {
	duration             time.Duration
	engine, listen, save string
	speed                float64
	seed                 uint64
}

func newDemo(g *globals) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "inspects a generated line of circuit boards with the shipped model",
		Long: `Runs the whole pipeline on this machine with nothing else at hand: boards pass under a
generated camera, the shipped model looks for defects, and the detections are published on
NATS. Since the line is generated the truth is known: every board is judged when it has left,
by the mean score of each place over the frames that showed it, and the demo counts what was
found, missed and false. Boxes are in pixels of the board.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("engine", f.engine, "auto", "onnxruntime", "gorgonia"); err != nil {
				return err
			}
			if f.duration < time.Second {
				return usagef("--duration %v: want at least 1s", f.duration)
			}
			if !(f.speed > 0 && f.speed <= 5) {
				return usagef("--speed %v: want more than 0 and at most 5 boards a second", f.speed)
			}
			if err := canCapture("demo"); err != nil {
				return err
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), g, f)
		},
	}
	fl := cmd.Flags()
	fl.DurationVar(&f.duration, "duration", 20*time.Second, "how long")
	fl.StringVar(&f.engine, "engine", "auto", "auto, onnxruntime or gorgonia")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:4222", "where other programs reach the bus")
	fl.StringVar(&f.save, "save", "", "folder for a few annotated pictures")
	fl.Float64Var(&f.speed, "speed", 1, "boards a second")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the boards")
	return cmd
}

func runDemo(ctx context.Context, w io.Writer, g *globals, f demoFlags) error {
	model, err := loadPCBDefects()
	if err != nil {
		return err
	}
	src, err := ingest.ParseSource(fmt.Sprintf("synthetic://line?speed=%g&seed=%d", f.speed, f.seed))
	if err != nil {
		return err
	}
	truth := board.DefaultLine()
	truth.Speed, truth.Seed = f.speed, f.seed
	line, err := board.NewLine(truth)
	if err != nil {
		return err
	}
	cfg := pipeline.Config{
		Bus:    bus.Config{Listen: f.listen},
		Models: []pipeline.Model{{Loaded: model, Engine: f.engine, Device: "auto"}},
		Cameras: []pipeline.Camera{{
			Ingest: ingest.Config{ID: "line-1", Source: src, Delivery: ingest.Latest},
			Owner: preprocess.CameraConfig{
				ID: "line-1", Delivery: preprocess.Latest, Evidence: f.save != "",
				Detect: []preprocess.DetectConfig{{Model: pcbdefects.Name, MinScore: pcbdefects.LineMinScore}},
			},
		}},
	}
	d := &demo{w: w, line: line, inspection: board.NewInspection(line, pcbdefects.LineScore)}
	deps := pipeline.Deps{Log: g.log, Version: version}
	if f.save != "" {
		a, err := newAnnotator(f.save, func(err error) { g.log.Error("picture not saved", "error", err) })
		if err != nil {
			return err
		}
		deps.Evidence = d.keep(a)
	}
	return d.run(ctx, cfg, deps, f)
}

// demo follows the detections and keeps the score.
type demo struct {
	w    io.Writer
	line *board.Line // the truth; not safe for concurrent use, so under mu

	mu         sync.Mutex
	inspection *board.Inspection
	score      demoScore
	saved      int
	latencies  []float64 // of the current interval, in ms
	all        []float64
}

func (d *demo) run(ctx context.Context, cfg pipeline.Config, deps pipeline.Deps, f demoFlags) error {
	p, err := pipeline.Start(ctx, cfg, deps)
	if err != nil {
		return startError(ctx, err)
	}
	at := p.Bus().Address()
	ref := p.Status().Models[0]
	fmt.Fprintf(d.w, "A generated line (boards a second: %g), the model %s on %s (%s), and NATS on %s.\n", f.speed, ref.Name, ref.Engine, ref.Device, at)
	fmt.Fprintf(d.w, "From another terminal:\n  bin/vedette watch --server %s\n  nats --server %s sub 'vedette.detection.>'\n\n", at, at)
	stop, err := p.Bus().SubscribeDetections(ctx, func(det *vedette.Detection, _ []byte) { d.seen(det) })
	if err != nil {
		return errors.Join(err, p.Close())
	}
	running, cancel := context.WithTimeout(ctx, f.duration)
	defer cancel()
	var ticking sync.WaitGroup
	ticking.Go(func() { d.tick(running, p) })
	runErr := p.Run(running)
	cancel()
	ticking.Wait()
	counts := p.Status().Cameras[0].Accounts[pcbdefects.Name]
	err = errors.Join(runErr, stop(), p.Close())
	d.summary(counts, f.save)
	return err
}

// keep writes the first pictures in which a defective board is whole.
func (d *demo) keep(a *annotator) func(*vedette.Detection, preprocess.Picture) {
	last := uint64(0)
	return func(det *vedette.Detection, pic preprocess.Picture) {
		d.mu.Lock()
		seen, err := d.line.Truth(det.Seq)
		d.mu.Unlock()
		i := slices.IndexFunc(seen, func(s board.Seen) bool { return s.Whole && s.Total > 0 && s.Board+1 > last })
		if err != nil || i < 0 || d.saved >= demoPictures {
			return
		}
		last = seen[i].Board + 1
		d.saved++
		a.save(det, pic)
	}
}

// seen judges the boards that have left the view.
func (d *demo) seen(det *vedette.Detection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latencies = append(d.latencies, det.Timing.Total)
	d.all = append(d.all, det.Timing.Total)
	if det.Status != vedette.StatusOK {
		fmt.Fprintf(d.w, "frame %d: %s: %s\n", det.Seq, det.Status, det.Reason)
		return
	}
	verdicts, err := d.inspection.Frame(det.Seq, *det.Objects)
	if err != nil {
		fmt.Fprintf(d.w, "frame %d: %v\n", det.Seq, err)
		return
	}
	for _, v := range verdicts {
		d.score.add(v)
		fmt.Fprintln(d.w, v)
	}
}

// tick prints rate, latency and account every few seconds.
func (d *demo) tick(ctx context.Context, p *pipeline.Pipeline) {
	const every = 5 * time.Second
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c := p.Status().Cameras[0].Accounts[pcbdefects.Name]
			d.mu.Lock()
			rate := float64(len(d.latencies)) / every.Seconds()
			p50, p99 := quantile(d.latencies, 0.5), quantile(d.latencies, 0.99)
			d.latencies = d.latencies[:0]
			fmt.Fprintf(d.w, "  %.1f frames/s, capture → published p50 %.0f ms p99 %.0f ms; %s\n", rate, p50, p99, account(c))
			d.mu.Unlock()
		}
	}
}

func (d *demo) summary(c preprocess.Counts, saved string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.score
	fmt.Fprintf(d.w, "\n%d boards passed, %d of them defective, each seen in %.0f frames: %d defects injected, %d found, %d missed, %d false.\n",
		s.boards, s.defective, float64(s.frames)/float64(max(1, s.boards)), s.injected, s.found, s.missed, s.false)
	fmt.Fprintf(d.w, "Escapes (defective boards with nothing found): %d. False rejects (good boards with something found): %d.\n", s.escapes, s.rejects)
	fmt.Fprintf(d.w, "Frames: %s. Capture → published: p50 %.0f ms, p99 %.0f ms.\n", account(c), quantile(d.all, 0.5), quantile(d.all, 0.99))
	if d.saved > 0 {
		fmt.Fprintf(d.w, "%d annotated pictures are in %s.\n", d.saved, saved)
	}
	fmt.Fprint(d.w, `
Next: your own camera    bin/vedette doctor rtsp://user:password@camera/stream
                         bin/vedette detect rtsp://user:password@camera/stream --model yolox-nano
      people and cars    bin/vedette models pull yolox-nano
      for good           configs/surveillance.yaml, configs/line.yaml; bin/vedette run -c FILE
`)
}

// account says what became of all frames. What is rare is named only where there
// was some.
func account(c preprocess.Counts) string {
	s := fmt.Sprintf("captured %d = inferred %d + dropped %d + in flight %d", c.Captured, c.Inferred, total(c.Dropped), c.InFlight)
	for _, rare := range []struct {
		name string
		n    uint64
	}{{"unfit", c.Unfit}, {"failed", c.Failed}, {"expired", c.Expired}, {"gated", c.Gated}} {
		if rare.n > 0 {
			s += fmt.Sprintf(" + %s %d", rare.name, rare.n)
		}
	}
	return s
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// quantile is the nearest-rank quantile of v, which it sorts; 0 if empty.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}
