package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// runOptions are the flags of run and of the stages as processes of their own.
type runOptions struct {
	command, host, http string
	cameras             []string
	stages              pipeline.Stages
	told                bool   // that the file lists no models
	idle                string // what was said of keys that have no effect
	// place says where the configuration that was read last names what an error is
	// about.
	place func(error) error
	origin
	processes
	member
}

func hostFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "host", "", "id of this host in subjects (default: the host's name)")
}

// apply brings the flags into a configuration.
func (o *runOptions) apply(cfg *pipeline.Config) error {
	cfg.Stages, cfg.Host = o.stages, o.host
	if o.bus != nil {
		cfg.Bus = *o.bus
	}
	if o.host != "" {
		if err := vedette.CheckID(o.host); err != nil {
			return usagef("--host: %w", err)
		}
	}
	if o.stages != (pipeline.Stages{}) && cfg.Bus.URL == "" {
		return usagef("%s: bus.url is needed: the stages of several processes meet on a NATS server", o.file)
	}
	if len(o.cameras) == 0 {
		return nil
	}
	var chosen []pipeline.Camera
	for _, id := range o.cameras {
		i := slices.IndexFunc(cfg.Cameras, func(c pipeline.Camera) bool { return c.Ingest.ID == id })
		if i < 0 {
			return usagef("--camera %s: %s has no such camera", id, o.file)
		}
		chosen = append(chosen, cfg.Cameras[i])
	}
	cfg.Others = slices.DeleteFunc(slices.Clone(cfg.Cameras), func(c pipeline.Camera) bool { return slices.Contains(o.cameras, c.Ingest.ID) })
	cfg.Cameras = chosen
	return nil
}

// newStage is the command for one stage in a process of its own.
func newStage(g *globals, stages pipeline.Stages, use, short, long string) *cobra.Command {
	o := runOptions{command: use, stages: stages}
	cmd := &cobra.Command{
		Use: use + " -c FILE", Short: short, Long: long, Args: cobra.NoArgs,
		Example: "  vedette " + use + " -c plant.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStage(cmd, g, &o)
		},
	}
	role := bus.Stage
	if stages == (pipeline.Stages{Infer: true}) {
		role = bus.Worker
	}
	o.origin.register(cmd, role)
	hostFlag(cmd, &o.host)
	supervisedFlag(cmd, &o.supervised)
	cmd.Flags().StringVar(&o.http, "http", "", "address for metrics and health, such as 127.0.0.1:8081 (default: none)")
	if stages.Ingest || stages.Preprocess {
		cmd.Flags().StringSliceVar(&o.cameras, "camera", nil, "only these cameras of the file (default: all)")
	}
	return cmd
}

const stagesTogether = `

The stages of a plant read the same configuration, whose bus.url names the NATS server where
they meet, and are started and stopped in any order. With "-c nats:" they take it from that
server, once "vedette reload FILE" has put it there, and follow its changes.`

func newIngest(g *globals) *cobra.Command {
	return newStage(g, pipeline.Stages{Ingest: true}, "ingest", "captures cameras, as a process of its own",
		`Captures from cameras and publishes references to the pictures, which stay in shared memory:
the preprocess stage has to run on the same host, as the same user. Where cameras are on
several hosts, say with --camera which are this one's.`+stagesTogether)
}

func newPreprocess(g *globals) *cobra.Command {
	return newStage(g, pipeline.Stages{Preprocess: true}, "preprocess", "owns cameras: tensors, order, accounts; as a process of its own",
		`Owns the cameras captured on this host: it decides which pictures are worth inferring, gives
them to the workers, publishes the results in order and keeps the account of every frame.
A camera has one owner; a second one is refused. Where cameras are on several hosts, say with
--camera which are this one's.`+stagesTogether)
}

func newInfer(g *globals) *cobra.Command {
	return newStage(g, pipeline.Stages{Infer: true}, "infer", "runs the models, as a process of its own, on any host",
		`Runs the models for whoever owns cameras on the bus. Several share the work; one can join or
leave at any time. It needs no OpenCV. A model that is not on this machine is fetched from the
bus and checked against its hash.`+stagesTogether)
}
