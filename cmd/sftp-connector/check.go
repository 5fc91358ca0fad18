package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [NAME…]",
		Short: "Try the connection stage by stage, and say what to do about the one that fails",
		RunE:  func(c *cobra.Command, names []string) error { return a.check(c.Context(), names) },
	}
}

func (a *app) check(ctx context.Context, names []string) error {
	everything := len(names) == 0
	// Without --server it is in this process, so that it tries the configuration as it stands.
	at := a.own
	if a.server != "" {
		at = func(ctx context.Context, names []string, parts connector.Parts) (*api, []string, error) {
			return a.reach(ctx, config.ScopeApply, names, parts)
		}
	}
	by, names, err := at(ctx, names, connector.Parts{})
	if err != nil {
		return err
	}
	defer by.close()
	checks := make([]interapp.Check, 0, len(names))
	valid := true
	for _, name := range names {
		c, err := by.Check(ctx, name)
		if err != nil {
			return failed(err)
		}
		if by.inside != nil && c.ConnectionStatus == string(status.ConnectionValid) {
			a.liftHold(ctx, name)
		}
		valid = valid && c.ConnectionStatus == string(status.ConnectionValid)
		checks = append(checks, c)
		if !a.json {
			a.printCheck(c)
		}
	}
	if everything {
		spaces, err := a.checkSpaces(ctx)
		if err != nil {
			return err
		}
		for _, c := range spaces {
			valid = valid && fine(c)
			checks = append(checks, c)
			if !a.json {
				a.printCheck(c)
			}
		}
	}
	if a.json {
		var document any = checks
		if len(checks) == 1 {
			document = checks[0]
		}
		if err := a.printJSON(document); err != nil {
			return err
		}
	}
	if !valid {
		return &exitError{code: exitFailed}
	}
	return nil
}

// liftHold has a daemon that runs and holds a connector back, as its server refused the
// login, try that again: it is right now, unless the daemon has another configuration.
func (a *app) liftHold(ctx context.Context, name string) {
	client, err := a.client(config.ScopeApply)
	if err != nil || client == nil {
		return
	}
	c, err := client.Connector(ctx, name)
	if err != nil || c.HeldUntil == nil {
		return
	}
	switch c, err := client.Check(ctx, name); {
	case err != nil:
		fmt.Fprintf(a.stderr, "sftp-connector: the daemon holds %s back, and was not asked to try again: %v\n", name, err)
	case c.ConnectionStatus != string(status.ConnectionValid):
		fmt.Fprintf(a.stderr, "sftp-connector: the daemon still finds %s: if you changed the configuration, send it SIGHUP\n", c.ConnectionStatus)
	}
}

func (o *output) printCheck(c interapp.Check) {
	fmt.Fprintf(o.stdout, "%s: %s\n", c.Connector, c.ConnectionStatus)
	t := o.table("  STAGE", "RESULT", "TIME", "DETAIL")
	for _, s := range c.Stages {
		result := "ok"
		if !s.OK {
			result = "FAILED"
		}
		t.row("  "+s.Stage, result, fmt.Sprintf("%d ms", s.MS), s.Detail)
	}
	t.flush()
	if c.Hint != "" {
		fmt.Fprintf(o.stdout, "  %s\n", c.Hint)
	}
	if c.Paused != nil {
		o.printPause("  "+c.Connector, *c.Paused)
	}
}
