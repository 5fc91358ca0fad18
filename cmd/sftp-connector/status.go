package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show the running daemon's view of its connectors",
		RunE:  func(c *cobra.Command, names []string) error { return a.status(c.Context(), names) },
	}
}

func (a *app) status(ctx context.Context, names []string) error {
	client, err := a.client(config.ScopeRead)
	if err != nil {
		return err
	}
	if client == nil {
		return failed(errNoDaemon)
	}
	all, err := client.Connectors(ctx)
	if err != nil {
		return failed(err)
	}
	if len(names) > 0 {
		for _, name := range names {
			if !slices.ContainsFunc(all, func(c interapp.Connector) bool { return c.Name == name }) {
				return usage("the daemon has no connector %q", name)
			}
		}
		all = slices.DeleteFunc(all, func(c interapp.Connector) bool { return !slices.Contains(names, c.Name) })
	}
	if err := a.printStatus(all); err != nil {
		return err
	}
	if len(names) == 0 && !a.json {
		if spaces, err := client.Spaces(ctx); err == nil && len(spaces) > 0 { // a daemon that has none says so by an error
			fmt.Fprintf(a.stdout, "Spaces: %d, which 'sftp-connector space list' shows\n", len(spaces))
		}
	}
	if len(names) == 0 {
		var known []string
		for _, c := range all {
			known = append(known, c.Name)
		}
		if err := somethingToDeliver(ctx, client, known); err != nil {
			return err
		}
	}
	return statusCode(all)
}

func (o *output) printStatus(all []interapp.Connector) error {
	if o.json {
		if len(all) == 1 {
			return o.printJSON(all[0])
		}
		return o.printJSON(all)
	}
	t := o.table("CONNECTOR", "CONNECTION STATUS", "SINCE", "LAST PASS", "COPIED", "WAITING", "PROBLEMS", "NEXT PASS", "SKIPPED")
	for _, c := range all {
		last, copied, waiting, bad := "-", "-", "-", "-"
		if p := c.LastPass; p != nil {
			last = p.State + " " + stampOf(p.Finished)
			copied, waiting = fmt.Sprint(p.Files.Copied), fmt.Sprint(p.Files.Waiting)
			bad = fmt.Sprint(p.Files.Failed + p.Files.Conflict + p.Files.Quarantined + p.Files.Unsafe)
		}
		if c.Running != nil {
			last = "running since " + stamp(c.Running.Started)
		}
		next := stampOf(c.NextPass)
		if c.HeldUntil != nil {
			next = "held until " + stampOf(c.HeldUntil)
		}
		if c.Paused != nil {
			next = "none: paused"
		}
		t.row(c.Name, c.ConnectionStatus, stamp(c.Since), last, copied, waiting, bad, next, c.SkippedTicks)
	}
	t.flush()
	for _, c := range all {
		if c.Error != "" {
			fmt.Fprintf(o.stdout, "%s: %s\n", c.Name, shown(c.Error))
		}
		if c.Hint != "" {
			fmt.Fprintf(o.stdout, "  %s\n", c.Hint)
		}
	}
	return nil
}

// statusCode is 1 when a connection is not to be had, 3 when files failed. A connector
// that somebody has paused is as it is meant to be.
func statusCode(all []interapp.Connector) error {
	code := exitOK
	for _, c := range all {
		switch status.Word(c.ConnectionStatus) {
		case status.NotChecked, status.Checking, status.ConnectionValid, status.Paused:
		default:
			return &exitError{code: exitFailed}
		}
		if c.LastPass != nil && c.LastPass.State == "partial" {
			code = exitPartial
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}
