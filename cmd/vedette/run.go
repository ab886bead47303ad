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

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/models"
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

func newCheck(_ *globals) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "validates a configuration and its models without starting anything",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, err := loadConfig(&runOptions{file: file})
			if err != nil {
				return err
			}
			if err := checkSources(file, cfg); err != nil {
				return err
			}
			if err := cfg.Bus.CheckFiles(); err != nil {
				return usagef("%s: %w", file, err)
			}
			if cfg.Bus.Exposed() && cfg.Bus.Cert == "" {
				tell("note: bus.listen can be reached from other machines without TLS: give bus.cert and bus.key")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %d cameras, %d models\n", file, len(cfg.Cameras), len(cfg.Models))
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// checkSources looks whether files and devices are there. It is for check
// alone: a pipeline that runs does not stop for one camera.
func checkSources(file string, cfg pipeline.Config) error {
	var errs []error
	for _, c := range cfg.Cameras {
		if err := c.Ingest.Source.Check(); err != nil {
			errs = append(errs, usagef("%s: camera %s: %w", file, c.Ingest.ID, err))
		}
	}
	return errors.Join(errs...)
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file")
	// It cannot fail: the flag was just made.
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// loadConfig reads a configuration and its models.
func loadConfig(o *runOptions) (configs.Config, pipeline.Config, error) {
	file := o.file
	c, err := readConfig(file)
	if err != nil {
		return c, pipeline.Config{}, err
	}
	cfg, err := pipeline.FromConfig(c, func(m configs.Model) (*models.Model, error) {
		name := m.File
		if name == "" {
			name = m.Name
		}
		if o.stages == (pipeline.Stages{Ingest: true}) {
			return nil, nil // pictures are taken without a model
		}
		loaded, err := loadModel(name)
		if m.File == "" && errors.Is(err, models.ErrNotFound) && o.stages != (pipeline.Stages{}) {
			return nil, nil // it comes over the bus
		}
		if err != nil {
			return nil, usagef("%s: models: %s: %w", file, m.Name, err)
		}
		return loaded, nil
	})
	var usage *usageError
	if err != nil && !errors.As(err, &usage) {
		err = &usageError{err}
	}
	if err != nil {
		return c, cfg, err
	}
	return c, cfg, errors.Join(o.apply(&cfg), checkDetect(file, cfg))
}

// checkDetect compares what the cameras ask for with what the models can do.
func checkDetect(file string, cfg pipeline.Config) error {
	loaded := map[string]*models.Model{}
	for _, m := range cfg.Models {
		if m.Loaded != nil { // else it comes over the bus
			loaded[m.Loaded.Manifest.Name] = m.Loaded
		}
	}
	var errs []error
	for _, camera := range cfg.Cameras {
		for _, d := range camera.Owner.Detect {
			m := loaded[d.Model]
			if m == nil {
				continue
			}
			if err := knowsLabels(m, d.Labels); err != nil {
				errs = append(errs, usagef("%s: camera %s: %w", file, camera.Ingest.ID, err))
			}
		}
	}
	return errors.Join(errs...)
}

func readConfig(file string) (configs.Config, error) {
	if file == "" {
		return configs.Config{}, usagef("-c FILE is needed; configs/ has examples")
	}
	c, err := configs.Load(file, configs.Options{Source: func(s string) error {
		_, err := ingest.ParseSource(s)
		return err
	}})
	if err != nil {
		return c, &usageError{err}
	}
	return c, nil
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
	metrics := obs.New(version)
	p, err := pipeline.Start(ctx, cfg, pipeline.Deps{Log: g.log, Version: version, Metrics: metrics, State: g.logState})
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
	stopReloads, err := listenReloads(ctx, g, o, p)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	err = p.Run(ctx)
	stopWeb()
	web.Wait()
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
