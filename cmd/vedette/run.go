package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/pipeline"
)

func newRun(g *globals) *cobra.Command {
	o := runOptions{command: "run"}
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "runs a whole pipeline on this machine",
		Long: `Runs every stage, and the NATS server unless bus.url names one. With --processes the
stages are processes of their own: this one has the server and the pages for metrics and
health, starts a stage again that dies, with pauses that grow to ten seconds, and stops
all at Ctrl-C. None of them outlives it. The stages have to reach the server: with an
empty bus.listen it takes a free port of 127.0.0.1.

It runs until Ctrl-C. Where all sources are files or pictures it ends with the last of them,
and the server inside it with it: what was found is kept in bus.store, but "vedette watch
--since 24h" reads it only while a server runs on that store. Keep one for that: name your
own in bus.url, or run another configuration on the same store with a source that does not
end. Started again, a source that came to its end is read from its beginning, with a new
epoch; one that was interrupted goes on behind its last stored result where its delivery is
every, and starts over where it is latest.

With "-c nats:" the configuration is on a NATS server of its own, which --server names:
"vedette reload FILE" puts it there, and changes of it are followed.`,
		Example: `  vedette run -c configs/surveillance.yaml
  vedette run -c configs/surveillance.yaml --processes --infer-processes 2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.processes.check(cmd); err != nil {
				return err
			}
			if err := o.openConfig(cmd, g); err != nil || cmd.Context().Err() != nil {
				return err
			}
			if o.apart {
				return runProcesses(cmd.Context(), g, &o)
			}
			return runPipeline(cmd.Context(), g, &o)
		},
	}
	o.origin.register(cmd, bus.Stage)
	hostFlag(cmd, &o.host)
	o.processes.register(cmd)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file")
	// It cannot fail: the flag was just made.
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

func runPipeline(ctx context.Context, g *globals, o *runOptions) error {
	c, cfg, err := loadConfig(ctx, o)
	if err != nil {
		return err
	}
	if o.stages != (pipeline.Stages{Infer: true}) {
		if err := canCapture(o.command); err != nil {
			return err
		}
	}
	listen := c.HTTP.Listen
	if o.stages != (pipeline.Stages{}) {
		listen = o.http
	}
	metrics, times := obs.New(version), newRunTimes()
	state := func(s ingest.State) {
		times.state(s)
		g.logState(s)
	}
	p, err := pipeline.Start(ctx, cfg, pipeline.Deps{Log: g.log, Version: version, Metrics: metrics, State: state})
	if err != nil {
		return startError(ctx, err)
	}
	o.onBus(p.Bus())
	address, stopWeb, err := g.serveWeb(ctx, listen, func(mux *http.ServeMux) { obs.Register(mux, metrics, p.Ready, g.log) })
	if err != nil {
		return errors.Join(err, p.Close())
	}
	defer stopWeb()
	if o.parent == nil {
		if address != "" {
			tell("metrics and health on http://%s", address)
		}
		tellBus(p.Bus(), cfg.Bus)
	}
	if cfg.Bus.Leafs != "" {
		tell("servers of camera hosts log in with a key: give %s to them, as bus.hub.nkey", p.Bus().KeyFile(bus.Leaf))
	}
	stopReloads, err := listenReloads(ctx, g, o, p)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	o.up(address)
	err = p.Run(ctx)
	o.done = o.stages.Ingest && ctx.Err() == nil
	stopWeb()
	if o.stages == (pipeline.Stages{}) || (o.parent != nil && o.stages.Preprocess) {
		g.summary(p.Status(), times)
	}
	return errors.Join(err, stopReloads(), p.Close())
}

// serveWeb serves pages until stop is called; no address: none.
func (g *globals) serveWeb(ctx context.Context, listen string, pages func(*http.ServeMux)) (address string, stop func(), err error) {
	if listen == "" {
		return "", func() {}, nil
	}
	mux := http.NewServeMux()
	pages(mux)
	srv, err := obs.Listen(listen, mux, g.log)
	if err != nil {
		return "", nil, &usageError{err}
	}
	var web sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	web.Go(func() {
		if err := srv.Run(ctx); err != nil {
			g.log.Error("web server", "error", err)
		}
	})
	return srv.Addr(), func() { cancel(); web.Wait() }, nil
}

// tellBus says how others reach the bus.
func tellBus(b *bus.Bus, cfg bus.Config) {
	if a := b.Address(); a != "" {
		tell("NATS on %s; see what is published: vedette watch --server %s", a, a)
	}
	if cfg.URL == "" && cfg.Store == "" && cfg.Listen != "" {
		tell("status and reload need the operator's key: --nkey %s", b.KeyFile(bus.Operator))
	}
	if cfg.Exposed() {
		tell("other machines log in with a key: give %s to services that subscribe, and %s to operators", b.KeyFile(bus.Subscriber), b.KeyFile(bus.Operator))
	}
}

// tell is a line for the person at the terminal; results alone go to stdout.
func tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s vedette: %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// logState tells a person, or who reads the log, about changes of a camera.
func (g *globals) logState(s ingest.State) {
	if g.logFormat == "json" {
		level := slog.LevelInfo
		if s.Phase == ingest.Offline || s.Err != nil {
			level = slog.LevelWarn
		}
		g.log.Log(context.Background(), level, "camera changed", "camera", s.Camera, "phase", s.Phase, "reason", s.Reason)
		return
	}
	text := string(s.Phase)
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	tell("camera %s is %s", s.Camera, text)
}
