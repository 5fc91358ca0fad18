package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

func (a *app) retryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry NAME [PATH…]",
		Short: "Release quarantined files: the named ones, or all",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return a.retry(c.Context(), args[0], args[1:]) },
	}
}

func (a *app) retry(ctx context.Context, name string, paths []string) error {
	by, err := a.reachLedger(ctx, config.ScopeApply, name)
	if err != nil {
		return err
	}
	defer by.close()
	reply, err := by.Retry(ctx, name, paths)
	if err != nil {
		return failed(err)
	}
	return a.printReleased(reply)
}

func (o *output) printReleased(reply interapp.RetryReply) error {
	if o.json {
		return o.printJSON(reply)
	}
	for _, p := range reply.Released {
		fmt.Fprintf(o.stdout, "released %s\n", shown(p))
	}
	if len(reply.Released) == 0 {
		fmt.Fprintln(o.stdout, "no quarantined file matches")
	}
	return nil
}
