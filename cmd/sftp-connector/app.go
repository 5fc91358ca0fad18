package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/durable"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/store/local"
	"sftpconnector/sync/ledger"
)

// app is what all verbs share: the streams and the common flags.
type app struct {
	output
	stdin io.Reader

	configPath string
	logLevel   string
	logFormat  string
	server     string
	token      string
}

// command is the tree of verbs.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "sftp-connector",
		Short: "Copies files from SFTP servers to local directories, on a schedule and on demand",
		Long: `Copies files from SFTP servers to local directories, on a schedule and on demand.

'run' is the daemon. The other verbs work with it or without it: 'check' tries a
connection stage by stage, 'trust' accepts a host key, 'apply' copies everything
now. 'demo' shows it at work without a server of yours.

Exit codes: 0 all is well, 1 it could not be done, 2 wrong usage or
configuration, 3 done, but some files failed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configPath, "config", "c", "config.yaml", "configuration `file`")
	flags.BoolVar(&a.json, "json", false, "print one JSON document on standard output")
	flags.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default: info for run, else warn with --json, else none)")
	flags.StringVar(&a.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&a.server, "server", "", "`URL` of a running daemon to talk to")
	flags.StringVar(&a.token, "token", "", "token for that daemon (default: one of the configuration's)")
	root.AddCommand(a.runCommand(), a.applyCommand(), a.requestCommand(), a.uploadCommand(), a.checkCommand(), a.lsCommand(), a.statusCommand(),
		a.historyCommand(), a.retryCommand(), a.trustCommand(), a.pauseCommand(), a.resumeCommand(), a.spaceCommand(), a.configCommand(), a.reloadCommand(), a.openCommand(), a.demoCommand(), a.versionCommand())
	return root
}

// load reads the configuration; its mistakes are wrong usage.
func (a *app) load() (*config.Config, error) {
	cfg, err := config.Load(a.configPath)
	return cfg, a.unloaded(err)
}

// unloaded is the error of a verb that needs a configuration that cannot be loaded.
func (a *app) unloaded(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return usage("there is no configuration file %s: name one with --config, or start from config.example.yaml", a.configPath)
	}
	return &exitError{exitUsage, err}
}

// nothingToDeliver is said instead of that all is well where there is nothing that could be.
const nothingToDeliver = "the configuration has no connector and no Space, so that nothing can be delivered: add one, as in config.example.yaml"

// named checks that the configuration has the connectors, and gives all of
// them, in order, for no names.
func named(cfg *config.Config, names []string) ([]string, error) {
	var known []string
	for name := range cfg.Connectors {
		known = append(known, name)
	}
	slices.Sort(known)
	if cfg.Empty() && len(names) == 0 {
		return nil, usage("%s", nothingToDeliver)
	}
	if len(names) == 0 {
		return known, nil
	}
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, interapp.SpaceConnector("")); ok && cfg.Spaces[id] != nil {
			return nil, usage("%s imports a Space: see 'sftp-connector space list', 'space files %s' and 'space retry %s'", name, id, id)
		}
		if cfg.Connectors[name] == nil {
			return nil, usage("there is no connector %q; the configuration has: %s", name, strings.Join(known, ", "))
		}
	}
	return names, nil
}

// silent is above every level.
const silent = slog.LevelError + 4

// logger writes to standard error. quiet is the level when none is asked for.
func (a *app) logger(quiet slog.Level) (*slog.Logger, error) {
	level := quiet
	if a.logLevel != "" {
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, usage("--log-level %q is not one of debug, info, warn, error", a.logLevel)
		}
	}
	o := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, o)), nil
	}
	return nil, usage("--log-format %q is not one of text, json", a.logFormat)
}

// verbLogger is the logger of a verb that does its work itself.
func (a *app) verbLogger() (*slog.Logger, error) {
	if a.json {
		return a.logger(slog.LevelWarn)
	}
	return a.logger(silent) // the verb's own words say it
}

// backend is what a verb needs to work on connectors by itself: their
// connectors, and the ledger behind them. Spaces are the daemon's; nil elsewhere.
type backend struct {
	cfg    *config.Config
	set    *connector.Set
	ledger *ledger.Ledger
	spaces *space.Spaces

	servers     *servers
	credentials *connector.Credentials
}

// openBackend opens the data directory and makes the connectors. prompt is asked about
// unknown host keys; nil: they are refused. receive is how uploads to the Spaces are
// received, whose connectors are made too then; nil: they are not.
func openBackend(ctx context.Context, cfg *config.Config, parts connector.Parts, prompt prompt, receive *space.Options) (*backend, error) {
	if err := durable.MkdirAll(cfg.DataDirectory, 0o700); err != nil {
		return nil, failed(fmt.Errorf("make data directory: %w", err))
	}
	l, err := ledger.Open(ctx, cfg.DataDirectory)
	if err != nil {
		return nil, failed(err)
	}
	var spaces *space.Spaces
	if receive != nil {
		receive.Ledger = l
		if spaces, err = space.Open(ctx, *receive); err != nil {
			l.Close()
			return nil, failed(err)
		}
	}
	s := stores{owner: l.Owner(), servers: newServers(ctx, l), prompt: prompt, spaces: spaces, foldings: new(local.Foldings)}
	if parts.Source == nil {
		parts.Source = s.source
	}
	parts.Destination, parts.HostKey = s.destination, s.hostKey
	parts.Credentials = new(connector.Credentials)
	if parts.Lock == nil {
		parts.Lock = locks(cfg)
	}
	set, err := connector.NewSet(ctx, withSpaces(cfg, spaces), parts, l)
	if err != nil {
		if spaces != nil {
			spaces.Close()
		}
		l.Close()
		return nil, failed(err)
	}
	return &backend{cfg: cfg, set: set, ledger: l, spaces: spaces, servers: s.servers, credentials: parts.Credentials}, nil
}

// withSpaces is the configuration with the connectors that import its Spaces, if
// uploads are received here.
func withSpaces(cfg *config.Config, spaces *space.Spaces) *config.Config {
	if spaces == nil {
		return cfg
	}
	all := *cfg
	all.Connectors = space.Connectors(cfg)
	maps.Copy(all.Connectors, cfg.Connectors)
	return &all
}

func locks(cfg *config.Config) func(name string) (func(), error) {
	return lockIn(filepath.Join(cfg.DataDirectory, "locks"))
}

func (b *backend) close() {
	b.set.Stop()
	b.free()
}

// free gives everything back once no pass runs any more.
func (b *backend) free() {
	b.credentials.Close()
	if b.spaces != nil {
		b.spaces.Close()
	}
	b.servers.saveAll()
	b.ledger.Close()
}

// terminal reports whether a stream is one.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
