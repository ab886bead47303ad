package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bench"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	model    modelFlags
	sources  []string
	streams  []int
	duration time.Duration
	rounds   int
	only     []string
	profile  string
	format   string
}

// benchParts are what --only chooses from.
func benchParts() []string { return []string{"parts", "bus", "files", "synthetic", "load"} }

func newBench(g *globals) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "throughput and latency against the limit of this machine",
		Long: `Measures what each part of the pipeline can do alone, and the whole pipeline against a
straight-line program: decode, letterbox, to float, run, postprocess, without a bus, in one
process per core. Both run on the same video files, one after the other in each round, so
that what else the machine does meets both. Only the steady part counts: from when every
stream has given a detection.

Without --source it makes a clip of its own (needs the ffmpeg command), without --model a
network of its own; the figures then say what the machine can do, not what your model costs.`,
		Example: `  vedette bench --model yolox_nano.onnx --source video.mp4
  vedette bench --streams 4 --duration 5s --rounds 5 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return (&benchmark{o: &o, g: g, progress: newProgress("measuring", o.steps())}).run(cmd.Context(), cmd)
		},
	}
	f := cmd.Flags()
	o.model.register(f)
	f.StringArrayVar(&o.sources, "source", nil, "a video file; repeat it to give the streams different ones")
	f.IntSliceVar(&o.streams, "streams", []int{1, 4, 16}, "numbers of streams to measure with")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "length of each measurement")
	f.IntVar(&o.rounds, "rounds", 3, "how often each is measured; the medians are reported")
	f.StringSliceVar(&o.only, "only", benchParts(), "what to measure")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the pipeline with the most file streams here (for pprof)")
	f.StringVar(&o.format, "format", "text", "text or json")
	cmd.AddCommand(newBenchWorker(g))
	return cmd
}

func (o *benchOptions) check() error {
	if err := oneOf("format", o.format, "text", "json"); err != nil {
		return err
	}
	for _, part := range o.only {
		if err := oneOf("only", part, benchParts()...); err != nil {
			return err
		}
	}
	if o.duration < 100*time.Millisecond || o.rounds < 1 || len(o.streams) == 0 {
		return usagef("--duration %v --rounds %d: want at least 100ms, one round and one number of streams", o.duration, o.rounds)
	}
	for _, n := range o.streams {
		if n < 1 || n > 256 {
			return usagef("--streams %d: want 1 to 256", n)
		}
	}
	for _, s := range o.sources {
		src, err := ingest.ParseSource(s)
		if err != nil {
			return &usageError{err}
		}
		if src.Kind() != ingest.File {
			return usagef("--source %s: want a video file: the straight-line program reads nothing else", s)
		}
		if _, err := os.Stat(s); err != nil {
			return usagef("--source: %w", err)
		}
	}
	if o.model.name != "" {
		_, err := o.model.load()
		return err
	}
	return nil
}

func (o *benchOptions) has(part string) bool { return slices.Contains(o.only, part) }

// steps is how many measurements there will be.
func (o *benchOptions) steps() int {
	n := 0
	if o.has("parts") {
		n += 4 * o.rounds
	}
	if o.has("bus") {
		n += o.rounds
	}
	if o.has("files") {
		n += 2 * o.rounds * len(o.streams)
	}
	if o.has("synthetic") {
		n += o.rounds * len(o.streams)
	}
	if o.has("load") {
		n++
	}
	return n
}

// benchmark is one run of the command.
type benchmark struct {
	o        *benchOptions
	g        *globals
	progress progress
	done     int
	dir      string
	files    []string // as given, or the clip made here
	loops    []string // the same, without end
	report   benchReport
}

func (b *benchmark) run(ctx context.Context, cmd *cobra.Command) (err error) {
	if b.dir, err = os.MkdirTemp("", "vedette-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.report = benchReport{Version: versionLine(), Machine: bench.ThisMachine(), Rounds: b.o.rounds, Seconds: b.o.duration.Seconds()}
	if err := b.prepareSources(ctx); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{b.parts, b.bus, b.throughput, b.load} {
		if err := measure(ctx); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
			}
			b.progress.finish()
			b.report.judge() // what was measured so far is worth its time
			return errors.Join(err, b.report.print(cmd.OutOrStdout(), b.o.format))
		}
	}
	b.progress.finish()
	b.report.judge()
	return b.report.print(cmd.OutOrStdout(), b.o.format)
}

// prepareSources makes the clip if none is given, and endless versions of all.
func (b *benchmark) prepareSources(ctx context.Context) error {
	b.files = b.o.sources
	if len(b.files) == 0 {
		path := b.dir + "/own.mp4"
		if err := clip.WriteFile(ctx, path, clip.Spec{Width: 768, Height: 432, FPS: 25, Frames: 500}); err != nil {
			return fmt.Errorf("make a clip (give one with --source): %w", err)
		}
		b.files = []string{path}
		b.report.OwnSource = true
	}
	for i, f := range b.files {
		loop, err := endless(b.dir+"/"+strconv.Itoa(i), f)
		if err != nil {
			return err
		}
		b.loops = append(b.loops, loop)
	}
	b.report.Sources, b.report.OwnModel = b.files, b.o.model.name == ""
	return nil
}

// sourcesFor gives each of n streams a file.
func sourcesFor(files []string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = files[i%len(files)]
	}
	return out
}

// job is a measurement with this benchmark's model.
func (b *benchmark) job(mode string, sources []string) benchJob {
	m := b.o.model
	return benchJob{
		Mode: mode, Model: m.name, Engine: m.engine, Device: m.device, Workers: m.workers, Threads: m.threads,
		Sources: sources, Seconds: b.o.duration.Seconds(),
	}
}

// once measures one job in n processes at a time.
func (b *benchmark) once(ctx context.Context, jobs ...benchJob) ([]benchResult, error) {
	results, err := runBenchWorkers(ctx, jobs)
	b.done++
	b.progress.set(b.done)
	if err == nil && len(results) > 0 {
		b.report.learn(&results[0])
	}
	return results, err
}

// perCore measures in one process per core, with the sources dealt out.
func (b *benchmark) perCore(ctx context.Context, job benchJob) (benchResult, error) {
	cores := b.report.Machine.Cores
	jobs := make([]benchJob, cores)
	for i := range jobs {
		jobs[i] = job
		jobs[i].Sources = nil
		for s := i; s < max(len(job.Sources), cores); s += cores {
			jobs[i].Sources = append(jobs[i].Sources, job.Sources[s%len(job.Sources)])
		}
	}
	results, err := b.once(ctx, jobs...)
	return sum(results), err
}

// parts measures each part of the work alone.
func (b *benchmark) parts(ctx context.Context) error {
	if !b.o.has("parts") {
		return nil
	}
	modes := []string{modeEngine, modeDecode, modeResize, modePostprocess}
	fps, cpu := map[string][]float64{}, map[string][]float64{}
	for range b.o.rounds {
		for _, mode := range modes {
			var (
				r   benchResult
				err error
			)
			if job := b.job(mode, b.loops); mode == modeEngine {
				var all []benchResult
				if all, err = b.once(ctx, job); err == nil {
					r = all[0]
				}
			} else {
				r, err = b.perCore(ctx, job)
			}
			if err != nil {
				return err
			}
			fps[mode] = append(fps[mode], r.fps())
			cpu[mode] = append(cpu[mode], r.cpuMillis())
		}
	}
	for _, mode := range modes {
		b.report.Parts = append(b.report.Parts, benchPart{
			Name: mode, FPS: round(bench.Median(fps[mode]), 1), CPUMillis: round(bench.Median(cpu[mode]), 3),
		})
	}
	return nil
}

// bus measures the three hops of a frame on the bus, and nothing else.
func (b *benchmark) bus(ctx context.Context) error {
	if !b.o.has("bus") {
		return nil
	}
	var cpu, wall []float64
	for range b.o.rounds {
		r, err := b.once(ctx, b.job(modeBus, b.loops[:1]))
		if err != nil {
			return err
		}
		cpu = append(cpu, r[0].cpuMillis())
		wall = append(wall, 1000*r[0].Seconds/float64(max(r[0].Frames, 1)))
	}
	b.report.Bus = &benchBus{CPUMillis: round(bench.Median(cpu), 3), Millis: round(bench.Median(wall), 3)}
	return nil
}
