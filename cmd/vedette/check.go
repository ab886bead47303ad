package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/strictyaml"
	"github.com/vedette-io/vedette/pipeline"
)

func newCheck(g *globals) *cobra.Command {
	var (
		file  string
		quick bool
	)
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "validates a configuration, its models and its sources without starting anything",
		Long: `Reads a configuration and everything that it names, and says all that is wrong with it, each
problem as file:line:column: key: what is wrong and what is allowed. Each model is loaded into
its engine, on its device, and run once; cameras are not asked, nor is a NATS server: see
vedette doctor -c FILE. It needs no OpenCV. Exit code 2 when something is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheck(cmd, g, file, quick)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&quick, "quick", false, "do not load the models into their engines")
	return cmd
}

func runCheck(cmd *cobra.Command, g *globals, file string, quick bool) error {
	ch := newChecker(cmd.Context(), g, quick)
	c, err := ch.read(file)
	if ctxErr := cmd.Context().Err(); ctxErr != nil {
		return ctxErr
	}
	var problems strictyaml.Problems
	if errors.As(err, &problems) { // bare, so that an editor finds the place
		fmt.Fprintln(cmd.ErrOrStderr(), problems)
		return &usageError{errReported}
	}
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s is valid: %s, %s\n", file, count(len(c.Cameras), "camera"), count(len(c.Models), "model"))
	for _, m := range c.Models {
		if r, ok := ch.runs[m.Name]; ok {
			fmt.Fprintf(w, "model %s runs with %s\n", m.Name, r)
		}
	}
	if b := pipeline.BusConfig(c.Bus); b.Exposed() && b.Cert == "" {
		tell("note: bus.listen can be reached from other machines without TLS: give bus.cert and bus.key")
	}
	if ch.idle != "" {
		tell("note: %s", ch.idle)
	}
	if ch.noModels {
		tellDefaultModel(file+" lists no models", "list yolox-nano under models")
	}
	return nil
}

// count is a number with its noun: 1 camera, 2 cameras.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// checker is a configReader that looks also at what a pipeline meets only when
// it runs: sources, files of the bus, engines and devices.
type checker struct {
	configReader
	ctx     context.Context
	g       *globals
	engines map[string]infer.Engine
	runs    map[string]modelRun // of the models that were loaded into an engine
}

// modelRun is how a model runs here.
type modelRun struct {
	engine, device string
	fallback       string // why an accelerator is not used; empty otherwise
}

func (r modelRun) String() string { return r.engine + " on " + r.device }

func newChecker(ctx context.Context, g *globals, quick bool) *checker {
	ch := &checker{ctx: ctx, g: g, engines: map[string]infer.Engine{}, runs: map[string]modelRun{}}
	ch.also = func(c *configs.Config, r configs.Report) {
		checkSources(c, r)
		checkFiles(c, r)
		if !quick {
			ch.checkEngines(c, r)
		}
	}
	return ch
}

// checkSources looks whether files and devices are there. It is for check
// alone: a pipeline that runs does not stop for one camera.
func checkSources(c *configs.Config, r configs.Report) {
	for i, camera := range c.Cameras {
		path := fmt.Sprintf("cameras[%d].source", i)
		if r.Failed(path) {
			continue
		}
		src, err := ingest.ParseSource(camera.Source)
		if err == nil {
			err = src.Check()
		}
		if err != nil {
			r.Bad(path, "%v", err)
		}
	}
}

// checkFiles looks whether the files for the NATS server can be read.
func checkFiles(c *configs.Config, r configs.Report) {
	if r.Failed("bus") {
		return
	}
	unread := false
	for _, f := range []struct{ key, file string }{
		{"nkey", c.Bus.NKey}, {"creds", c.Bus.Creds}, {"ca", c.Bus.CA}, {"cert", c.Bus.Cert}, {"key", c.Bus.Key},
		{"hub.nkey", c.Bus.Hub.NKey}, {"hub.creds", c.Bus.Hub.Creds}, {"hub.ca", c.Bus.Hub.CA}, {"hub.cert", c.Bus.Hub.Cert}, {"hub.key", c.Bus.Hub.Key},
	} {
		path := "bus." + f.key
		if f.file == "" || r.Failed(path) {
			continue
		}
		if _, err := os.ReadFile(f.file); err != nil {
			r.Bad(path, "the file cannot be read: %v%s", fileerr.Cause(err), r.Got(path))
			unread = true
		}
	}
	if unread {
		return
	}
	if err := pipeline.BusConfig(c.Bus).CheckFiles(); err != nil { // what is in them
		reportEach(r, "bus", err)
	}
}

// checkEngines loads each model into its engine and runs it.
func (ch *checker) checkEngines(c *configs.Config, r configs.Report) {
	for i, m := range c.Models {
		path := fmt.Sprintf("models[%d]", i)
		if ch.loaded[m.Name] == nil || r.Failed(path+".engine") || r.Failed(path+".device") || ch.ctx.Err() != nil {
			continue
		}
		if _, done := ch.runs[m.Name]; done {
			continue
		}
		run, err := ch.tryModel(m)
		if err != nil {
			reportEach(r, modelKey(path, m, err), err)
			continue
		}
		ch.runs[m.Name] = run
	}
}

// tryModel runs a model as the infer stage would, with one worker.
func (ch *checker) tryModel(m configs.Model) (modelRun, error) {
	name := string(m.Engine)
	eng := ch.engines[name]
	if eng == nil {
		var err error
		if eng, err = infer.Open(name, ch.g.log); err != nil {
			return modelRun{}, err
		}
		ch.engines[name] = eng
	}
	return tryModel(ch.ctx, ch.g, eng, pipeline.Model{Loaded: ch.loaded[m.Name], Engine: name, Device: m.Device, Workers: 1, Threads: m.Threads})
}

// tryModel loads a model and runs it once, as its first worker does.
func tryModel(ctx context.Context, g *globals, eng infer.Engine, m pipeline.Model) (modelRun, error) {
	served, err := pipeline.Serve(ctx, eng, m, g.log, nil)
	if err != nil {
		return modelRun{}, err
	}
	ref := served.Pool.Ref()
	return modelRun{ref.Engine, ref.Device, served.Fallback}, served.Close()
}
