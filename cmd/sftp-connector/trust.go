package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
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
	by, key, err := a.hostKeyOf(ctx, name)
	if err != nil {
		return err
	}
	defer by.close()
	t := trusted{Connector: name, Host: key.Host, Type: key.Type, Fingerprint: key.Fingerprint, Known: key.Trusted, Changed: key.Changed}
	if !a.json {
		fmt.Fprintf(a.stdout, "%s key of %s: %s\n", key.Type, key.Host, key.Fingerprint)
	}
	if len(key.Pinned) == 0 && key.Changed && (yes || !terminal(a.stdin)) {
		fmt.Fprint(a.stderr, warning(key.Changed)) // who is asked sees it with the question
	}
	switch {
	case key.Trusted:
		if !a.json {
			fmt.Fprintln(a.stdout, "It is trusted already.")
		}
	case len(key.Pinned) > 0: // which the API refuses with the reason
	case !yes && !terminal(a.stdin):
		return failed(errors.New("nobody can be asked here: compare the fingerprint, then run it again with --yes"))
	case !yes:
		if ok, err := a.console.confirm(ctx, warning(key.Changed)); err != nil || !ok {
			return failed(errors.Join(err, errors.New("the key is not trusted")))
		}
	}
	if !key.Trusted {
		if key, err = by.Trust(ctx, name, interapp.TrustRequest{Fingerprint: key.Fingerprint, Replace: key.Changed}); err != nil {
			return failed(err)
		}
		t.Remembered = true
		if !a.json {
			fmt.Fprintf(a.stdout, "Remembered in %s.\n", key.KnownHosts)
		}
		a.tellDaemon(ctx, name)
	}
	if a.json {
		return a.printJSON(t)
	}
	return nil
}

// hostKeyOf asks the server of a connector for its host key, by the daemon if one runs
// that has the connector and lets us, and knows the server that the configuration names
// now; else in this process.
func (a *app) hostKeyOf(ctx context.Context, name string) (*api, interapp.ServerHostKey, error) {
	by, err := a.reachNamed(ctx, config.ScopeConfigure, name)
	if err != nil {
		return nil, interapp.ServerHostKey{}, err
	}
	key, err := by.HostKey(ctx, name)
	if p, refused := errors.AsType[*interapp.Problem](err); a.server == "" && by.inside == nil && (refused && p.Status == http.StatusForbidden || err == nil && a.another(name, key.Host)) {
		by.close()
		if by, _, err = a.own(ctx, []string{name}, connector.Parts{}); err != nil {
			return nil, interapp.ServerHostKey{}, err
		}
		key, err = by.HostKey(ctx, name)
	}
	if err != nil {
		by.close()
		return nil, interapp.ServerHostKey{}, failed(err)
	}
	return by, key, nil
}

// another reports whether the configuration has another server for the connector than the
// daemon, which has not read it again.
func (a *app) another(name, host string) bool {
	cfg, err := config.Load(a.configPath)
	if err != nil {
		return false
	}
	c := cfg.Connectors[name]
	return c != nil && !c.SFTP.CredentialsAPI.Enabled() && !strings.EqualFold(net.JoinHostPort(c.SFTP.Host, strconv.Itoa(c.SFTP.Port)), host)
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
			key.Addr, key.Type, key.Fingerprint, warning(key.Changed)))
	}
}

// warning is what there is to say about a key that takes another one's place.
func warning(changed bool) string {
	if !changed {
		return ""
	}
	return "WARNING: another key is trusted for this host. Either the server was set up anew, or somebody sits between you and it.\n" +
		"The new key takes the other one's place. Where several are right, as in a cluster, list their fingerprints in sftp.host_key.\n"
}
