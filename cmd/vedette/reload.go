package main

import (
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

// reloadTimeout bounds how long a removed camera's last results are waited for.
const reloadTimeout = 10 * time.Second

// reloadAnswer is what an instance says to a reload.
type reloadAnswer struct {
	Stage    string           `json:"stage"`
	Instance string           `json:"instance"`
	Changes  pipeline.Changes `json:"changes"`
	Error    string           `json:"error,omitempty"`
}

func newReload(g *globals) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "has the running plant read its configuration again",
		Long: `Asks every instance on the bus to read its own configuration file again: cameras that were
added start, those that were removed stop, changed ones start anew, and the others go on
undisturbed. A file that is wrong, or changes what needs a restart (the models, the bus),
changes nothing. The signal SIGHUP does the same for one process.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := server.bus(cmd, g.log)
			if err != nil {
				return err
			}
			defer b.Close()
			return server.refused(cmd.Name(), askReload(cmd, b))
		},
	}
	server.register(cmd, bus.Operator)
	return cmd
}

func askReload(cmd *cobra.Command, b *bus.Bus) error {
	stats, err := b.ServiceStats(cmd.Context(), statusWait)
	if err != nil {
		return err
	}
	if len(stats) == 0 {
		return fmt.Errorf("no vedette answers on %s: is it running, with the same prefix?", b.Address())
	}
	answers, err := b.AskAll(cmd.Context(), b.Subjects().Reload(), nil, len(stats), reloadTimeout+statusWait)
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
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s\n", a.Stage, a.Instance, a)
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
	var reading sync.Mutex
	reload := func() reloadAnswer {
		reading.Lock()
		defer reading.Unlock()
		s := p.Status()
		a := reloadAnswer{Stage: s.Stage, Instance: s.Instance}
		_, cfg, err := loadConfig(o)
		if err == nil {
			within, cancel := context.WithTimeout(ctx, reloadTimeout)
			defer cancel()
			if a.Changes, err = p.Reconfigure(within, cfg); err == nil {
				o.took(o.last)
			}
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
		return a
	}
	unsubscribe, err := p.Bus().AnswerAll(p.Bus().Subjects().Reload(), func([]byte) []byte {
		data, err := json.Marshal(reload())
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
	stopped.Go(func() {
		for {
			select {
			case <-hangups:
				reload()
			case <-o.asked: // by the supervisor
				reload()
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
