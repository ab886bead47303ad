package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/internal/supervise"
	"github.com/vedette-io/vedette/pipeline"
)

// processes says that the stages are processes of their own, and how many run the
// models.
type processes struct {
	apart bool
	infer int
}

func (p *processes) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.apart, "processes", false, "run the stages as processes of their own, each started again if it dies")
	cmd.Flags().IntVar(&p.infer, "infer-processes", 1, "with --processes: how many processes run the models, each with the workers of the configuration")
}

// mostInfer is far more processes than a machine has use for.
const mostInfer = 64

func (p *processes) check(cmd *cobra.Command) error {
	switch {
	case !p.apart && cmd.Flags().Changed("infer-processes"):
		return usagef("--infer-processes needs --processes")
	case p.infer < 1 || p.infer > mostInfer:
		return usagef("--infer-processes %d: want 1 to %d", p.infer, mostInfer)
	}
	return nil
}

// household is a plant whose stages are processes of this one, which has the NATS
// server, if it is inside the program, and keeps them running.
type household struct {
	g   *globals
	o   *runOptions
	cfg pipeline.Config // as it was at the start
	bus *bus.Bus
	*supervise.Supervisor
	status func() pipeline.Status

	mu    sync.Mutex
	texts map[string][]byte // what each process goes by
}

// runProcesses is runPipeline with the stages as processes of their own.
func runProcesses(ctx context.Context, g *globals, o *runOptions) (err error) {
	c, cfg, err := loadConfig(ctx, o)
	if err != nil {
		return err
	}
	if err := canCapture(o.command); err != nil {
		return err
	}
	h := &household{g: g, o: o, cfg: cfg, texts: map[string][]byte{}}
	access := cfg.Bus
	if access.URL == "" {
		if access.CA != "" {
			return usagef("%s: bus.ca asks every program for a certificate, and the stages have none: leave it out, run without --processes, or give bus.url", o.file)
		}
		if access.Listen == "" { // the stages have to reach it
			access.Listen = "127.0.0.1:0"
		}
	}
	if h.bus, err = bus.Start(ctx, access, g.log); err != nil {
		return startError(ctx, err)
	}
	defer func() { err = errors.Join(err, h.bus.Close()) }()
	o.onBus(h.bus)
	metrics := obs.New(version)
	h.Supervisor = supervise.New(supervise.Config{
		Processes: h.members(access, c.HTTP.Listen != ""), Command: stageCommand, Log: g.log, Tell: tell, Heard: h.heard,
		Changed: h.watch(obs.NewProcesses(metrics)),
	})
	address, stopWeb, err := g.serveWeb(ctx, c.HTTP.Listen, func(mux *http.ServeMux) {
		obs.RegisterAll(mux, metrics, h.sources, h.Ready, g.log)
	})
	if err != nil {
		return err
	}
	defer stopWeb()
	if address != "" {
		tell("metrics and health of all processes on http://%s", address)
	}
	tellBus(h.bus, cfg.Bus)
	status, stopStatus, err := pipeline.AnnounceSupervisor(h.bus, cfg, version, h.Supervisor.Status)
	if err != nil {
		return err
	}
	h.status = status
	stopReloads, err := h.listenReloads(ctx)
	if err != nil {
		return errors.Join(err, stopStatus())
	}
	err = h.Run(ctx)
	var ended *supervise.EndedError
	if errors.As(err, &ended) && ended.Fatal {
		err = &usageError{err}
	}
	return errors.Join(err, stopReloads(), stopStatus())
}

// stageCommand starts this program again. /proc/self/exe stays right when the file
// was replaced by a newer version meanwhile.
func stageCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0], cmd.Stderr = "vedette", os.Stderr
	return cmd
}

