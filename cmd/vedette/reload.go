package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// reloadTimeout bounds how long a change may take: models are fetched, loaded and
// warmed, and a removed camera's last results are waited for.
const reloadTimeout = 3 * time.Minute

// reloadAnswer is what an instance says to a reload.
type reloadAnswer struct {
	Stage    string           `json:"stage"`
	Instance string           `json:"instance"`
	Changes  pipeline.Changes `json:"changes"`
	Error    string           `json:"error,omitempty"`
	// From is what the instance read.
	From string `json:"from,omitempty"`
}

// reloadRequest asks for a reload.
type reloadRequest struct {
	// Revision is that of the configuration on the bus that was just put there; 0:
	// none was.
	Revision uint64 `json:"revision,omitempty"`
}

// announced is the revision that a request names.
func announced(body []byte) uint64 {
	var r reloadRequest
	_ = json.Unmarshal(body, &r) // one of an older version is empty
	return r.Revision
}

func newReload(g *globals) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use:   "reload [FILE]",
		Short: "has the running plant read its configuration again, or gives it one",
		Long: `Asks every instance on the bus to read its own configuration again: cameras that were
added start, those that were removed stop, changed ones start anew, and the others go on
undisturbed. A model that was added or changed is loaded and warmed beside the one at
work, which answers until then; no frame of a lossless camera is lost. A file that is
wrong, names a model that cannot be used, or changes what needs a restart (the site, the
bus, retention), changes nothing. The signal SIGHUP does the same for one process.

With FILE it first checks that configuration and puts it on the bus, for the instances
that were started with "-c nats:". Variables (${NAME}) are put there as they are: each
instance looks them up in its own environment. Models that it names are put there, too,
where they are on this machine. Without -c and --server, FILE says which bus.`,
		Example: `  vedette reload
  vedette reload plant.yaml --server nats://plant-1:4222 --nkey operator.nk`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p *publication
			if len(args) > 0 {
				var err error
				if p, err = newPublication(args[0]); err != nil {
					return err
				}
				if server.file == "" && !cmd.Flags().Changed("server") {
					server.file = args[0]
				}
			}
			b, err := server.bus(cmd, g.log)
			if err != nil {
				return err
			}
			defer b.Close()
			revision, err := p.put(cmd.Context(), b)
			if err == nil {
				err = askReload(cmd, b, revision)
			}
			return server.refused(cmd.Name(), err)
		},
	}
	server.register(cmd, bus.Operator)
	return cmd
}

// askReload has every instance read its configuration again. revision is that of
// the one which was just put on the bus; 0: none was.
func askReload(cmd *cobra.Command, b *bus.Bus, revision uint64) error {
	stats, err := b.ServiceStats(cmd.Context(), statusWait)
	if err != nil {
		return err
	}
	if len(stats) == 0 && revision > 0 {
		tell("nobody is there to take it yet")
		return nil
	}
	if len(stats) == 0 {
		return fmt.Errorf("no vedette answers on %s: is it running, with the same prefix?", b.Address())
	}
	body, err := json.Marshal(reloadRequest{Revision: revision})
	if err != nil {
		return err
	}
	waiting := time.AfterFunc(5*time.Second, func() {
		tell("waiting: who loads a model answers when it is warm, within %v", reloadTimeout)
	})
	defer waiting.Stop()
	answers, err := b.AskAll(cmd.Context(), b.Subjects().Reload(), body, len(stats), reloadTimeout+statusWait)
	if err != nil {
		return err
	}
	bad := len(stats) - len(answers)
	for _, data := range answers {
		var a reloadAnswer
		if err := json.Unmarshal(data, &a); err != nil {
			return fmt.Errorf("answer not understood: %w", err)
		}
		if a.Error != "" {
			bad++
		}
		aside := ""
		if revision > 0 && !strings.HasPrefix(a.From, fromBus) {
			aside = fmt.Sprintf(" (it reads %s, not the bus)", cmp.Or(a.From, "a file of its own"))
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s%s\n", a.Stage, a.Instance, a, aside)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d instances did not take the configuration", bad, len(stats))
	}
	return nil
}

func (a reloadAnswer) String() string {
	var parts []string
	for _, p := range []struct {
		what string
		ids  []string
	}{{"added", a.Changes.Added}, {"removed", a.Changes.Removed}, {"changed", a.Changes.Changed}} {
		if len(p.ids) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.ids, ", "))
		}
	}
	for _, m := range a.Changes.Models {
		s := m.What + " model " + m.Name
		if m.Waits {
			s += " (used as soon as somebody serves it)"
		}
		parts = append(parts, s)
	}
	switch {
	case a.Error != "":
		parts = append(parts, strings.ReplaceAll(a.Error, "\n", "; "))
	case len(parts) == 0:
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}

// listenReloads reads the configuration again when somebody on the bus or a
// signal asks for it. stop waits for one under way.
func listenReloads(ctx context.Context, g *globals, o *runOptions, p *pipeline.Pipeline) (stop func() error, err error) {
	var (
		reading sync.Mutex
		a       reloadAnswer // to the last reload, of this revision
		read    uint64
	)
	reload := func() { // with reading held
		s := p.Status()
		a = reloadAnswer{Stage: s.Stage, Instance: s.Instance, From: o.file}
		_, cfg, err := loadConfig(ctx, o)
		if err == nil {
			within, cancel := context.WithTimeout(ctx, reloadTimeout)
			defer cancel()
			if a.Changes, err = p.Reconfigure(within, cfg); err == nil {
				o.took(o.last)
			}
			err = o.place(err)
		}
		if err != nil {
			a.Error = err.Error()
			g.log.Error("configuration not taken", "error", err)
		}
		if o.parent != nil {
			tell("%s: %s read again: %s", a.Stage, o.file, a)
		} else {
			tell("%s read again: %s", o.file, a)
		}
		read = o.revision
	}
	unsubscribe, err := p.Bus().AnswerAll(p.Bus().Subjects().Reload(), func(body []byte) []byte {
		reading.Lock()
		defer reading.Unlock()
		want := announced(body)
		o.arrived(ctx, want)
		if want == 0 || read < want { // else it was seen before somebody asked
			reload()
		}
		data, err := json.Marshal(a)
		if err != nil {
			g.log.Error("answer not written", "error", err)
		}
		return data
	})
	if err != nil {
		return nil, err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done, stopped := make(chan struct{}), sync.WaitGroup{}
	look := func(asked bool) {
		reading.Lock()
		defer reading.Unlock()
		if asked || o.newer(ctx) {
			reload()
		}
	}
	stopped.Go(func() {
		ticks, stopTicks := o.ticks()
		defer stopTicks()
		for {
			select {
			case <-hangups:
				look(true)
			case <-o.asked: // by the supervisor
				look(true)
			case <-ticks:
				look(false)
			case <-done:
				return
			}
		}
	})
	return func() error {
		signal.Stop(hangups)
		close(done)
		stopped.Wait()
		return unsubscribe()
	}, nil
}
