package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// demoFPS is the rate of the demo's camera.
const demoFPS = 25

func newDemo(g *globals) *cobra.Command {
	var (
		duration time.Duration
		engine   string
		listen   string
		save     string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "shows the whole pipeline at work on a camera and a network of its own",
		Long: `Runs the whole pipeline on this machine, with nothing else at hand: a generated camera
burns the number of each frame into its picture as a bar code, a small network reads it
back, and the detections are published on NATS. The demo compares what the network read
with the frame's seq: a frame that was torn, lost or mixed up would show.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("engine", engine, "auto", "onnxruntime", "gorgonia"); err != nil {
				return err
			}
			if duration < time.Second {
				return usagef("--duration %v: want at least 1s", duration)
			}
			d := &demo{w: cmd.OutOrStdout(), g: g}
			return d.run(cmd.Context(), duration, engine, listen, save)
		},
	}
	cmd.Flags().DurationVar(&duration, "duration", 20*time.Second, "how long")
	cmd.Flags().StringVar(&engine, "engine", "auto", "auto, onnxruntime or gorgonia")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:4222", "where other programs reach the bus")
	cmd.Flags().StringVar(&save, "save", "", "folder for annotated pictures, one a second")
	return cmd
}

// demo follows the detections and keeps the score.
type demo struct {
	w io.Writer
	g *globals

	mu           sync.Mutex
	right, wrong uint64
	latencies    []float64 // of the current second
	all          []float64
}

func (d *demo) run(ctx context.Context, duration time.Duration, engine, listen, save string) error {
	frames := int(duration.Seconds() * demoFPS)
	src, err := ingest.ParseSource(fmt.Sprintf("synthetic://bars?width=1280&height=720&fps=%d&frames=%d", demoFPS, frames))
	if err != nil {
		return err
	}
	cfg := pipeline.Config{
		Bus:    bus.Config{Listen: listen},
		Models: []pipeline.Model{{Loaded: barcodeModel(), Engine: engine, Device: "cpu"}},
		Cameras: []pipeline.Camera{{
			Ingest: ingest.Config{ID: "demo", Source: src, Delivery: ingest.Latest},
			Owner: preprocess.CameraConfig{
				ID: "demo", Delivery: preprocess.Latest, Evidence: save != "",
				Detect: []preprocess.DetectConfig{{Model: barcodeReader, MinScore: 0.5}},
			},
		}},
	}
	deps := pipeline.Deps{Log: d.g.log, Version: version}
	if save != "" {
		a, err := newAnnotator(save, func(err error) { d.g.log.Error("picture not saved", "error", err) })
		if err != nil {
			return err
		}
		deps.Evidence = func(det *vedette.Detection, pic preprocess.Picture) {
			if det.Seq%demoFPS == 0 {
				a.save(det, pic)
			}
		}
	}
	p, err := pipeline.Start(ctx, cfg, deps)
	if err != nil {
		return startError(err)
	}
	fmt.Fprintf(d.w, "A generated camera (1280×720, %d fps), a network that reads its frame numbers, and NATS on %s.\n", demoFPS, p.Bus().Address())
	fmt.Fprintf(d.w, "From another terminal:  vedette watch --server %s   or   nats sub 'vedette.detection.>'\n\n", p.Bus().Address())
	stop, err := p.Bus().SubscribeDetections(func(det *vedette.Detection, _ []byte) { d.seen(det) })
	if err != nil {
		return errors.Join(err, p.Close())
	}
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { d.tick(p, done) })
	runErr := p.Run(ctx)
	close(done)
	ticking.Wait()
	counts := p.Status().Cameras[0].Accounts[barcodeReader]
	err = errors.Join(runErr, stop(), p.Close())
	d.summary(counts)
	if err == nil && ctx.Err() == nil && (d.wrong > 0 || d.right == 0) {
		err = fmt.Errorf("%d frames did not show their own number", d.wrong)
	}
	return err
}

// barcodeReader names the built-in network that reads the frame numbers of
// synthetic://bars.
const barcodeReader = "barcode-reader"

// barcodeModel is that network, made here and now.
func barcodeModel() *models.Model {
	onnx := onnxtest.BarcodeReader(1)
	sum := sha256.Sum256(onnx)
	m := onnxtest.BarcodeManifest()
	m.Name = barcodeReader
	return &models.Model{Manifest: m, ONNX: onnx, Path: "(built in)", Report: models.Report{SHA256: hex.EncodeToString(sum[:])}}
}

func (d *demo) seen(det *vedette.Detection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ok := false
	if det.Status == vedette.StatusOK {
		var white []int
		for _, o := range *det.Objects {
			white = append(white, o.ClassID)
		}
		r := onnxtest.ReadBarcode(white)
		ok = r.HasNumber && uint64(r.Number) == det.Seq
	}
	if ok {
		d.right++
	} else {
		d.wrong++
		fmt.Fprintf(d.w, "frame %d: %s %s: its picture shows another number\n", det.Seq, det.Status, det.Reason)
	}
	d.latencies = append(d.latencies, det.Timing.Total)
	d.all = append(d.all, det.Timing.Total)
}

// tick prints a line a second.
func (d *demo) tick(p *pipeline.Pipeline, done <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			c := p.Status().Cameras[0].Accounts[barcodeReader]
			d.mu.Lock()
			n, p50, p99 := len(d.latencies), quantile(d.latencies, 0.5), quantile(d.latencies, 0.99)
			d.latencies = d.latencies[:0]
			d.mu.Unlock()
			fmt.Fprintf(d.w, "%3d detections/s   capture → published p50 %5.1f ms  p99 %5.1f ms   captured %d = inferred %d + dropped %d + in flight %d\n",
				n, p50, p99, c.Captured, c.Inferred, total(c.Dropped), c.InFlight)
		}
	}
}

func (d *demo) summary(c preprocess.Counts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.w, "\n%d frames captured, %d inferred, %d dropped (%v); %d pictures showed their own number, %d did not.\n",
		c.Captured, c.Inferred, total(c.Dropped), c.Dropped, d.right, d.wrong)
	fmt.Fprintf(d.w, "Capture → published: p50 %.1f ms, p99 %.1f ms.\n", quantile(d.all, 0.5), quantile(d.all, 0.99))
	fmt.Fprintln(d.w, "Next: vedette models list, then vedette detect YOUR_VIDEO --model NAME, or vedette run -c configs/surveillance.yaml")
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
