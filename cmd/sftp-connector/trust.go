package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"

	"sftpconnector/sshclient"
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
	c, err := serverOf(ctx, cfg.Connectors[name])
	if err != nil {
		return failed(err)
	}
	key, err := sshclient.FetchHostKey(ctx, c)
	if err != nil {
		return failed(err)
	}
	t := trusted{Connector: name, Host: key.Addr, Type: key.Type, Fingerprint: key.Fingerprint, Known: key.Known, Changed: key.Changed}
	if !a.json {
		fmt.Fprintf(a.stdout, "%s key of %s: %s\n", key.Type, key.Addr, key.Fingerprint)
	}
	if pin := cfg.Connectors[name].SFTP.HostKey.String(); strings.HasPrefix(pin, "SHA256:") && !key.Known {
		return failed(fmt.Errorf("sftp.host_key pins %s, and the server shows another key: if it is the right one, change sftp.host_key", pin))
	}
	if key.Changed && (yes || !terminal(a.stdin)) {
		fmt.Fprint(a.stderr, warning(key)) // who is asked sees it with the question
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
			if ok, err := a.console.confirm(ctx, warning(key)); err != nil || !ok {
				return failed(errors.Join(err, errors.New("the key is not trusted")))
			}
		}
		if err := sshclient.Remember(ctx, c.KnownHosts, key); err != nil {
			return failed(err)
		}
		t.Remembered = true
		if !a.json {
			fmt.Fprintf(a.stdout, "Remembered in %s.\n", c.KnownHosts)
		}
		a.tellDaemon(ctx, name)
	}
	if a.json {
		return a.printJSON(t)
	}
	return nil
}

// serverOf says how to reach a connector's server.
func serverOf(ctx context.Context, c *config.Connector) (sshclient.Config, error) {
	var credentials connector.Credentials
	defer credentials.Close()
	c, err := credentials.Resolve(ctx, c)
	if err != nil {
		return sshclient.Config{}, err
	}
	return sftpConfig(c).Config, nil
}

// tellDaemon has a running daemon check the connection, so that it does not
// hold the connector back any longer. Without a daemon there is none to tell.
func (a *app) tellDaemon(ctx context.Context, name string) {
	client, err := a.client(config.ScopeApply)
	if err == nil && client != nil {
		_, err = client.Check(ctx, name)
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "sftp-connector: the running daemon was not told: %v\n", err)
	}
}

// prompt asks whether a host key is the right one.
type prompt func(context.Context, sshclient.HostKey) (bool, error)

// prompt asks about unknown host keys, when there is somebody to ask.
func (a *app) prompt() prompt {
	if !terminal(a.stdin) || !terminal(a.stderr) {
		return nil
	}
	return func(ctx context.Context, key sshclient.HostKey) (bool, error) {
		return a.console.confirm(ctx, fmt.Sprintf("The authenticity of host %s can't be established.\n%s key fingerprint is %s.\n%s",
			key.Addr, key.Type, key.Fingerprint, warning(key)))
	}
}

// warning is what there is to say about a key that takes another one's place.
func warning(key sshclient.HostKey) string {
	if !key.Changed {
		return ""
	}
	return "WARNING: another key is trusted for this host. Either the server was set up anew, or somebody sits between you and it.\n" +
		"The new key takes the other one's place. Where several are right, as in a cluster, list their fingerprints in sftp.host_key.\n"
}
