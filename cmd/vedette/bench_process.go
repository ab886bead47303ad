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
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bench"
)

// runBenchWorkers starts a process for each job, lets them measure at the same
// time, and gathers their results.
func runBenchWorkers(ctx context.Context, jobs []benchJob, env ...string) ([]benchResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]*benchProcess, len(jobs))
	results := make([]benchResult, len(jobs))
	for i := range jobs {
		p, err := startBenchProcess(ctx, &jobs[i], env...)
		if err != nil {
			return nil, err
		}
		defer p.stop(cancel)
		workers[i] = p
	}
	for _, p := range workers {
		if err := p.isReady(); err != nil {
			return nil, err
		}
	}
	for _, p := range workers {
		if err := p.tell("go\n"); err != nil {
			return nil, err
		}
	}
	for i, p := range workers {
		if err := p.result(&results[i]); err != nil {
			return nil, err
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

func startBenchProcess(ctx context.Context, job *benchJob, env ...string) (*benchProcess, error) {
	line, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	p := &benchProcess{cmd: exec.CommandContext(ctx, "/proc/self/exe", "bench", "worker"), mode: job.Mode}
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = append(os.Environ(), env...)
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

// isReady waits until the worker could begin.
func (p *benchProcess) isReady() error {
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		return p.failed(err)
	}
	return nil
}

func (p *benchProcess) tell(line string) error {
	if _, err := io.WriteString(p.in, line); err != nil {
		return p.failed(err)
	}
	return nil
}

func (p *benchProcess) result(r *benchResult) error {
	if err := json.NewDecoder(p.out).Decode(r); err != nil {
		return p.failed(err)
	}
	return nil
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

// benchGuard is a process that ends paused workers when bench is killed: they
// could not notice.
type benchGuard struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func startBenchGuard() (*benchGuard, error) {
	g := &benchGuard{cmd: exec.Command("/proc/self/exe", "bench", "guard")}
	var err error
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return g, g.cmd.Start()
}

// watch names a process to end.
func (g *benchGuard) watch(pid int) error {
	_, err := fmt.Fprintln(g.in, pid)
	return err
}

// close ends the guard: all is well.
func (g *benchGuard) close() error {
	_, err := io.WriteString(g.in, "well\n")
	return errors.Join(err, g.in.Close(), g.cmd.Wait())
}

func newBenchGuard() *cobra.Command {
	return &cobra.Command{
		Use: "guard", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // bench stops first
			var workers, all []int
			lines := bufio.NewScanner(cmd.InOrStdin())
			for lines.Scan() {
				if lines.Text() == "well" {
					return nil
				}
				if pid, err := strconv.Atoi(lines.Text()); err == nil {
					workers = append(workers, pid)
				}
			}
			for _, pid := range workers {
				all = append(all, bench.Family(pid)...)
			}
			return bench.Kill(all)
		},
	}
}
