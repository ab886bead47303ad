//go:build cv

package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vedette-io/vedette/internal/bench"
)

// benchFigures is what is looked at of a report.
type benchFigures struct {
	Bus *struct {
		ReferenceCPU float64 `json:"reference_cpu_ms"`
		CPU          float64 `json:"cpu_ms"`
	}
	Streams []struct {
		Streams, Turns int
		LineFPS        float64 `json:"line_fps"`
		PipelineFPS    float64 `json:"pipeline_fps"`
		LineCPU        float64 `json:"line_cpu_ms"`
		PipelineCPU    float64 `json:"pipeline_cpu_ms"`
		CPURatio       float64 `json:"cpu_ratio"`
		Memory         float64 `json:"memory_mb"`
		Processes      int
	}
	Load  *struct{ Streams int }
	Glass []struct {
		CPUs, Frames int
		P50          float64 `json:"p50_ms"`
		P99          float64 `json:"p99_ms"`
	}
	Start *struct {
		File float64 `json:"file_s"`
		RTSP float64 `json:"rtsp_s"`
	}
	Recovery []struct {
		What    string
		Noticed float64 `json:"noticed_s"`
		Back    float64 `json:"back_s"`
	}
	Memory  []struct{ Cameras, MB float64 }
	Notes   []string
	Budgets []struct {
		What                string
		Value, Budget, Used float64
		Met                 bool
	}
}

// benchReport runs a part of bench. How good the figures are is not a test's
// business; that they are there and fit each other is.
func benchReport(t *testing.T, only string, budgets int) (f benchFigures) {
	t.Helper()
	library(t)
	o := run(t, "bench", "--quick", "--duration", "300ms", "--streams", "1,2", "--format", "json", "--only", only)
	if err := json.Unmarshal([]byte(o.stdout), &f); err != nil || o.code != 0 {
		t.Fatalf("%v; exit code %d\n%s\n%s", err, o.code, o.stdout, o.stderr)
	}
	if len(f.Budgets) != budgets {
		t.Errorf("%d budgets, want %d: %+v", len(f.Budgets), budgets, f.Budgets)
	}
	for _, b := range f.Budgets {
		over := b.Used > 1.005 // rounded to a hundredth
		if b.Value <= 0 || b.Budget <= 0 || (b.Met && over) {
			t.Errorf("%+v", b)
		}
	}
	if !strings.Contains(o.stderr, "measuring 1/") {
		t.Errorf("it did not say what it does:\n%s", o.stderr)
	}
	return f
}

func TestBenchThroughput(t *testing.T) {
	t.Parallel()
	f := benchReport(t, "bus,files", 5)
	if f.Bus == nil || f.Bus.ReferenceCPU <= 0 || f.Bus.CPU <= f.Bus.ReferenceCPU {
		t.Errorf("bus: %+v", f.Bus)
	}
	if len(f.Streams) != 2 {
		t.Fatalf("streams: %+v", f.Streams)
	}
	for i, s := range f.Streams {
		if s.Streams != i+1 || s.Turns != 2 || s.LineFPS <= 0 || s.PipelineFPS <= 0 || s.LineCPU <= 0 || s.PipelineCPU <= 0 ||
			s.CPURatio <= 0 || s.Memory <= 0 || s.Processes != s.Streams+1 {
			t.Errorf("%+v", s)
		}
	}
}

func TestBenchLoadAndMemory(t *testing.T) {
	t.Parallel()
	f := benchReport(t, "load,memory", 4)
	if f.Load == nil || f.Load.Streams < 1 || len(f.Memory) != 2 || f.Memory[1].MB <= f.Memory[0].MB {
		t.Errorf("load %+v, memory %+v", f.Load, f.Memory)
	}
}

func TestBenchGlassAndStart(t *testing.T) {
	t.Parallel()
	f := benchReport(t, "glass,start", 4)
	if len(f.Glass) != 2 || f.Glass[1].CPUs != 16 {
		t.Fatalf("glass: %+v; %v", f.Glass, f.Notes)
	}
	for _, g := range f.Glass {
		if g.Frames < 1 || g.P50 <= 0 || g.P99 < g.P50 {
			t.Errorf("%+v", g)
		}
	}
	if f.Start == nil || f.Start.File <= 0 || f.Start.RTSP <= 0 {
		t.Errorf("start: %+v", f.Start)
	}
}

func TestBenchRecovery(t *testing.T) {
	t.Parallel()
	f := benchReport(t, "recovery", 4)
	if len(f.Recovery) != 2 || f.Recovery[0].What != "killed" || f.Recovery[1].What != "frozen" {
		t.Fatalf("%+v", f.Recovery)
	}
	for _, r := range f.Recovery {
		if r.Noticed <= 0 || r.Back <= 0 {
			t.Errorf("%+v", r)
		}
	}
}

// startBench starts a comparison and waits until it says so.
func startBench(t *testing.T) (cmd *exec.Cmd, stdout, stderr *strings.Builder) {
	t.Helper()
	library(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, built, "bench", "--only", "files", "--streams", "2")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	stdout, stderr = &strings.Builder{}, &strings.Builder{}
	cmd.Stdout = stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, "measuring 1/1") {
		t.Fatalf("it says %q, %v", first, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = lines.WriteTo(stderr)
	}()
	t.Cleanup(func() { <-read })
	return cmd, stdout, stderr
}

// TestBenchInterrupted ends it before anything was measured: there is nothing
// to report.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	cmd, stdout, _ := startBench(t)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 {
		t.Errorf("%v, exit code %d, printed %q", err, cmd.ProcessState.ExitCode(), stdout)
	}
}

// TestBenchKilled leaves no worker behind, though one of them is always paused.
func TestBenchKilled(t *testing.T) {
	t.Parallel()
	cmd, _, _ := startBench(t)
	pid := cmd.Process.Pid
	soon(t, "workers, captures and the guard", func() bool { return len(bench.Family(pid)) >= 5 })
	family := bench.Family(pid)[1:]
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	soon(t, "an end of all of them", func() bool {
		return !slices.ContainsFunc(family, func(p int) bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
			return err == nil && !strings.Contains(string(stat), ") Z ") // nobody may wait for it
		})
	})
}

// soon waits for what must happen, for as long as a run may take.
func soon(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}
