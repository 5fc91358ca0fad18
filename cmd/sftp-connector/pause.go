package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
)

func (a *app) pauseCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "pause NAME",
		Short: "Keep a connector from doing anything until it is resumed",
		Long: `Keeps a connector from doing anything until 'resume', also after a restart: no
automatic pass starts, and Apply and requests are refused. A pass under way ends
first. 'check', 'ls' and 'trust' work as ever.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return a.changeConnector(c.Context(), names[0], func(ctx context.Context, by *api) (interapp.Connector, error) {
				return by.Pause(ctx, names[0], reason)
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who wonder")
	return c
}

func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume NAME",
		Short: "End the pause of a connector",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return a.changeConnector(c.Context(), names[0], func(ctx context.Context, by *api) (interapp.Connector, error) {
				return by.Resume(ctx, names[0])
			})
		},
	}
}

// changeConnector does something to a connector, and prints what it is then.
func (a *app) changeConnector(ctx context.Context, name string, change func(context.Context, *api) (interapp.Connector, error)) error {
	by, _, err := a.reach(ctx, config.ScopeApply, []string{name}, connector.Parts{})
	if err != nil {
		return err
	}
	defer by.close()
	c, err := change(ctx, by)
	switch {
	case err != nil:
		return failed(err)
	case a.json:
		return a.printJSON(c)
	case c.Paused == nil:
		fmt.Fprintf(a.stdout, "%s is not paused; next pass: %s\n", name, stampOf(c.NextPass))
	default:
		a.printPause(name, *c.Paused)
	}
	return nil
}

// printPause says since when a connector is paused, by whom and why.
func (o *output) printPause(name string, p interapp.Pause) {
	reason := ""
	if p.Reason != "" {
		reason = ": " + p.Reason
	}
	fmt.Fprintf(o.stdout, "%s is paused since %s by %s%s\n", name, stamp(p.Since), shown(p.By), shown(reason))
}
