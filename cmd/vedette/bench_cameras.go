package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vedette-io/vedette/internal/bench"
	"github.com/vedette-io/vedette/internal/testcam/clip"
)

// glass measures the age of what is published, as the machine is and as one
// with many CPUs, whose decoders must not use them.
func (b *benchmark) glass(ctx context.Context) error {
	if !b.o.has("glass") {
		return nil
	}
	c, err := b.cameraClip(ctx)
	if err != nil {
		return err
	}
	job := b.job(modeGlass, nil)
	job.Clip = c
	for _, cpus := range []int{0, fakeCPUs} {
		var env []string
		what := "age of what is published over RTSP"
		if cpus > 0 {
			what += fmt.Sprintf(", as with %d CPUs", cpus)
			preload, err := b.manyCPUs(ctx)
			if err != nil {
				b.report.Notes = append(b.report.Notes, fmt.Sprintf("glass → published with %d CPUs was not measured: it needs gcc (%v)", cpus, err))
				return nil
			}
			env = []string{preload}
		}
		b.step(what)
		var all []float64
		for range b.o.rounds {
			r, err := runBenchWorkers(ctx, []benchJob{job}, env...)
			if err != nil {
				return err
			}
			all = append(all, r[0].Glass...)
		}
		b.report.Glass = append(b.report.Glass, benchGlass{
			CPUs: cpus, Frames: len(all), P50: round(bench.Quantile(all, 0.5), 1), P99: round(bench.Quantile(all, 0.99), 1),
		})
	}
	return nil
}

// recovery measures failures of a camera.
func (b *benchmark) recovery(ctx context.Context) error {
	if !b.o.has("recovery") {
		return nil
	}
	c, err := b.cameraClip(ctx)
	if err != nil {
		return err
	}
	job := b.job(modeRecovery, nil)
	job.Clip, job.Rounds = c, b.o.rounds
	r, err := b.once(ctx, "recovery from a killed and a frozen camera", job)
	if err != nil {
		return err
	}
	b.report.Recovery = r[0].Recovery
	return nil
}

// start measures the program itself: from its start until the first result is
// on its standard output.
func (b *benchmark) start(ctx context.Context) error {
	if !b.o.has("start") {
		return nil
	}
	c, err := b.cameraClip(ctx)
	if err != nil {
		return err
	}
	camera, err := newTestCamera(ctx, c)
	if err != nil {
		return err
	}
	defer camera.Close()
	times := map[string][]float64{}
	for range b.o.rounds {
		for _, kind := range []string{"file", "rtsp"} {
			source := b.files[0]
			if kind == "rtsp" {
				source = camera.URL()
			}
			b.step("start to first detection, " + kind)
			took, err := b.firstDetection(ctx, source)
			if err != nil {
				return fmt.Errorf("start, %s: %w", kind, err)
			}
			times[kind] = append(times[kind], took.Seconds())
		}
	}
	b.report.Start = &benchStart{File: round(bench.Median(times["file"]), 2), RTSP: round(bench.Median(times["rtsp"]), 2)}
	return nil
}

func (b *benchmark) firstDetection(ctx context.Context, source string) (took time.Duration, err error) {
	m := b.o.model
	args := []string{"detect", source, "--format", "jsonl", "--engine", m.engine, "--device", m.device,
		"--workers", strconv.Itoa(m.workers), "--threads", strconv.Itoa(m.threads)}
	if m.name != "" {
		args = append(args, "--model", m.name)
	}
	ctx, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	took = time.Since(began)
	cancel()
	_ = cmd.Wait() // it was told to stop
	if err != nil {
		return 0, errors.New("it gave no detection; try vedette detect " + source)
	}
	return took, nil
}

// memoryFPS is slow, so that any machine keeps up with decoding many 1080p
// cameras.
const memoryFPS = 5

// memory measures the memory of 1080p cameras, which the rings' pictures make.
func (b *benchmark) memory(ctx context.Context) error {
	if !b.o.has("memory") {
		return nil
	}
	path := filepath.Join(b.dir, "1080p.mp4")
	if err := clip.WriteFile(ctx, path, clip.Spec{Width: 1920, Height: 1080, FPS: memoryFPS, Frames: 4 * memoryFPS}); err != nil {
		return fmt.Errorf("make a 1080p clip: %w", err)
	}
	loop, err := endless(filepath.Join(b.dir, "1080p"), path)
	if err != nil {
		return err
	}
	for _, n := range b.o.streams {
		job := b.job(modePipeline, sourcesFor([]string{loop}, n))
		job.Live = true
		r, err := b.once(ctx, fmt.Sprintf("memory of %d 1080p cameras", n), job)
		if err != nil {
			return err
		}
		b.report.Memory = append(b.report.Memory, benchMemory{Cameras: n, MB: round(float64(r[0].Memory)/1e6, 1)})
	}
	return nil
}
