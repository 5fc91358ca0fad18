package main

import (
	"fmt"

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
	})
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
		}{a.configPath, names})
	}
	fmt.Fprintf(a.stdout, "%s: %d connectors, no mistakes\n", a.configPath, len(names))
	return nil
}
