package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bench"
)

// What a worker of bench measures.
const (
	modeEngine      = "engine"      // the engine alone, all workers in one process
	modeDecode      = "decode"      // capture alone
	modeResize      = "resize"      // letterbox and to float alone
	modePostprocess = "postprocess" // the decoder of the outputs alone
	modeLine        = "line"        // the straight-line program
	modePipeline    = "pipeline"
	modeReference   = "frame reference" // the first hop of a 1080p frame alone
	modeBus         = "bus"             // all hops of a frame
	modeSpool       = "spool"           // a lossless live frame into the spool and out of it
	modeGlass       = "glass"           // a test camera and the pipeline
	modeRecovery    = "recovery"        // the same, and the camera fails
	modeProbe       = "probe"           // nothing: it only says what the source is
)

// benchJob is what a worker reads on standard input.
type benchJob struct {
	Mode                  string
	Model, Engine, Device string
	Workers, Threads      int
	Sources               []string
	Seconds               float64
	Live                  bool    // files at their own pace, newest frame wins
	FPS                   float64 // of each live stream; 0: its own
	Profile               string
	// Counter is a file in which frames are counted while the worker goes on,
	// until it is told to end; empty: it measures for Seconds.
	Counter string
	Rounds  int // of the recovery
	Clip    benchClip
}

// benchClip is what the test camera shows: a file made by clip.WriteFile.
type benchClip struct {
	Path        string
	FPS, Frames int
}

// benchResult is what a worker writes on standard output.
type benchResult struct {
	Frames    int
	Seconds   float64
	CPU       float64 // seconds of the process and its descendants
	Memory    int64   // proportional set size of the same, at the end
	Processes int
	// Latencies from capture to publication, and runs of the engine, in ms.
	Latencies, Infer []float64
	Dropped          uint64
	Recovery         []benchRecovery
	// Glass are the times in ms from when the camera began to send a frame to
	// its detection's publication.
	Glass         []float64
	Model         string
	EngineName    string
	Device        string
	Width, Height int
	SourceFPS     float64
}

func (r *benchResult) fps() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Frames) / r.Seconds
}

func (r *benchResult) cpuMillis() float64 { return 1000 * r.CPU / float64(max(r.Frames, 1)) }

// sum adds up processes that measured at the same time.
func sum(rs []benchResult) benchResult {
	var s benchResult
	rate := 0.0
	for i := range rs {
		r := &rs[i]
		rate += r.fps()
		s.Frames += r.Frames
		s.CPU += r.CPU
		s.Memory += r.Memory
		s.Processes += r.Processes
	}
	if rate > 0 {
		s.Seconds = float64(s.Frames) / rate
	}
	return s
}

// newBenchWorker is the command that bench starts itself with, so that every
// measurement has fresh processes of its own.
func newBenchWorker(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("job: %w", err)
			}
			w := &benchWorker{g: g, in: in, out: cmd.OutOrStdout()}
			if err := json.Unmarshal(line, &w.job); err != nil {
				return fmt.Errorf("job: %w", err)
			}
			if err := w.measure(cmd.Context()); err != nil {
				return err
			}
			return json.NewEncoder(w.out).Encode(&w.result)
		},
	}
}

// benchWorker measures one job.
type benchWorker struct {
	g      *globals
	job    benchJob
	in     *bufio.Reader
	out    io.Writer
	result benchResult
}

func (w *benchWorker) measure(ctx context.Context) error {
	switch w.job.Mode {
	case modePipeline:
		return w.pipeline(ctx)
	case modeBus, modeReference:
		return w.bus(ctx)
	case modeSpool:
		return w.spool(ctx)
	case modeGlass:
		return w.glass(ctx)
	case modeRecovery:
		return w.recovery(ctx)
	case modeEngine, modeDecode, modeResize, modePostprocess, modeLine, modeProbe:
		return w.alone(ctx)
	}
	return fmt.Errorf("job %q is unknown", w.job.Mode)
}

// ready tells bench that the measurement can begin, and waits until all
// workers have come so far.
func (w *benchWorker) ready() error {
	if _, err := io.WriteString(w.out, "ready\n"); err != nil {
		return err
	}
	_, err := w.in.ReadString('\n')
	return err
}

func (w *benchWorker) length() time.Duration {
	return time.Duration(w.job.Seconds * float64(time.Second))
}

// over is a channel that is closed when the measurement ends: after its time,
// or when bench says so.
func (w *benchWorker) over() <-chan struct{} {
	end := make(chan struct{})
	if w.job.Counter == "" {
		time.AfterFunc(w.length(), func() { close(end) })
		return end
	}
	go func() {
		_, _ = w.in.ReadString('\n') // or bench is gone
		close(end)
	}()
	return end
}

// counting opens the counter that bench looks at; it is nil where there is
// none.
func (w *benchWorker) counting() (*bench.Counter, error) {
	if w.job.Counter == "" {
		return nil, nil
	}
	return bench.OpenCounter(w.job.Counter)
}

// begin and end bracket the measurement of the processes' resources.
func (w *benchWorker) begin() (bench.Tree, error) { return bench.ReadCPU(os.Getpid()) }

func (w *benchWorker) end(before bench.Tree) error {
	after, err := bench.ReadTree(os.Getpid())
	if err != nil {
		return err
	}
	w.result.CPU = (after.CPU - before.CPU).Seconds()
	w.result.Memory, w.result.Processes = after.Memory, after.Processes
	return nil
}
