package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/config/edit"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the effective settings, secrets hidden, and where each comes from",
		Long: `Shows the effective settings of the connector NAME, or those that are none of a
connector's, and where each comes from: a line of the file, the default, or the API.
Secrets are hidden. It works without a daemon.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error { return a.configShow(c.Context(), names) },
	}
}

func (a *app) configShow(ctx context.Context, names []string) error {
	file := &edit.File{Path: a.configPath}
	client, err := a.client(config.ScopeRead)
	switch {
	case errors.Is(err, errNoToken):
		client = nil // the file alone
	case err != nil:
		return err
	case client != nil:
		defer client.Close()
	}
	if len(names) == 1 {
		return a.showConnector(ctx, client, file, names[0])
	}
	return a.showConfiguration(ctx, client, file)
}

func (a *app) showConnector(ctx context.Context, client *interapp.Client, file *edit.File, name string) error {
	c, path, err := a.connectorSettings(ctx, client, file, name)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(c)
	}
	a.printSettings(path, c.Settings)
	return nil
}

// connectorSettings asks the daemon, which knows what was set over the API, or reads the
// file. path is where that is.
func (a *app) connectorSettings(ctx context.Context, client *interapp.Client, file *edit.File, name string) (c interapp.ConnectorConfiguration, path string, err error) {
	if client != nil {
		c, err := client.ConnectorConfiguration(ctx, name)
		return c, filepath.Base(a.configPath), failed(err)
	}
	text, _, err := file.Read()
	if err != nil {
		return c, "", a.unloaded(err)
	}
	c, ok, err := server.ConnectorMessage(file, text, name)
	if err != nil {
		return c, "", failed(err)
	}
	if !ok {
		if cfg, err := a.load(); err != nil {
			return c, "", err
		} else if _, err := named(cfg, []string{name}); err != nil {
			return c, "", err
		}
	}
	return c, filepath.Base(file.Path), nil
}

func (a *app) showConfiguration(ctx context.Context, client *interapp.Client, file *edit.File) error {
	var c interapp.ConfigurationFile
	var names []string
	if client != nil {
		var err error
		if c, err = client.Configuration(ctx); err != nil {
			return failed(err)
		}
		all, err := client.Connectors(ctx)
		if err != nil {
			return failed(err)
		}
		for _, one := range all {
			names = append(names, one.Name)
		}
	} else {
		text, _, err := file.Read()
		if err != nil {
			return a.unloaded(err)
		}
		cfg, err := a.load()
		if err != nil {
			return err
		}
		if c, err = server.ConfigurationMessage(file, text); err != nil {
			return failed(err)
		}
		names = slices.Sorted(maps.Keys(cfg.Connectors))
	}
	if a.json {
		return a.printJSON(c)
	}
	a.printSettings(filepath.Base(c.Path), c.Settings)
	if len(names) > 0 {
		fmt.Fprintf(a.stdout, "connectors, each with 'config show NAME': %s\n", strings.Join(names, ", "))
	}
	return nil
}

// printSettings prints each setting with where it comes from.
func (o *output) printSettings(file string, settings []interapp.Setting) {
	t := o.table("SETTING", "VALUE", "FROM")
	for _, s := range settings {
		value, from := s.Value, "default"
		if s.Line > 0 {
			from = fmt.Sprintf("%s:%d", file, s.Line)
		}
		switch {
		case s.ByAPI != "":
			value, from = s.ByAPI, "API; the file has "+s.Value
		case s.Secret && s.Written != "":
			value = s.Written
		case s.Secret && s.Set:
			value = edit.Redacted
		}
		if s.Secret && s.Set && s.Line == 0 {
			from = "its file, below"
		}
		t.row(s.Key, value, from)
	}
	t.flush()
}
