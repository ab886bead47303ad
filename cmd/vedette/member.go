package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/supervise"
)

// stageJob is what the supervisor gives to a stage, by pipe: nothing of it is seen
// in arguments or environment.
type stageJob struct {
	// Config is the configuration to begin with: what the process before it went by.
	Config []byte
	// Bus is how to reach the bus; nil: as the configuration says.
	Bus *bus.Config
	// Metrics says whether they are to be served, to the supervisor.
	Metrics bool
}

// commandReload has a stage read its configuration again.
const commandReload = "reload"

// member is a stage's part in a supervised plant. Its zero value is a stage that
// nobody supervises.
type member struct {
	supervised bool
	parent     *supervise.Parent
	bus        *bus.Config   // in place of the configuration's
	asked      chan struct{} // to read the configuration again
	done       bool          // the work came to its end
}

func supervisedFlag(cmd *cobra.Command, on *bool) {
	const name = "supervised"
	cmd.Flags().BoolVar(on, name, false, "take the job from a supervisor by pipe")
	// It cannot fail: the flag was just made.
	_ = cmd.Flags().MarkHidden(name)
}

// runStage runs a stage, of a supervised plant or for itself.
func runStage(cmd *cobra.Command, g *globals, o *runOptions) error {
	ctx := cmd.Context()
	if !o.supervised {
		if err := o.openConfig(cmd, g); err != nil || ctx.Err() != nil {
			return err
		}
		return runPipeline(ctx, g, o)
	}
	var job stageJob
	parent, err := supervise.Join(&job)
	if err != nil {
		return usagef("--supervised is for vedette run --processes: %w", err)
	}
	o.parent, o.first, o.bus, o.asked = parent, job.Config, job.Bus, make(chan struct{}, 1)
	if job.Metrics {
		o.http = "127.0.0.1:0"
	}
	if err := o.openConfig(cmd, g); err != nil {
		return err
	}
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	go func() {
		parent.Obey(func(command string) {
			if command != commandReload {
				return
			}
			select {
			case o.asked <- struct{}{}:
			default: // it is about to
			}
		})
		gone() // the supervisor is
	}()
	return o.end(ctx, runPipeline(ctx, g, o))
}

// openConfig takes the flags that say where the configuration is.
func (o *runOptions) openConfig(cmd *cobra.Command, g *globals) (err error) {
	o.bus, err = o.open(cmd, g, o.bus)
	if ctx := cmd.Context(); ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // it was stopped
	}
	return err
}

// up tells the supervisor that the stage is at work.
func (m *member) up(metrics string) {
	if m.parent != nil {
		_ = m.parent.Report(supervise.Report{Up: true, Address: metrics}) // else it is gone
	}
}

// took tells the supervisor what configuration the stage goes by from now on.
func (m *member) took(text []byte) {
	if m.parent != nil {
		_ = m.parent.Report(supervise.Report{Config: text})
	}
}

// end tells the supervisor why the stage ends. What it was told it tells the user.
func (m *member) end(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		err = nil // it was stopped
	}
	var usage *usageError
	end := supervise.End{Done: m.done, Fatal: errors.As(err, &usage)}
	if err != nil {
		end.Error = strings.TrimSpace(err.Error())
	}
	if failed := m.parent.Report(supervise.Report{End: &end}); failed != nil || err == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errReported, err)
}
