package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

const trustSite = `connectors:
  results:
    sftp: {host: 127.0.0.1, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q%s}
    files: {source_directory_path: %q, destination_directory_path: ./results}
`

// With a daemon, the daemon asks the server and remembers the key: then it connects.
func TestTrustByTheDaemon(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "x", old)
	s := newSite(t, trustSite, server.Port, server.User, server.PrivateKeyPath, "", server.Root)
	r := s.daemon()
	s.run("apply").gives(1, "Host Key Unknown")
	s.run("trust", "results").gives(1, "SHA256:").says("--yes")
	s.run("trust", "results", "--yes").gives(0, "SHA256:", "Remembered in "+s.path("data/known_hosts"))
	if !strings.Contains(r.stderr.String(), `msg="host key trusted" connector=results`) {
		t.Errorf("the daemon did not do it:\n%s", r.stderr.String())
	}
	if c := connectorOf(t, s, "results"); c.ConnectionStatus != "Connection Valid" {
		t.Errorf("afterwards it is %s", c.ConnectionStatus)
	}
	s.run("trust", "results").gives(0, "trusted already")

	// A connector that the daemon has not read yet is no reason to refuse it.
	other := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	s.configure(strings.ReplaceAll(trustSite, "results:", "fresh:"), other.Port, other.User, other.PrivateKeyPath, "", other.Root)
	s.run("trust", "fresh", "--yes").gives(0, "Remembered in")
	// Nor does anybody trust the server that the connector had before.
	s.configure(trustSite, other.Port, other.User, other.PrivateKeyPath, "", other.Root)
	s.run("trust", "results").gives(0, "key of "+other.Addr, "trusted already")
	r.stop().gives(0)
}

// A key is remembered only if it is the one that was looked at, and another one is
// replaced only if that is asked for.
func TestTrustOverTheAPI(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	foreign := sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey()
	s := newSite(t, trustSite, server.Port, server.User, server.PrivateKeyPath, "", server.Root)
	r := s.daemon()
	client := s.operator()
	defer client.Close()
	ctx := t.Context()
	conflict := func(what string, trust interapp.TrustRequest, says string) {
		t.Helper()
		_, err := client.Trust(ctx, "results", trust)
		if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 409 || !strings.Contains(p.Detail, says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	own := ssh.FingerprintSHA256(server.HostKeys[0])
	key, err := client.HostKey(ctx, "results")
	if err != nil || key.Fingerprint != own || key.Trusted || key.Changed || len(key.Remembered) != 0 || key.Host != server.Addr || key.Connector != "results" {
		t.Fatalf("%+v %v", key, err)
	}
	conflict("another fingerprint", interapp.TrustRequest{Fingerprint: ssh.FingerprintSHA256(foreign), Replace: true}, "shows "+own)
	if s.exists("data/known_hosts") {
		t.Error("it was remembered")
	}
	if err := os.WriteFile(s.path("data/known_hosts"), []byte(knownhosts.Line([]string{server.Addr}, foreign)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err = client.HostKey(ctx, "results")
	if err != nil || key.Trusted || !key.Changed || len(key.Remembered) != 1 || key.Remembered[0] != ssh.FingerprintSHA256(foreign) {
		t.Errorf("another one is remembered: %+v %v", key, err)
	}
	conflict("without replace", interapp.TrustRequest{Fingerprint: own}, "another key is trusted")
	for range 2 { // the second changes nothing
		key, err = client.Trust(ctx, "results", interapp.TrustRequest{Fingerprint: own, Replace: true})
		if err != nil || !key.Trusted || key.Changed || len(key.Remembered) != 1 || key.Remembered[0] != own {
			t.Errorf("replaced: %+v %v", key, err)
		}
	}
	conflict("another fingerprint, of a trusted key", interapp.TrustRequest{Fingerprint: ssh.FingerprintSHA256(foreign)}, "shows "+own)
	server.Stop()
	_, err = client.HostKey(ctx, "results")
	if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 502 || !strings.HasPrefix(p.Detail, "Connection Refused: ") {
		t.Errorf("without a server: %v", err)
	}
	r.stop().gives(0)
}

// What sftp.host_key pins, known_hosts does not change.
func TestTrustOfAPinnedKey(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	for pin, c := range map[string]struct {
		code int
		text string
	}{
		ssh.FingerprintSHA256(server.HostKeys[0]):                                      {0, "trusted already"},
		ssh.FingerprintSHA256(sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey()): {1, "SHA256:"},
	} {
		s := newSite(t, trustSite, server.Port, server.User, server.PrivateKeyPath, ", host_key: "+`"`+pin+`"`, server.Root)
		o := s.run("trust", "results", "--yes").gives(c.code, c.text)
		if c.code != 0 {
			o.says("sftp.host_key pins " + pin)
		}
		if s.exists("data/known_hosts") {
			t.Error("it was remembered")
		}
	}
}
