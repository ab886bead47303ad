package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// fromBus is the FILE of a configuration that is taken from the bus.
const fromBus = "nats:"

// Times of a configuration on the bus.
const (
	// awaitPause is how often it is looked for while there is none.
	awaitPause = time.Second
	// followPause is how often it is looked whether there is another one.
	followPause = 2 * time.Second
	// arrival bounds how long one that was announced may take to be seen.
	arrival = 2 * time.Second
)

// origin is where a process has its configuration from: a file, or the bus.
type origin struct {
	// file is the file's name, or what the configuration on the bus is called, and
	// named what the user wrote.
	file, named string
	// first is the configuration to begin with, if it is not to be read, and last
	// the one that was read last.
	first, last []byte
	server      serverFlags // how to reach the bus, if it is from there
	from        *bus.Bus    // which has it; nil: it is a file's
	seen        time.Time   // when the last one was put there
	revision    uint64      // and its number
}

// register adds the flags for a configuration that is on the bus.
func (o *origin) register(cmd *cobra.Command, role bus.Role) {
	configFlag(cmd, &o.named)
	cmd.Flags().Lookup("config").Usage = `configuration file, or "` + fromBus + `" for what "vedette reload FILE" put on the bus`
	o.server.registerAccess(cmd, role)
	for _, name := range accessFlags() {
		f := cmd.Flags().Lookup(name)
		f.Usage = "with -c " + fromBus + ": " + f.Usage
	}
}

// open takes the flags. A configuration on the bus is waited for.
func (o *origin) open(cmd *cobra.Command, g *globals, job *bus.Config) (access *bus.Config, err error) {
	ctx := cmd.Context()
	o.file = o.named
	if o.named != fromBus {
		for _, name := range accessFlags() {
			if cmd.Flags().Changed(name) {
				return nil, usagef("--%s is for -c %s: the bus of %s is in the file", name, fromBus, o.named)
			}
		}
		return job, nil
	}
	if job != nil { // the supervisor gives both
		o.file = bus.ConfigurationName(job.Prefix)
		return job, nil
	}
	b, err := o.server.bus(cmd, g.log)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	found := o.server.cfg
	o.file = bus.ConfigurationName(found.Prefix)
	c, err := o.await(ctx, b)
	if err != nil {
		return nil, o.server.refused(cmd.Name(), err)
	}
	o.first, o.seen, o.revision = c.Text, c.At, c.Revision
	found.Role = "" // the pipeline knows
	return &found, nil
}

// await waits until the bus has a configuration.
func (o *origin) await(ctx context.Context, b *bus.Bus) (*bus.Configuration, error) {
	for waiting := false; ; waiting = true {
		c, err := b.Configuration(ctx)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, bus.ErrDenied):
			return nil, err
		case !waiting && errors.Is(err, bus.ErrNoConfiguration):
			tell("there is no configuration on %s yet (%s): waiting until somebody gives one with vedette reload FILE", b.Address(), o.file)
		case !waiting:
			tell("%v: waiting", err)
		}
		select {
		case <-time.After(awaitPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// overBus reports whether the configuration is on the bus, so that it may name files
// that are on other hosts.
func (o *origin) overBus() bool { return o.named == fromBus }

// read is the text of the configuration.
func (o *origin) read(ctx context.Context) ([]byte, error) {
	if first := o.first; first != nil {
		o.first = nil
		return first, nil
	}
	if !o.overBus() {
		return readConfig(o.file)
	}
	if o.from == nil {
		return nil, fmt.Errorf("%s: the bus is not there yet", o.file)
	}
	c, err := o.from.Configuration(ctx)
	if err != nil {
		return nil, err
	}
	o.seen, o.revision = c.At, c.Revision
	return c.Text, nil
}

// onBus takes the bus of this process, which has the configuration if it is not a
// file's.
func (o *origin) onBus(b *bus.Bus) {
	if o.overBus() {
		o.from = b
	}
}

// newer reports whether the bus has another configuration than the one read last.
func (o *origin) newer(ctx context.Context) bool {
	if o.from == nil {
		return false
	}
	c, err := o.from.Configuration(ctx)
	if err != nil || !c.At.After(o.seen) {
		return false
	}
	if bytes.Equal(c.Text, o.last) {
		o.seen = c.At
		return false
	}
	return true
}

// arrived waits until the bus shows a revision that was announced: another server of
// a cluster may be a moment behind.
func (o *origin) arrived(ctx context.Context, revision uint64) {
	if o.from == nil || revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for {
		c, err := o.from.Configuration(ctx)
		if err == nil && c.Revision >= revision {
			return
		}
		select {
		case <-time.After(arrival / 40):
		case <-ctx.Done():
			return
		}
	}
}

// ticks is when to look whether the bus has another configuration; nil: never.
func (o *origin) ticks() (c <-chan time.Time, stop func()) {
	if o.from == nil {
		return nil, func() {}
	}
	t := time.NewTicker(followPause)
	return t.C, t.Stop
}

// env is the environment of a configuration. Who only runs models needs no
// variable of a camera.
func (o *runOptions) env() func(string) (string, bool) {
	if !o.overBus() || o.stages != (pipeline.Stages{Infer: true}) {
		return nil
	}
	return func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		return "unset", true
	}
}
