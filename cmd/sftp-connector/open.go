package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
)

// openCommand is the verb open.
func (a *app) openCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "open",
		Short: "Print a link that signs a browser in to the running daemon's pages, once",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.open(cmd.Context()) },
	}
}

func (a *app) open(ctx context.Context) error {
	client, err := a.client(config.ScopeConfigure)
	if err != nil {
		return err
	}
	if client == nil {
		return failed(errNoDaemon)
	}
	defer client.Close()
	link, err := client.SignInLink(ctx)
	if err != nil {
		return failed(err)
	}
	if a.json {
		return a.printJSON(link)
	}
	_, err = fmt.Fprintln(a.stdout, link.URL)
	return err
}
