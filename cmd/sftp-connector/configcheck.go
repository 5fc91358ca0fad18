package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Work on the configuration file",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Validate the configuration file, naming the line and the key of each mistake",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.configCheck() },
	}, a.configShowCommand())
	return c
}

func (a *app) configCheck() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	names, err := named(cfg, nil)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			File       string   `json:"file"`
			Connectors []string `json:"connectors"`
			Spaces     []string `json:"spaces,omitempty"`
		}{a.configPath, names, slices.Sorted(maps.Keys(cfg.Spaces))})
	}
	what := fmt.Sprintf("%d connectors", len(names))
	if n := len(cfg.Spaces); n > 0 {
		what += fmt.Sprintf(", %d Spaces", n)
	}
	fmt.Fprintf(a.stdout, "%s: %s, no mistakes\n", a.configPath, what)
	return nil
}
