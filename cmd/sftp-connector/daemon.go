package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"sftpconnector/config"
	"sftpconnector/durable"
	"sftpconnector/interapp"
)

// daemonInfo is what a running daemon leaves in its data directory, so that the
// verbs find it. It counts only while the daemon holds the lock beside it.
type daemonInfo struct {
	PID int    `json:"pid"`
	URL string `json:"url"`
}

func daemonInfoPath(dir string) string { return filepath.Join(dir, "daemon.json") }

// errDaemon: another daemon has the data directory.
var errDaemon = errors.New("another daemon runs with this data directory")

// errNoDaemon: a verb needs a daemon, and none runs.
var errNoDaemon = errors.New("no daemon runs with this configuration's data directory: start it with 'sftp-connector run', or name it with --server")

// claimWithin is how long a daemon tries to get its data directory: a verb that
// looks for a daemon has the lock for a moment.
const claimWithin = time.Second

// claimDaemon makes this process the daemon of the data directory.
func claimDaemon(ctx context.Context, dir string) (*flock.Flock, error) {
	l := flock.New(filepath.Join(dir, "daemon.lock"))
	wait, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	ok, err := l.TryLockContext(wait, claimWithin/50)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if !ok {
		info, _ := readDaemonInfo(dir)
		return nil, fmt.Errorf("%w: %s (process %d, %s)", errDaemon, dir, info.PID, info.URL)
	}
	return l, nil
}

func (info daemonInfo) write(dir string) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(daemonInfoPath(dir), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDirectory(dir) // what is left of it tells the next daemon of a power cut
}

// killedPath is what the file of a daemon that was killed becomes, until the
// ledger knows of it.
func killedPath(dir string) string { return filepath.Join(dir, "daemon.killed") }

