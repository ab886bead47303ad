package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vedette-io/vedette/internal/bench"
)

// loopRepeats is how often an endless file repeats its clip: a minute's clip
// lasts three days.
const loopRepeats = 5000

// endless writes a list for FFmpeg's concat demuxer that repeats a video file.
// The list may only name files beside it by plain names.
func endless(dir, video string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	path, err := filepath.Abs(video)
	if err != nil {
		return "", err
	}
	name := "clip" + filepath.Ext(path)
	if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
		return "", err
	}
	list := filepath.Join(dir, "loop.ffconcat")
	text := "ffconcat version 1.0\n" + strings.Repeat("file "+name+"\n", loopRepeats)
	return list, os.WriteFile(list, []byte(text), 0o600)
}

// synthetic is a generated source without end that is read as fast as it goes.
const synthetic = "synthetic://bars?width=768&height=432&fps=25&frames=1000000000"

// throughput compares the pipeline with the straight-line program. Both are
// there all the time, on the same files, and take turns of half a second.
func (b *benchmark) throughput(ctx context.Context) error {
	if !b.o.has("files") && !b.o.has("synthetic") {
		return nil
	}
	most := slices.Max(b.o.streams)
	for _, n := range b.o.streams {
		s := benchStreams{Streams: n}
		for range b.o.rounds {
			if err := b.round(ctx, &s, n == most); err != nil {
				b.keep(s)
				return fmt.Errorf("%d streams: %w", n, err)
			}
		}
		b.keep(s)
	}
	return nil
}

// keep takes over what was measured with a number of streams.
func (b *benchmark) keep(s benchStreams) {
	if len(s.pairs)+len(s.synthetic) > 0 {
		s.summarise()
		b.report.Streams = append(b.report.Streams, s)
	}
}

func (b *benchmark) round(ctx context.Context, s *benchStreams, profile bool) error {
	if b.o.has("files") {
		if err := b.compare(ctx, s, profile); err != nil {
			return err
		}
	}
	if !b.o.has("synthetic") {
		return nil
	}
	job := b.job(modePipeline, sourcesFor([]string{synthetic}, s.Streams))
	r, err := b.once(ctx, fmt.Sprintf("the pipeline on %d synthetic streams", s.Streams), job)
	if err == nil {
		s.synthetic = append(s.synthetic, r[0])
	}
	return err
}

// compare lets the straight-line program, in one process per core, and the
// pipeline take turns.
func (b *benchmark) compare(ctx context.Context, s *benchStreams, profile bool) (err error) {
	b.step(fmt.Sprintf("straight line and pipeline in turns, %d streams", s.Streams))
	files := sourcesFor(b.loops, s.Streams)
	line, err := b.startContender(ctx, b.dealt(b.job(modeLine, files)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, line.close()) }()
	job := b.job(modePipeline, files)
	if profile {
		job.Profile = b.o.profile
	}
	pipe, err := b.startContender(ctx, []benchJob{job})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pipe.close()) }()
	pairs, err := b.duel(ctx, line, pipe)
	s.pairs = append(s.pairs, pairs...)
	if err != nil {
		return err
	}
	straight, err := line.finish()
	if err != nil {
		return err
	}
	r, err := pipe.finish()
	if err != nil {
		return err
	}
	b.report.learn(&straight) // what the source is
	s.memory = append(s.memory, r.Memory)
	s.Processes = r.Processes
	b.report.learn(&r)
	return nil
}

// loadShare is the load at which the latency is budgeted.
const loadShare = 0.7

// load measures the latency of cameras that together bring 70 % of what the
// pipeline can do: files, read at their own pace, the newest frame wins.
func (b *benchmark) load(ctx context.Context) error {
	if !b.o.has("load") {
		return nil
	}
	limit := 0.0
	for _, s := range b.report.Streams {
		limit = max(limit, s.PipelineFPS)
	}
	job := b.job(modePipeline, b.loops[:1])
	if limit == 0 { // it was not measured
		r, err := b.once(ctx, "the pipeline's limit", job)
		if err != nil {
			return err
		}
		limit = r[0].fps()
	}
	probe, err := b.quick(ctx, b.job(modeProbe, b.loops[:1]))
	if err != nil {
		return err
	}
	fps := probe[0].SourceFPS
	if fps <= 0 {
		return fmt.Errorf("%s does not say how many frames a second it has, so that it cannot be paced", b.files[0])
	}
	// The rate of each stream makes up the load exactly.
	n := max(1, int(math.Round(loadShare*limit/fps)))
	job.Sources, job.Live, job.FPS = sourcesFor(b.loops, n), true, 0
	if rate := loadShare * limit / float64(n); rate < fps {
		job.FPS = rate
	}
	r, err := b.once(ctx, fmt.Sprintf("latency of %d paced streams", n), job)
	if err != nil {
		return err
	}
	l := &r[0]
	b.report.Load = &benchLoad{
		Streams: n, FPS: round(l.fps(), 1), Share: round(l.fps()/limit, 3), Dropped: l.Dropped,
		P50: round(bench.Quantile(l.Latencies, 0.5), 1), P99: round(bench.Quantile(l.Latencies, 0.99), 1),
		InferMillis: round(bench.Median(l.Infer), 2),
	}
	return nil
}
