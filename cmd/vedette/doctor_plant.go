package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/cv"
	"github.com/vedette-io/vedette/internal/strictyaml"
	"github.com/vedette-io/vedette/pipeline"
)

const (
	// doctorBusPatience is how long a NATS server gets to answer.
	doctorBusPatience = 10 * time.Second
	// doctorAtOnce is how many cameras are looked at at a time.
	doctorAtOnce = 4
	// leastSpace is how much must be free for a store at all.
	leastSpace = 100 << 20
)

// plant looks at everything that a configuration names.
func (d *doctor) plant(ctx context.Context, file string) error {
	ch := newChecker(ctx, d.g, true)
	ch.also = nil // what it looks at is looked at here, one by one
	c, err := ch.read(file)
	var problems strictyaml.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			d.wrong("configuration", "%v", p)
		}
		d.note("configuration", "what it names is looked at once it is right")
		return nil
	case err != nil:
		return err
	}
	cfg, err := pipeline.FromConfig(c, ch.model)
	if err != nil {
		return &usageError{err}
	}
	d.good("configuration", "%s: %s, %s", file, count(len(c.Cameras), "camera"), count(len(c.Models), "model"))
	if c.Bus.URL == "" {
		d.store(c)
		if c.Bus.Listen != "" {
			d.listener("bus", c.Bus.Listen, "bus.listen")
		}
		if c.Bus.Leafs != "" {
			d.listener("leaf nodes", c.Bus.Leafs, "bus.leafs")
		}
		if c.Bus.Hub.URL != "" {
			d.hub(ctx, cfg)
		}
	} else {
		d.server(ctx, cfg)
	}
	if c.HTTP.Listen != "" {
		d.listener("http", c.HTTP.Listen, "http.listen")
	}
	d.models(ch, c)
	d.cameras(ctx, cfg)
	return ctx.Err()
}

// store looks at the folder of the server inside the program.
func (d *doctor) store(c configs.Config) {
	path := c.Bus.Store
	if path == "" {
		d.note("store", "a temporary one: results are gone when the program ends; set bus.store to keep them")
		return
	}
	r, err := bus.InspectStore(path)
	who := ""
	if r.Owner != "" {
		who = fmt.Sprintf("; it is %s's: run vedette as that user, or change the owner", r.Owner)
	}
	switch {
	case err != nil:
		d.wrong("store", "%s cannot be used: %v%s choose another bus.store", path, err, storeRemedy(err, who))
		return
	case r.Holder != "":
		d.note("store", "%s is in use by the process %s: by the plant that runs, or stop it, or choose another bus.store", path, r.Holder)
	case !r.Exists:
		d.good("store", "%s is not there yet and can be made", path)
	default:
		d.good("store", "%s can be written, %s are in it", path, humanize.IBytes(uint64(r.Used)))
	}
	if who != "" {
		d.note("store", "%s%s", path, who)
	}
	d.space(c, r)
}

// storeRemedy is what to do about a store that cannot be used, before the last resort
// of another place.
func storeRemedy(err error, who string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": make room there, or"
	case errors.Is(err, syscall.EROFS):
		return ": mount it for writing, or"
	case who != "":
		return who + ", or"
	case errors.Is(err, fs.ErrPermission):
		return ": let this user write there, or"
	}
	return ":"
}

// space compares what is free with what may still be stored.
func (d *doctor) space(c configs.Config, r bus.StoreReport) {
	more := max(int64(min(c.Retention.Detections.Bytes, c.Bus.MaxStore))-r.Used, 0)
	have, need := humanize.IBytes(uint64(r.Free)), humanize.IBytes(uint64(more))
	switch {
	case r.Free < leastSpace:
		d.wrong("space", "%s are free for the store: make room, or choose another bus.store", have)
	case r.Free < more:
		d.note("space", "%s are free, and the limits allow %s more: lower retention or bus.max_store, or make room; a full disk stops storing, not watching", have, need)
	default:
		d.good("space", "%s are free, the limits allow %s more", have, need)
	}
}

