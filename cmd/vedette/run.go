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
		Use:     "run -c FILE",
		Short:   "runs a whole pipeline on this machine",
		Example: `  vedette run -c configs/surveillance.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPipeline(cmd.Context(), g, &o)
		},
	}
	configFlag(cmd, &o.file)
	hostFlag(cmd, &o.host)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file")
	// It cannot fail: the flag was just made.
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

func runPipeline(ctx context.Context, g *globals, o *runOptions) error {
	c, cfg, err := loadConfig(o)
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
	var web sync.WaitGroup
	webCtx, stopWeb := context.WithCancel(ctx)
	defer stopWeb()
	if listen != "" {
		mux := http.NewServeMux()
		obs.Register(mux, metrics, p.Ready, g.log)
		srv, err := obs.Listen(listen, mux, g.log)
		if err != nil {
			return errors.Join(&usageError{err}, p.Close())
		}
		web.Go(func() {
			if err := srv.Run(webCtx); err != nil {
				g.log.Error("web server", "error", err)
			}
		})
		tell("metrics and health on http://%s", srv.Addr())
	}
	if a := p.Bus().Address(); a != "" {
		tell("NATS on %s; see what is published: vedette watch --server %s", a, a)
	}
	if cfg.Bus.URL == "" && cfg.Bus.Store == "" && cfg.Bus.Listen != "" {
		tell("status and reload need the operator's key: --nkey %s", p.Bus().KeyFile(bus.Operator))
	}
	if cfg.Bus.Exposed() {
		tell("other machines log in with a key: give %s to services that subscribe, and %s to operators", p.Bus().KeyFile(bus.Subscriber), p.Bus().KeyFile(bus.Operator))
	}
	if cfg.Bus.Leafs != "" {
		tell("servers of camera hosts log in with a key: give %s to them, as bus.hub.nkey", p.Bus().KeyFile(bus.Leaf))
	}
	stopReloads, err := listenReloads(ctx, g, o, p)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	err = p.Run(ctx)
	stopWeb()
	web.Wait()
	if o.stages == (pipeline.Stages{}) {
		g.summary(p.Status(), times)
	}
	return errors.Join(err, stopReloads(), p.Close())
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
