package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// statusWait is how long instances get to answer.
const statusWait = time.Second

func newStatus(g *globals) *cobra.Command {
	var (
		server serverFlags
		format string
		again  time.Duration
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "shows the running plant: cameras, accounts, rates, latency, models, streams",
		Long: `Asks every instance on the bus what it does, and the NATS server what is stored. Of each
camera and model it shows the account of frames: those captured are those inferred and those
that were not, by reason. Rates and latencies (capture to published) are of the last ten
seconds.`,
		Example: `  vedette status
  vedette status --watch 2s
  vedette status --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			if again < 0 || (again > 0 && again < 100*time.Millisecond) {
				return usagef("--watch %v: want at least 100ms", again)
			}
			b, err := server.bus(cmd, g.log)
			if err != nil {
				return err
			}
			defer b.Close()
			if again > 0 {
				return server.refused(cmd.Name(), watchStatus(cmd.Context(), cmd.OutOrStdout(), b, format, again))
			}
			return server.refused(cmd.Name(), showStatus(cmd.Context(), cmd.OutOrStdout(), b, format))
		},
	}
	server.register(cmd, bus.Operator)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().DurationVar(&again, "watch", 0, "show it again and again, after this time")
	return cmd
}

// plantStatus is everything that status shows; it is what --format json writes.
type plantStatus struct {
	Server    string            `json:"server"`
	Time      vedette.Time      `json:"time"`
	Instances []bus.ServiceStat `json:"instances"`
	Streams   []bus.StreamStat  `json:"streams"`
	Store     storeUse          `json:"store"`
	// StoreError says why there is nothing about streams and store.
	StoreError string `json:"store_error,omitempty"`

	said []pipeline.Status // by the instances
}

// storeUse is what is stored, in bytes; MaxBytes 0: nothing bounds it.
type storeUse struct {
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
}

// askPlant gathers what instances and server say.
func askPlant(ctx context.Context, b *bus.Bus) (*plantStatus, error) {
	stats, err := b.ServiceStats(ctx, statusWait)
	if err != nil {
		return nil, err
	}
	if len(stats) == 0 {
		return nil, fmt.Errorf("no vedette answers on %s: is it running, with the same prefix?", b.Address())
	}
	p := &plantStatus{Server: b.Address(), Time: vedette.At(time.Now()), Instances: stats, Streams: []bus.StreamStat{}}
	for _, stat := range stats {
		var s pipeline.Status
		if err := json.Unmarshal(stat.Data, &s); err != nil {
			return nil, fmt.Errorf("status of %s: %w", stat.ID, err)
		}
		p.said = append(p.said, s)
		if s.Store != nil {
			p.Store.MaxBytes = s.Store.MaxBytes
		}
	}
	streams, err := b.Streams(ctx)
	if err == nil {
		p.Streams = append(p.Streams, streams...)
		var most int64
		p.Store.Bytes, most, err = b.StoreUse(ctx)
		if p.Store.MaxBytes == 0 {
			p.Store.MaxBytes = most
		}
	}
	if err != nil {
		p.StoreError = err.Error()
	}
	return p, nil
}

func showStatus(ctx context.Context, w io.Writer, b *bus.Bus, format string) error {
	p, err := askPlant(ctx, b)
	if err != nil {
		return err
	}
	if format == "json" {
		return writeJSON(w, p)
	}
	return p.write(w)
}

// watchStatus shows the status again and again until it is stopped.
func watchStatus(ctx context.Context, w io.Writer, b *bus.Bus, format string, pause time.Duration) error {
	clear := ""
	if format == "text" && term.IsTerminal(int(os.Stdout.Fd())) {
		clear = "\x1b[H\x1b[2J"
	}
	for first := true; ; first = false {
		p, err := askPlant(ctx, b)
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C
		case err != nil && first:
			return err
		}
		if _, wrong := io.WriteString(w, clear); wrong != nil {
			return wrong
		}
		switch {
		case err != nil: // it may come back
			fmt.Fprintln(os.Stderr, "vedette:", err)
		case format == "json":
			err = writeJSON(w, p)
		default:
			if !first && clear == "" {
				fmt.Fprintln(w)
			}
			err = p.write(w)
		}
		if err != nil && p != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}
