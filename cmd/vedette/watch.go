package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
)

func newWatch(g *globals) *cobra.Command {
	var (
		server        serverFlags
		since, format string
		filter        client.Filter
	)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "prints the detections that are published",
		Example: `  vedette watch --camera gate --label person
  vedette watch --since 1h --format jsonl > yesterday.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := newPrinter(cmd.OutOrStdout(), format)
			if err != nil {
				return err
			}
			if filter.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			for flag, id := range map[string]string{"camera": filter.Camera, "model": filter.Model} {
				if err := vedette.CheckID(id); id != "" && err != nil {
					return usagef("--%s: %w", flag, err)
				}
			}
			c, err := server.client(cmd, g.log)
			if err != nil {
				return err
			}
			defer c.Close()
			return server.refused(cmd.Name(), watchDetections(cmd.Context(), c, filter, out))
		},
	}
	server.register(cmd, bus.Subscriber)
	f := cmd.Flags()
	f.StringVar(&filter.Camera, "camera", "", "only this camera")
	f.StringVar(&filter.Model, "model", "", "only this model")
	f.StringVar(&filter.Label, "label", "", "only detections with this label")
	f.StringVar(&since, "since", "", "start in the past: 10m, 24h, or a time such as 2026-11-24T08:00:00Z")
	f.StringVar(&format, "format", "text", "text or jsonl (messages as they were published)")
	return cmd
}

func watchDetections(ctx context.Context, c *client.Client, filter client.Filter, out *printer) error {
	var some atomic.Bool
	quiet := explainSilence(ctx, c, filter, &some)
	err := c.Detections(ctx, filter, func(m client.Message) error {
		some.Store(true)
		if m.Missed {
			fmt.Fprintf(os.Stderr, "vedette: camera %s: detections before seq %d are missing\n", m.Camera, m.Seq)
		}
		return out.print(m.Detection, m.Raw)
	})
	quiet()
	switch {
	case ctx.Err() != nil, errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return nil // Ctrl-C, or the reader of a pipe has seen enough
	}
	return err
}

// parseSince reads a time span back from now, or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, usagef("--since %q: want a time span such as 10m or 24h, or a time such as 2026-11-24T08:00:00Z", text)
}
