package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
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
	reply, err := a.release(ctx, name, paths)
	if err != nil {
		return err
	}
	return a.printReleased(reply)
}

func (a *app) printReleased(reply interapp.RetryReply) error {
	if a.json {
		return a.printJSON(reply)
	}
	for _, p := range reply.Released {
		fmt.Fprintf(a.stdout, "released %s\n", shown(p))
	}
	if len(reply.Released) == 0 {
		fmt.Fprintln(a.stdout, "no quarantined file matches")
	}
	return nil
}

// release changes the ledger, which a running daemon reads anew in each pass.
func (a *app) release(ctx context.Context, name string, paths []string) (interapp.RetryReply, error) {
	if a.server != "" {
		client, err := a.client(config.ScopeApply)
		if err != nil {
			return interapp.RetryReply{}, err
		}
		if _, err := namesAt(ctx, client, []string{name}); err != nil {
			return interapp.RetryReply{}, err
		}
		reply, err := client.Retry(ctx, name, paths)
		return reply, failed(err)
	}
	w, _, err := a.workshop(ctx, []string{name}, connector.Parts{})
	if err != nil {
		return interapp.RetryReply{}, err
	}
	defer w.close()
	e, err := w.set.Get(name)
	if err != nil {
		return interapp.RetryReply{}, failed(err)
	}
	released, err := e.Retry(ctx, paths)
	return interapp.RetryReply{Connector: name, Released: released}, failed(err)
}
