package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running daemon read the configuration anew, and say what changed",
		Long: `Has the running daemon read its configuration file anew. A file with mistakes is
refused, and the daemon keeps what it has. A good one touches only connectors whose
settings changed.

It exits with 1 if the file, or some of its settings, were refused.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.reload(c.Context()) },
	}
}

func (a *app) reload(ctx context.Context) error {
	client, err := a.client(config.ScopeConfigure)
	if err != nil {
		return err
	}
	if client == nil {
		return failed(errNoDaemon)
	}
	defer client.Close()
	r, err := client.Reload(ctx)
	if err != nil {
		return failed(err)
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		a.printReload(r)
	}
	if err == nil && (r.Error != "" || len(r.Refused) > 0) {
		return &exitError{code: exitFailed}
	}
	return err
}

func (o *output) printReload(r interapp.Reload) {
	if r.Error != "" {
		fmt.Fprintf(o.stdout, "refused, and the old configuration is kept:\n%s\n", r.Error)
		return
	}
	if len(r.Added)+len(r.Changed)+len(r.Removed) == 0 {
		fmt.Fprintln(o.stdout, "reloaded: nothing changed")
	}
	for _, part := range []struct {
		what  string
		names []string
	}{{"added", r.Added}, {"changed", r.Changed}, {"removed", r.Removed}} {
		if len(part.names) > 0 {
			fmt.Fprintf(o.stdout, "%s: %s\n", part.what, strings.Join(part.names, ", "))
		}
	}
	for _, refused := range r.Refused {
		fmt.Fprintf(o.stdout, "refused: %s\n", refused)
	}
}