// retireDaemonInfo takes away the file of a daemon that was killed, and reports
// whether there was one, now or at a start that did not get through.
func retireDaemonInfo(dir string) (killed bool, err error) {
	if err := os.Rename(daemonInfoPath(dir), killedPath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	_, err = os.Stat(killedPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func readDaemonInfo(dir string) (daemonInfo, error) {
	var info daemonInfo
	text, err := os.ReadFile(daemonInfoPath(dir))
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(text, &info)
}

// findDaemon gives the daemon that runs with the data directory; ok is false
// when none does.
func findDaemon(dir string) (info daemonInfo, ok bool, err error) {
	path := filepath.Join(dir, "daemon.lock")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return info, false, nil
	}
	l := flock.New(path)
	free, err := l.TryRLock()
	if err != nil {
		return info, false, fmt.Errorf("look for a daemon: %w", err)
	}
	if free {
		return info, false, l.Unlock()
	}
	info, err = readDaemonInfo(dir)
	if err != nil {
		return info, true, fmt.Errorf("a daemon runs with %s, but where it listens is not known yet: %w", dir, err)
	}
	return info, true, nil
}

// client talks to the daemon of --server, or to the one of the configuration's
// data directory; nil when there is none. Mistakes in the file do not keep it from a
// daemon that runs: they are said, as the daemon would not start with them.
func (a *app) client(scope config.Scope) (*interapp.Client, error) {
	if a.server != "" {
		return interapp.NewClient(a.server, a.tokenFor(a.server)), nil
	}
	dir, server, mistakes := config.LoadServer(a.configPath)
	if dir == "" {
		return nil, a.unloaded(mistakes)
	}
	info, ok, err := findDaemon(dir)
	if !ok && mistakes != nil {
		return nil, a.unloaded(mistakes)
	}
	if err != nil || !ok {
		return nil, failed(err)
	}
	if mistakes != nil {
		fmt.Fprintf(a.stderr, "sftp-connector: the daemon runs, but would not start again with this configuration:\n%v\n", mistakes)
	}
	token, err := a.tokenAt(dir, server.Tokens, scope)
	if err != nil {
		return nil, err
	}
	c := interapp.NewClient(info.URL, token)
	if server.TLS.Enabled() {
		if c.HTTP, err = trusting(server.TLS.Certificate); err != nil {
			return nil, failed(err)
		}
	}
	return c, nil
}

// tokenFor gives the token for a URL of --server: that of --token, or the operator's if the
// daemon of the configuration is at that URL. No other server gets to see it.
func (a *app) tokenFor(url string) string {
	if a.token != "" {
		return a.token
	}
	dir, _, _ := config.LoadServer(a.configPath)
	if dir == "" {
		return ""
	}
	info, ok, err := findDaemon(dir)
	if err != nil || !ok || !sameServer(url, info.URL) {
		return ""
	}
	token, _ := readOperatorToken(dir) // the server says that one is missing
	return token.Reveal()
}

// sameServer reports whether a URL, as --server has it, is that of the daemon.
func sameServer(written, own string) bool {
	if !strings.Contains(written, "://") {
		written = "http://" + written
	}
	return strings.TrimSuffix(written, "/") == own
}

// tokenAt gives the token for the daemon of a data directory: that of --token, the
// operator's, or one of the configuration.
func (a *app) tokenAt(dir string, configured []config.Token, scope config.Scope) (string, error) {
	if a.token != "" {
		return a.token, nil
	}
	operator, err := readOperatorToken(dir)
	if operator != "" {
		return operator.Reveal(), nil
	}
	if token := configuredToken(configured, scope); token != "" {
		return token, nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(configured) == 0:
		return "", nil // a daemon of a version that asks for none
	case err != nil:
		return "", usage("the daemon asks for a token with the scope %s: %v, and the configuration has %w: use --token", scope, err, errNoToken)
	}
	return "", usage("the daemon asks for a token with the scope %s, and the configuration has %w: use --token", scope, errNoToken)
}

// namesAt checks that the daemon has the connectors, and gives all of them for
// no names.
func namesAt(ctx context.Context, client *interapp.Client, names []string) ([]string, error) {
	all, err := client.Connectors(ctx)
	if p, refused := errors.AsType[*interapp.Problem](err); refused && p.Status == http.StatusForbidden && len(names) > 0 {
		return names, nil // a token that may apply need not be one that may read
	}
	if err != nil {
		return nil, failed(err)
	}
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
	}
	if len(names) == 0 {
		return known, somethingToDeliver(ctx, client, known)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, usage("the daemon has %w %q", errNotThere, name)
		}
	}
	return names, nil
}

// somethingToDeliver says so where a daemon has neither connectors nor Spaces.
func somethingToDeliver(ctx context.Context, client *interapp.Client, known []string) error {
	if len(known) > 0 {
		return nil
	}
	if spaces, err := client.Spaces(ctx); err == nil && len(spaces) > 0 {
		return nil
	}
	return failed(errors.New("the daemon has no connector and no Space, so that nothing can be delivered: add one to its configuration"))
}

// tokenFor gives a token with the scope; one that may read besides, if there is.
func configuredToken(tokens []config.Token, scope config.Scope) string {
	var token string
	for _, t := range tokens {
		switch {
		case !slices.Contains(t.Scopes, scope), t.Token == "": // with a mistake in the file
		case slices.Contains(t.Scopes, config.ScopeRead):
			return t.Token.Reveal()
		case token == "":
			token = t.Token.Reveal()
		}
	}
	return token
}

// trusting makes an HTTP client that trusts the daemon's own certificate, so
// that one that it signed itself serves for the verbs on the same machine. It
// asks for a name of the certificate, as the address is that of the machine.
func trusting(certificate string) (*http.Client, error) {
	text, err := os.ReadFile(certificate)
	if err != nil {
		return nil, fmt.Errorf("server.tls.certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("server.tls.certificate: %s: there is no PEM block in it", certificate)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("server.tls.certificate: %s: %w", certificate, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AddCert(leaf)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: nameOf(leaf)}}}, nil
}

// nameOf gives a name that a certificate is for; "" when it has none.
func nameOf(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return ""
}