// server looks at a NATS server.
func (d *doctor) server(ctx context.Context, cfg pipeline.Config) {
	within, cancel := context.WithTimeout(ctx, doctorBusPatience)
	defer cancel()
	b, err := bus.Start(within, cfg.Bus, d.g.log)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the NATS server does not answer within %v: check bus.url", doctorBusPatience)
		}
		d.wrong("bus", "%v", err)
		return
	}
	defer b.Close()
	d.good("bus", "%s is there and takes the login", b.Address())
	used, most, err := b.StoreUse(within)
	switch {
	case err != nil:
		d.wrong("JetStream", "%v", err)
	case most > 0 && cfg.Limits.Bytes > most:
		d.wrong("JetStream", "this login may store %s, and retention.detections asks for %s: lower that, or raise the account's limit", humanize.IBytes(uint64(most)), humanize.IBytes(uint64(cfg.Limits.Bytes)))
	case most > 0:
		d.good("JetStream", "%s of %s used", humanize.IBytes(uint64(used)), humanize.IBytes(uint64(most)))
	default:
		d.good("JetStream", "%s used", humanize.IBytes(uint64(used)))
	}
	for _, m := range cfg.Models {
		if m.Loaded == nil {
			continue
		}
		in := m.Loaded.Manifest.Input
		const header = 4 << 10 // of a request
		if need := int64(in.Width*in.Height*in.Channels()) + header; need > b.MaxPayload() {
			d.wrong("bus", "the server takes messages of %s, and a picture for the model %s has %s: raise max_payload in the server's configuration to 8MB",
				humanize.IBytes(uint64(b.MaxPayload())), m.Name, humanize.IBytes(uint64(need)))
		}
	}
	if cfg.Bus.HasHub() {
		if err := b.HubAnswers(within); err != nil {
			d.wrong("hub", "%v", err)
		} else {
			d.good("hub", "its JetStream answers in the domain %s", cfg.Bus.Hub.Domain)
		}
	}
	d.instances(within, b)
}

// hub looks at the plant's server, of which this host's is a leaf node.
func (d *doctor) hub(ctx context.Context, cfg pipeline.Config) {
	within, cancel := context.WithTimeout(ctx, doctorBusPatience)
	defer cancel()
	r, err := bus.InspectHub(within, cfg.Bus, d.g.log)
	if err != nil {
		d.wrong("hub", "%v", err)
		return
	}
	version := ""
	if r.Version != "" {
		version = " (NATS " + r.Version + ")"
	}
	of := ""
	if r.Most > 0 {
		of = " of " + humanize.IBytes(uint64(r.Most))
	}
	d.good("hub", "it is there%s, takes the login, and its JetStream answers in the domain %s; %s%s used", version, r.Domain, humanize.IBytes(uint64(r.Used)), of)
}

// instances says who is on the bus.
func (d *doctor) instances(ctx context.Context, b *bus.Bus) {
	stats, err := b.ServiceStats(ctx, statusWait)
	if err != nil {
		d.note("plant", "who is there cannot be asked: %v", err)
		return
	}
	var who []string
	for _, s := range stats {
		who = append(who, s.Metadata["stage"]+" on "+s.Metadata["host"])
	}
	if len(who) == 0 {
		d.note("plant", "nobody is there yet: start vedette run, or ingest, preprocess and infer")
		return
	}
	d.good("plant", "there are %s", strings.Join(who, ", "))
}

// models loads each model into its engine.
func (d *doctor) models(ch *checker, c configs.Config) {
	for _, m := range c.Models {
		if ch.ctx.Err() != nil {
			return
		}
		run, err := ch.tryModel(m)
		switch {
		case err != nil:
			d.wrong("model", "%v", err)
		case run.fallback != "":
			d.note("model", "%s runs with %s, and not on an accelerator: %s", m.Name, run, run.fallback)
		default:
			d.good("model", "%s runs with %s", m.Name, run)
		}
	}
}

// cameras looks at each camera, several at a time, and tells in their order.
func (d *doctor) cameras(ctx context.Context, cfg pipeline.Config) {
	if _, err := cv.Version(); err != nil {
		for _, c := range cfg.Cameras {
			if err := c.Ingest.Source.Check(); err != nil {
				d.wrong("camera", "%s: %v", c.Ingest.ID, err)
			}
		}
		d.note("cameras", "%v, so they cannot be looked at", err)
		return
	}
	type seen struct {
		*glance
		err error
	}
	found := make([]chan seen, len(cfg.Cameras))
	for i := range found {
		found[i] = make(chan seen, 1)
	}
	var group errgroup.Group
	group.SetLimit(doctorAtOnce)
	go func() {
		for i, c := range cfg.Cameras {
			group.Go(func() error {
				l, err := glanceAt(ctx, d.g, c.Ingest)
				found[i] <- seen{l, err}
				return nil
			})
		}
	}()
	for i, c := range cfg.Cameras {
		s := <-found[i]
		if ctx.Err() != nil {
			continue // stopped: nothing that is said now would be true
		}
		if s.err != nil {
			d.wrong("camera", "%s: %v", c.Ingest.ID, s.err)
			continue
		}
		rate := ""
		if r := s.rate(); r > 0 {
			rate = fmt.Sprintf(", %.1f frames a second", r)
		}
		d.good("camera", "%s: %d×%d%s, the first after %v", c.Ingest.ID, s.width, s.height, rate, s.firstDelay.Round(time.Millisecond))
		for _, t := range s.troubles(c.Ingest.Source) {
			d.note("camera", "%s: %s", c.Ingest.ID, t)
		}
		if s.unreadable != "" {
			d.wrong("camera", "%s: some pictures cannot be read: %s", c.Ingest.ID, s.unreadable)
		}
	}
}
