package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
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
	modeBus         = "bus"
	modeProbe       = "probe" // nothing: it only says what the source is
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
	Model            string
	EngineName       string
	Device           string
	Width, Height    int
	SourceFPS        float64
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
	case modeBus:
		return w.bus(ctx)
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

// runBenchWorkers starts a process for each job, lets them measure at the same
// time, and gathers their results.
func runBenchWorkers(ctx context.Context, jobs []benchJob) ([]benchResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]*benchProcess, len(jobs))
	results := make([]benchResult, len(jobs))
	for i := range jobs {
		p, err := startBenchProcess(ctx, &jobs[i])
		if err != nil {
			return nil, err
		}
		defer p.stop(cancel)
		workers[i] = p
	}
	for _, p := range workers {
		if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
			return nil, p.failed(err)
		}
	}
	for _, p := range workers {
		if _, err := io.WriteString(p.in, "go\n"); err != nil {
			return nil, p.failed(err)
		}
	}
	for i, p := range workers {
		if err := json.NewDecoder(p.out).Decode(&results[i]); err != nil {
			return nil, p.failed(err)
		}
	}
	return results, nil
}

// benchProcess is a worker as bench sees it.
type benchProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	mode   string
}

func startBenchProcess(ctx context.Context, job *benchJob) (*benchProcess, error) {
	line, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	p := &benchProcess{cmd: exec.CommandContext(ctx, "/proc/self/exe", "bench", "worker"), mode: job.Mode}
	p.cmd.Stderr = &p.stderr
	// A worker that is told to stop ends its captures, too.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 5 * time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("start a worker: %w", err), p.cmd.Process.Kill(), p.cmd.Wait())
	}
	return p, nil
}

// failed says why a worker gave no result: its own last words.
func (p *benchProcess) failed(err error) error {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone
	_ = p.cmd.Wait()
	if words := strings.TrimSpace(p.stderr.String()); words != "" {
		lines := strings.Split(words, "\n")
		return fmt.Errorf("measuring %s: %s", p.mode, strings.TrimPrefix(lines[len(lines)-1], "vedette: "))
	}
	return fmt.Errorf("measuring %s: the worker gave no result: %w", p.mode, err)
}

// stop waits for a worker that has answered, or ends it.
func (p *benchProcess) stop(cancel func()) {
	_ = p.in.Close()
	if p.cmd.ProcessState != nil {
		return
	}
	timer := time.AfterFunc(10*time.Second, cancel)
	defer timer.Stop()
	_ = p.cmd.Wait() // its result is known
}
