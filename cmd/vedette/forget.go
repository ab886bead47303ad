package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
)

func newForget(g *globals) *cobra.Command {
	var server serverFlags
	cmd := &cobra.Command{
		Use:   "forget HOST",
		Short: "lets others have the cameras of a host of a hub that is gone for good",
		Long: `A host that is a leaf node of a hub goes on while it is cut off, so that its silence does not
free its cameras. When it is gone for good, say so here, at the hub: its cameras can be given to
another host then, and the hub does not ask it for results any more. Those that the hub has stay.
Should the host come back all the same, it takes its cameras again if nobody else has them.`,
		Example: "  vedette forget east --server nats://hub:4222 --nkey operator.nk",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := vedette.CheckID(args[0]); err != nil {
				return usagef("HOST: %w", err)
			}
			b, err := server.bus(cmd, g.log)
			if err != nil {
				return err
			}
			defer b.Close()
			return server.refused(cmd.Name(), forget(cmd.Context(), cmd, b, args[0]))
		},
	}
	server.register(cmd, bus.Operator)
	return cmd
}

// presence is how long a host gets to show that it is there: a busy one must not
// be taken for one that is gone.
const presence = 3 * statusWait

func forget(ctx context.Context, cmd *cobra.Command, b *bus.Bus, host string) error {
	stats, err := b.ServiceStats(ctx, presence)
	if err != nil {
		return err
	}
	for _, s := range stats {
		if s.Metadata["host"] == host {
			return fmt.Errorf("the host %s is there: %s answers: stop it, or take the cameras out of its configuration", host, s.Metadata["stage"])
		}
	}
	keys, err := b.ForgetHost(ctx, host)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "the host %s had no cameras\n", host)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "the host %s has no cameras any more; free are %s\n", host, strings.Join(keys, ", "))
	return nil
}
