package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sftpconnector/store/sftp"
)

func (a *app) trustCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "trust NAME",
		Short: "Show the server's host key fingerprint, ask, and remember it",
		Long: `Shows the fingerprint of the host key that the server shows now, asks whether it
is the right one, and remembers it in the connector's known_hosts file.

Compare it with the one that the server's administrator gives you: whoever sits
between you and the server could show another one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error { return a.trust(c.Context(), names[0], yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// trusted is the JSON document of the verb.
type trusted struct {
	Connector   string `json:"connector"`
	Host        string `json:"host"`
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	Known       bool   `json:"known"`
	Changed     bool   `json:"changed"`
	Remembered  bool   `json:"remembered"`
}

func (a *app) trust(ctx context.Context, name string, yes bool) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if _, err := named(cfg, []string{name}); err != nil {
		return err
	}
	c := sftpConfig(cfg.Connectors[name])
	key, err := sftp.FetchHostKey(ctx, c)
	if err != nil {
		return failed(err)
	}
	t := trusted{Connector: name, Host: key.Addr, Type: key.Type, Fingerprint: key.Fingerprint, Known: key.Known, Changed: key.Changed}
	if !a.json {
		fmt.Fprintf(a.stdout, "%s key of %s: %s\n", key.Type, key.Addr, key.Fingerprint)
	}
	switch {
	case key.Known:
		if !a.json {
			fmt.Fprintln(a.stdout, "It is trusted already.")
		}
	case !yes && !terminal(a.stdin):
		return failed(errors.New("nobody can be asked here: compare the fingerprint, then run it again with --yes"))
	default:
		if !yes {
			if ok, err := a.confirm(ctx, key); err != nil || !ok {
				return failed(errors.Join(err, errors.New("the key is not trusted")))
			}
		}
		if err := os.MkdirAll(filepath.Dir(c.KnownHostsPath), 0o700); err != nil {
			return failed(err)
		}
		if err := sftp.Remember(c.KnownHostsPath, key); err != nil {
			return failed(err)
		}
		t.Remembered = true
		if !a.json {
			fmt.Fprintf(a.stdout, "Remembered in %s.\n", c.KnownHostsPath)
		}
	}
	if a.json {
		return a.printJSON(t)
	}
	return nil
}

// prompt asks about unknown host keys, when there is somebody to ask.
func (a *app) prompt() func(context.Context, sftp.HostKey) (bool, error) {
	if !terminal(a.stdin) || !terminal(a.stderr) {
		return nil
	}
	return func(ctx context.Context, key sftp.HostKey) (bool, error) {
		fmt.Fprintf(a.stderr, "The authenticity of host %s can't be established.\n%s key fingerprint is %s.\n", key.Addr, key.Type, key.Fingerprint)
		return a.confirm(ctx, key)
	}
}

// confirm asks on the terminal.
func (a *app) confirm(ctx context.Context, key sftp.HostKey) (bool, error) {
	if key.Changed {
		fmt.Fprintln(a.stderr, "WARNING: another key is trusted for this host. Either the server was set up anew, or somebody sits between you and it.")
	}
	fmt.Fprint(a.stderr, "Trust it (yes/no)? ")
	answer := make(chan string, 1)
	go func() { // a read from a terminal cannot be interrupted; the program ends soon
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answer <- line
	}()
	select {
	case line := <-answer:
		return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
