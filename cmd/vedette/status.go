package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/pipeline"
)

// statusWait is how long instances get to answer.
const statusWait = time.Second

func newStatus(g *globals) *cobra.Command {
	var (
		server serverFlags
		format string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "shows the running plant: cameras, accounts, models, bus",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			b, err := server.bus(cmd, g.log)
			if err != nil {
				return err
			}
			defer b.Close()
			stats, err := b.ServiceStats(cmd.Context(), statusWait)
			if err != nil {
				return server.refused(cmd.Name(), err)
			}
			if len(stats) == 0 {
				return fmt.Errorf("no vedette answers on %s: is it running, with the same prefix?", b.Address())
			}
			if format == "json" {
				return writeJSON(cmd.OutOrStdout(), stats)
			}
			return writeStatus(cmd.OutOrStdout(), stats)
		},
	}
	server.register(cmd, bus.Operator)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func writeStatus(w io.Writer, stats []bus.ServiceStat) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, stat := range stats {
		var s pipeline.Status
		if err := json.Unmarshal(stat.Data, &s); err != nil {
			return fmt.Errorf("status of %s: %w", stat.ID, err)
		}
		if i > 0 {
			fmt.Fprintln(t)
		}
		health := "ok"
		if s.Degraded {
			health = "DEGRADED: detections are published but not stored"
		}
		fmt.Fprintf(t, "%s %s on %s, site %s, up %s, %s\n", stat.Metadata["stage"], cmp.Or(s.Instance, stat.ID), s.Host, cmp.Or(s.Site, "-"),
			time.Since(s.Started.Time).Round(time.Second), health)
		for _, m := range s.Models {
			fmt.Fprintf(t, "model %s  %s on %s, %d workers, batches of %v, sha256 %.12s…%s\n",
				m.Name, m.Engine, m.Device, m.Workers, m.Batches, m.SHA256, troubleOf(&m))
		}
		if len(s.Cameras) == 0 {
			continue
		}
		fmt.Fprintln(t, "CAMERA\tSTATE\tMODEL\tCAPTURED\tINFERRED\tGATED\tUNFIT\tFAILED\tEXPIRED\tIN FLIGHT\tDROPPED\tSOURCE GAP")
		for _, c := range s.Cameras {
			writeCamera(t, c)
		}
	}
	return t.Flush()
}

// troubleOf is what the line of a model adds when something is wrong with it.
func troubleOf(m *pipeline.ModelStatus) string {
	out := ""
	if why := m.Trouble(); why != "" {
		out = ", " + strings.ToUpper(why[:1]) + why[1:]
	}
	if m.Failures > 0 {
		out += fmt.Sprintf(" (%d runs failed, %d of them cut off, %d hung; loaded anew %d times)", m.Failures, m.CutOff, m.GivenUp, m.Reloads)
	}
	return out
}

func writeCamera(w io.Writer, c pipeline.CameraStatus) {
	state := cmp.Or(c.Phase, "-")
	if c.Reason != "" {
		state += ": " + c.Reason
	}
	if c.Reconnects > 0 {
		state += fmt.Sprintf(" (%d reconnects)", c.Reconnects)
	}
	for _, model := range slices.Sorted(maps.Keys(c.Degraded)) {
		state += "; degraded: model " + model + " is out"
	}
	if len(c.Accounts) == 0 { // its owner is another instance
		fmt.Fprintf(w, "%s\t%s%s\n", c.ID, state, strings.Repeat("\t-", 10))
	}
	for _, model := range slices.Sorted(maps.Keys(c.Accounts)) {
		a := c.Accounts[model]
		var drops []string
		for _, reason := range slices.Sorted(maps.Keys(a.Dropped)) {
			drops = append(drops, fmt.Sprintf("%s %d", reason, a.Dropped[reason]))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\n", c.ID, state, model, a.Captured, a.Inferred,
			a.Gated, a.Unfit, a.Failed, a.Expired, a.InFlight, cmp.Or(strings.Join(drops, ", "), "-"), a.SourceGap)
	}
}