// members are the processes, in the order of their stop: what is captured still
// leaves its account, and owners outlive what they wait for.
func (h *household) members(access bus.Config, metrics bool) []supervise.Process {
	member := func(name, stage string, turn int) supervise.Process {
		h.texts[name] = h.o.last
		args := []string{stage, "--supervised", "-c", h.o.named, "--log-level", h.g.logLevel, "--log-format", h.g.logFormat}
		if h.o.host != "" {
			args = append(args, "--host", h.o.host)
		}
		return supervise.Process{Name: name, Args: args, Turn: turn, Job: func() any {
			job := stageJob{Config: h.text(name), Metrics: metrics}
			if access.URL == "" || h.o.overBus() {
				login := h.bus.ForProcess(access, bus.Stage)
				job.Bus = &login
			}
			return job
		}}
	}
	all := []supervise.Process{member("ingest", "ingest", 0), member("preprocess", "preprocess", 1)}
	for i := range h.o.infer {
		name := "infer"
		if h.o.infer > 1 {
			name = fmt.Sprintf("infer-%d", i+1)
		}
		all = append(all, member(name, "infer", 2))
	}
	return all
}

func (h *household) text(name string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.texts[name]
}

func (h *household) setText(name string, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts[name] = text
}

// heard keeps what a process goes by, for the one that may have to take its place:
// the file may be wrong by then.
func (h *household) heard(name string, r supervise.Report) {
	if r.Config != nil {
		h.setText(name, r.Config)
	}
}

// watch brings the processes into the metrics.
func (h *household) watch(m *obs.Processes) func(supervise.Status) {
	return func(s supervise.Status) { m.Process(s.Name, s.State == supervise.Up, s.Restarts) }
}

// sources are where the processes show their metrics.
func (h *household) sources() map[string]string {
	at := map[string]string{}
	for _, s := range h.Supervisor.Status() {
		if s.Address != "" {
			at[s.Name] = s.Address
		}
	}
	return at
}

// reload looks at the configuration for the processes that are not at work, which
// begin with it. The others are asked, and answer, for themselves.
func (h *household) reload(ctx context.Context) (reloadAnswer, error) {
	s := h.status()
	a := reloadAnswer{Stage: s.Stage, Instance: s.Instance, From: h.o.file}
	_, cfg, err := loadConfig(ctx, h.o)
	if err == nil {
		err = h.cfg.SameBase(cfg)
	}
	if err != nil {
		a.Error = err.Error()
		return a, err
	}
	for _, p := range s.Processes {
		if p.State != supervise.Up {
			h.setText(p.Name, h.o.last)
		}
	}
	return a, nil
}

// listenReloads takes what somebody on the bus or a signal asks for.
func (h *household) listenReloads(ctx context.Context) (stop func() error, err error) {
	var reading sync.Mutex
	unsubscribe, err := h.bus.AnswerAll(h.bus.Subjects().Reload(), func(body []byte) []byte {
		reading.Lock()
		defer reading.Unlock()
		h.o.arrived(ctx, announced(body))
		a, _ := h.reload(ctx) // its error is in the answer, and told by whoever asked
		data, err := json.Marshal(a)
		if err != nil {
			h.g.log.Error("answer not written", "error", err)
		}
		return data
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	hangups, stopped := make(chan os.Signal, 1), sync.WaitGroup{}
	signal.Notify(hangups, syscall.SIGHUP)
	// With a configuration on the bus every process looks for itself.
	look := func(asked bool) {
		reading.Lock()
		defer reading.Unlock()
		if !asked && !h.o.newer(ctx) {
			return
		}
		switch a, err := h.reload(ctx); {
		case err != nil && asked: // then nobody need look at it
			tell("%s read again: %s", h.o.file, a)
		case asked:
			h.Command(commandReload)
		}
	}
	stopped.Go(func() {
		ticks, stopTicks := h.o.ticks()
		defer stopTicks()
		for {
			select {
			case <-hangups:
				look(true)
			case <-ticks:
				look(false)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() error {
		signal.Stop(hangups)
		cancel()
		stopped.Wait()
		return unsubscribe()
	}, nil
}
