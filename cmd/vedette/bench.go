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
	short    bool
}

// benchParts are what --only chooses from; benchDefault is what is measured
// without it.
func benchParts() []string { return append(benchDefault(), "synthetic") }
func benchDefault() []string {
	return []string{"parts", "bus", "files", "load", "glass", "start", "recovery", "memory"}
}

func newBench(g *globals) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "throughput and latency against the limit of this machine",
		Long: `Measures the pipeline against the limit of this machine and against its budgets:

  parts     the engine, decoding, resizing and reading the outputs, each alone
  bus       what the hops of a frame cost, and the reference to a 1080p frame alone
  files     throughput against a straight-line program on the same files: decode, letterbox,
            to float, run, postprocess, without a bus, in one process per core. Both stay
            there and take turns of half a second, so that what else the machine does meets
            both; by the clock, and by processor time, which says more on a busy machine
  load      capture to publication at 70 % load
  glass     over RTSP, from when a camera began to send a frame to its publication, also
            with 16 CPUs pretended
  start     from the start of the program to the first detection
  recovery  of a camera that is killed, and of one that freezes
  memory    of 1080p cameras
  synthetic throughput on generated sources (only when asked for)

Without --source it makes a clip of its own, without --model a network of its own; the figures
then say what the machine can do, not what your model costs. The test camera needs the ffmpeg
command.`,
		Example: `  vedette bench --model yolox_nano.onnx --source video.mp4
  vedette bench --quick --format json
  vedette bench --only files --streams 4 --rounds 5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.short {
				o.shorten(cmd.Flags().Changed)
			}
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
	f.IntVar(&o.rounds, "rounds", 1, "how often everything is measured; all of it counts")
	f.StringSliceVar(&o.only, "only", benchDefault(), "what to measure")
	f.BoolVar(&o.short, "quick", false, "a short look: 2 s each, 1 and 4 streams, a small test camera")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the pipeline with the most file streams here (for pprof)")
	f.StringVar(&o.format, "format", "text", "text or json")
	cmd.AddCommand(newBenchWorker(g), newBenchGuard())
	return cmd
}

// shorten makes a quick look of what was not asked for otherwise.
func (o *benchOptions) shorten(asked func(flag string) bool) {
	if !asked("duration") {
		o.duration = 2 * time.Second
	}
	if !asked("streams") {
		o.streams = []int{1, 4}
	}
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
	n, streams, load := 0, len(o.streams), 1
	if !o.has("files") {
		load++ // the pipeline's limit has to be found first
	}
	for part, steps := range map[string]int{
		"parts": 4 * o.rounds, "bus": 3 * o.rounds, "files": o.rounds * streams, "synthetic": o.rounds * streams,
		"load": load, "glass": 2, "start": 2 * o.rounds, "recovery": 1, "memory": streams,
	} {
		if o.has(part) {
			n += steps
		}
	}
	return n
}

// benchmark is one run of the command.
type benchmark struct {
	o        *benchOptions
	g        *globals
	progress progress
	begun    int // steps
	counters int
	dir      string
	guard    *benchGuard
	clip     benchClip
	files    []string // as given, or the clip made here
	loops    []string // the same, without end
	report   benchReport
}

func (b *benchmark) run(ctx context.Context, cmd *cobra.Command) (err error) {
	if b.dir, err = os.MkdirTemp("", "vedette-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.guard, err = startBenchGuard(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.guard.close()) }()
	b.report = benchReport{Version: versionLine(), Machine: bench.ThisMachine(), Rounds: b.o.rounds, Seconds: b.o.duration.Seconds()}
	err = b.measure(ctx)
	b.progress.finish()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
	}
	if b.report.empty() {
		return err
	}
	b.report.judge() // what was measured so far is worth its time
	return errors.Join(err, b.report.print(cmd.OutOrStdout(), b.o.format))
}

func (b *benchmark) measure(ctx context.Context) error {
	if err := b.prepareSources(ctx); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{b.parts, b.bus, b.throughput, b.load, b.glass, b.start, b.recovery, b.memory} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step tells a person what is measured now: a bar on a terminal, a line
// elsewhere.
func (b *benchmark) step(what string) {
	b.begun++
	b.progress.describe(what)
	b.progress.set(b.begun - 1)
	if !b.progress.shown() {
		tell("measuring %d/%d: %s", b.begun, b.o.steps(), what)
	}
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

// once measures jobs, each in a process of its own at the same time.
func (b *benchmark) once(ctx context.Context, what string, jobs ...benchJob) ([]benchResult, error) {
	b.step(what)
	return b.quick(ctx, jobs...)
}

// quick is once without a word.
func (b *benchmark) quick(ctx context.Context, jobs ...benchJob) ([]benchResult, error) {
	results, err := runBenchWorkers(ctx, jobs)
	if err == nil && len(results) > 0 {
		b.report.learn(&results[0])
	}
	return results, err
}

// dealt is a job for each core, with the sources dealt out.
func (b *benchmark) dealt(job benchJob) []benchJob {
	cores := b.report.Machine.Cores
	jobs := make([]benchJob, cores)
	for i := range jobs {
		jobs[i] = job
		jobs[i].Sources = nil
		for s := i; s < max(len(job.Sources), cores); s += cores {
			jobs[i].Sources = append(jobs[i].Sources, job.Sources[s%len(job.Sources)])
		}
	}
	return jobs
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
			job := b.job(mode, b.loops)
			jobs := []benchJob{job} // the engine's process has all workers
			if mode != modeEngine {
				jobs = b.dealt(job)
			}
			all, err := b.once(ctx, mode+" alone", jobs...)
			if err != nil {
				return err
			}
			r := sum(all)
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

// bus measures the hops of a frame on the bus, and nothing else.
func (b *benchmark) bus(ctx context.Context) error {
	if !b.o.has("bus") {
		return nil
	}
	var reference, cpu, wall, spool []float64
	for range b.o.rounds {
		for _, mode := range []string{modeReference, modeBus, modeSpool} {
			r, err := b.once(ctx, mode+" alone", b.job(mode, b.loops[:1]))
			if err != nil {
				return err
			}
			switch mode {
			case modeReference:
				reference = append(reference, r[0].cpuMillis())
			case modeSpool:
				spool = append(spool, r[0].cpuMillis())
			default:
				cpu = append(cpu, r[0].cpuMillis())
				wall = append(wall, 1000*r[0].Seconds/float64(max(r[0].Frames, 1)))
			}
		}
	}
	b.report.Bus = &benchBus{
		ReferenceCPUMillis: round(bench.Median(reference), 4), CPUMillis: round(bench.Median(cpu), 3), Millis: round(bench.Median(wall), 3),
		SpoolCPUMillis: round(bench.Median(spool), 3),
	}
	return nil
}
