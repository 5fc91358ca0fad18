package sshclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHostKeyPolicies(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	host := knownhosts.Normalize(server.Addr)
	other := sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey()
	var ed25519 ssh.PublicKey
	var all string
	for _, k := range server.HostKeys {
		all += knownhosts.Line([]string{host}, k) + "\n"
		if k.Type() == ssh.KeyAlgoED25519 {
			ed25519 = k
		}
	}
	lines := func(hosts string, keys ...ssh.PublicKey) string {
		var s string
		for _, k := range keys {
			s += hosts + " " + string(ssh.MarshalAuthorizedKey(k))
		}
		return s
	}
	tests := map[string]struct {
		policy, file string
		word         status.Word // of the failure
		text         string      // in the failure, or in the detail
	}{
		"known":               {"", all, "", "known in"},
		"known, hashed":       {"", lines(knownhosts.HashHostname(host), ed25519), "", "known in"},
		"known by wildcard":   {"", lines("127.0.0.*", ed25519), "", "known in"},
		"one type is known":   {"", lines(host, server.HostKeys[2]), "", server.HostKeys[2].Type()},
		"unreadable beside":   {"", "garbage here\n" + host + " ssh-what AAAA\n\n# note\n" + all, "", "known in"},
		"unknown":             {"", lines("[127.0.0.1]:1", ed25519), status.HostKeyUnknown, "is not in"},
		"no file":             {"", "", status.HostKeyUnknown, "is not in"},
		"changed":             {"", lines(host, other), status.HostKeyVerificationFailed, ":1 has ssh-ed25519"},
		"changed, accept-new": {PolicyAcceptNew, lines(host, other), status.HostKeyVerificationFailed, ":1 has ssh-ed25519"},
		"revoked":             {"", all + lines("@revoked *", server.HostKeys...), status.HostKeyVerificationFailed, "@revoked"},
		"revoked, accept-new": {PolicyAcceptNew, lines("@revoked *", server.HostKeys...), status.HostKeyVerificationFailed, "@revoked"},
		"marker is damaged":   {"", all + "@revoked * ssh-ed25519 AAAA\n", status.HostKeyVerificationFailed, "marker"},
		"no certificate":      {"", lines("@cert-authority *", other), status.HostKeyUnknown, "no certificate"},
		"accept-new":          {PolicyAcceptNew, "# mine\n", "", "accepted as new"},
		"pinned":              {ssh.FingerprintSHA256(ed25519), "", "", "the configured fingerprint"},
		"pinned, padded":      {ssh.FingerprintSHA256(ed25519) + "=", "", "", "the configured fingerprint"},
		"pinned, other type":  {ssh.FingerprintSHA256(server.HostKeys[1]), "", "", server.HostKeys[1].Type()},
		"pinned, third type":  {ssh.FingerprintSHA256(server.HostKeys[2]), "", "", server.HostKeys[2].Type()},
		"pinned, two":         {ssh.FingerprintSHA256(other) + " " + ssh.FingerprintSHA256(ed25519), "", "", "the configured fingerprint"},
		"pinned, two, other":  {ssh.FingerprintSHA256(other) + " " + ssh.FingerprintSHA256(server.HostKeys[2]), "", "", server.HostKeys[2].Type()},
		"pinned, two others":  {ssh.FingerprintSHA256(other) + " SHA256:AAAA", all, status.HostKeyVerificationFailed, ssh.FingerprintSHA256(other) + " or SHA256:AAAA: it shows"},
		"pinned otherwise":    {ssh.FingerprintSHA256(other), all, status.HostKeyVerificationFailed, ssh.FingerprintSHA256(ed25519)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := keyLogin(server.Endpoint)
			cfg.HostKey, cfg.KnownHosts = tt.policy, KnownHostsFile(filepath.Join(t.TempDir(), "sub", "known_hosts"))
			if tt.file != "" {
				os.Mkdir(filepath.Dir(cfg.KnownHosts.String()), 0o700)
				writeFile(t, cfg.KnownHosts.String(), tt.file)
			}
			if tt.word != "" {
				expectFailure(t, cfg, tt.word, status.StageHostKey, tt.text)
				return
			}
			_, stages, err := connectTo(t, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := stages[3].Detail; !strings.Contains(got, tt.text) {
				t.Errorf("host-key says %q, not %q", got, tt.text)
			}
		})
	}
}

func TestAcceptNewRemembers(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := keyLogin(server.Endpoint)
	cfg.HostKey, cfg.KnownHosts = PolicyAcceptNew, KnownHostsFile(filepath.Join(t.TempDir(), "sub", "known_hosts"))
	var connectors sync.WaitGroup
	for range 4 {
		connectors.Go(func() {
			c, err := Dial(t.Context(), cfg, nil)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	connectors.Wait()
	if n := strings.Count(readText(t, cfg.KnownHosts.String()), "\n"); n != 1 {
		t.Errorf("%d lines after four connections:\n%s", n, readText(t, cfg.KnownHosts.String()))
	}
	if info, err := os.Stat(cfg.KnownHosts.String()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, stages, err := connectTo(t, cfg); err != nil || !strings.Contains(stages[3].Detail, "known in") {
		t.Errorf("the second time: %+v, %v", stages, err)
	}
	server.Set(func(f *sftptest.Faults) { f.HostKeys = []sftptest.Key{sftptest.NewKey(t, sftptest.Ed25519)} })
	expectFailure(t, cfg, status.HostKeyVerificationFailed, status.StageHostKey, "has ssh-ed25519")
}

// Two connectors that meet the same host with different keys: the second must
// not add its own.
func TestLearnRefusesASecondKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	one, two := hostKeyFor(t, "host:22"), hostKeyFor(t, "host:22")
	if err := addKnownHost(t.Context(), KnownHostsFile(path), one); err != nil {
		t.Fatal(err)
	}
	if err := addKnownHost(t.Context(), KnownHostsFile(path), two); err == nil {
		t.Errorf("both keys are there:\n%s", readText(t, path))
	}
}

func TestPrompt(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := keyLogin(server.Endpoint)
	cfg.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
	cfg.Timeouts.Handshake = 300 * time.Millisecond
	var asked []HostKey
	answer := false
	cfg.Prompt = func(ctx context.Context, k HostKey) (bool, error) {
		asked = append(asked, k)
		select {
		case <-time.After(2 * cfg.Timeouts.Handshake): // a person thinks
			return answer, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, cfg, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	asked = nil
	expectFailure(t, cfg, status.HostKeyUnknown, status.StageHostKey, "was not accepted")
	answer = true
	if _, _, err := connectTo(t, cfg); err != nil {
		t.Fatal(err)
	}
	if _, _, err := connectTo(t, cfg); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0].Addr != server.Addr || !strings.HasPrefix(asked[0].Fingerprint, "SHA256:") || asked[0].Known || asked[0].Changed {
		t.Errorf("asked %+v", asked)
	}
	server.Set(func(f *sftptest.Faults) { f.HostKeys = []sftptest.Key{sftptest.NewKey(t, sftptest.Ed25519)} })
	expectFailure(t, cfg, status.HostKeyVerificationFailed, status.StageHostKey, "has ssh-ed25519")
	if len(asked) != 2 {
		t.Error("a changed key was asked about")
	}
}

func TestFetchHostKeyAndRemember(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	noLeaks(t) // the server's end would end what is left over
	cfg := keyLogin(server.Endpoint)
	cfg.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
	fetch := func() HostKey {
		t.Helper()
		k, err := FetchHostKey(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := fetch()
	if k.Known || k.Changed || k.Type != ssh.KeyAlgoED25519 || k.Addr != server.Addr {
		t.Errorf("before: %+v", k)
	}
	if err := Remember(t.Context(), cfg.KnownHosts, k); err != nil {
		t.Fatal(err)
	}
	if k = fetch(); !k.Known {
		t.Errorf("after: %+v", k)
	}
	server.Set(func(f *sftptest.Faults) { f.HostKeys = []sftptest.Key{sftptest.NewKey(t, sftptest.ECDSA)} })
	if k = fetch(); k.Known || !k.Changed {
		t.Errorf("with another key: %+v", k)
	}
	if err := Remember(t.Context(), cfg.KnownHosts, k); err != nil {
		t.Fatal(err)
	}
	if _, _, err := connectTo(t, cfg); err != nil {
		t.Error(err)
	}
	cfg.HostKey = "SHA256:AAAA"
	if k = fetch(); k.Known || !k.Changed {
		t.Errorf("with another one pinned: %+v", k)
	}
	if n := server.Counts().FailedLogins; n != 0 {
		t.Errorf("%d failed logins: fetching a key must not log in", n)
	}
	if _, err := FetchHostKey(t.Context(), at(t, answering(t, "220 ftp\r\n", false))); !status.Is(err, status.NotAnSSHServer) {
		t.Errorf("from an FTP server: %v", err)
	}
}

// A certificate is trusted by its authority, whatever the type of either key,
// and only while it holds.
func TestHostCertificates(t *testing.T) {
	dir := t.TempDir()
	authority := sftptest.NewKey(t, sftptest.ECDSA)
	host := sftptest.NewKey(t, sftptest.Ed25519)
	certificate := func(principal, validity string) string {
		d, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, d+"/ca", string(authority.PEM))
		writeFile(t, d+"/host.pub", string(ssh.MarshalAuthorizedKey(host.Signer.PublicKey())))
		out, err := exec.Command("ssh-keygen", "-q", "-s", d+"/ca", "-h", "-I", "test", "-n", principal, "-V", validity, d+"/host.pub").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return d + "/host-cert.pub"
	}
	for name, tt := range map[string]struct {
		cert string
		word status.Word
	}{
		"valid":     {certificate("127.0.0.1", "-1d:+1d"), ""},
		"expired":   {certificate("127.0.0.1", "-2d:-1d"), status.HostKeyVerificationFailed},
		"elsewhere": {certificate("elsewhere.example", "-1d:+1d"), status.HostKeyVerificationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{
				HostKeys: []sftptest.Key{host}, Extra: []string{"HostCertificate " + tt.cert}})
			cfg := keyLogin(server.Endpoint)
			writeFile(t, cfg.KnownHosts.String(), "@cert-authority 127.0.0.* "+string(ssh.MarshalAuthorizedKey(authority.Signer.PublicKey())))
			if tt.word != "" {
				expectFailure(t, cfg, tt.word, status.StageHostKey, "ssh: ")
				return
			}
			_, stages, err := connectTo(t, cfg)
			if err != nil {
				t.Fatalf("%v\n%s", err, server.Log())
			}
			if !strings.Contains(stages[3].Detail, "certified") {
				t.Errorf("host-key says %q", stages[3].Detail)
			}
			// The same server is known by its plain key where no authority is.
			writeFile(t, cfg.KnownHosts.String(), string(sftptest.KnownHostsLines(server.Addr, host.Signer.PublicKey())))
			if _, _, err := connectTo(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func hostKeyFor(t testing.TB, addr string) HostKey {
	key := sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey()
	return HostKey{Addr: addr, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), key: key}
}

func TestRememberReplaces(t *testing.T) {
	k, old := hostKeyFor(t, "sftp.example:2222"), hostKeyFor(t, "x:22")
	const host = "[sftp.example]:2222"
	blob := func(k HostKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.key))) }
	was, is := blob(old), host+" "+blob(k)
	tests := map[string]struct{ before, after string }{
		"empty":              {"", is + "\n"},
		"no newline":         {"other " + was, "other " + was + "\n" + is + "\n"},
		"plain":              {host + " " + was + "\n", is + "\n"},
		"upper case":         {"[SFTP.Example]:2222 " + was + "\n", is + "\n"},
		"hashed":             {knownhosts.HashHostname(host) + " " + was + "\n", is + "\n"},
		"hashed, other host": {hashedOther + " " + was + "\n", hashedOther + " " + was + "\n" + is + "\n"},
		"several names":      {"a," + host + ",b " + was + " note\n", "a,b " + was + " note\n" + is + "\n"},
		"other port":         {"sftp.example " + was + "\n", "sftp.example " + was + "\n" + is + "\n"},
		"wildcard":           {"[*.example]:2222 " + was + "\n", "[*.example]:2222 " + was + "\n" + is + "\n"},
		"marker":             {"@revoked " + host + " " + was + "\n", "@revoked " + host + " " + was + "\n" + is + "\n"},
		"comment":            {"# " + host + " " + was + "\r\n\n", "# " + host + " " + was + "\r\n\n" + is + "\n"},
		"garbage":            {host + "\n\x00\xff\n", host + "\n\x00\xff\n" + is + "\n"},
		"there already":      {is + "\n" + host + " " + was + "\n", is + "\n" + host + " " + was + "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "known_hosts")
			if tt.before != "" {
				writeFile(t, path, tt.before)
			}
			if err := Remember(t.Context(), KnownHostsFile(path), k); err != nil {
				t.Fatal(err)
			}
			if got := readText(t, path); got != tt.after {
				t.Errorf("got\n%s\nwant\n%s", got, tt.after)
			}
			known, err := readKnownHosts(KnownHostsFile(path))
			if err != nil {
				t.Fatal(err)
			}
			if verdict, why := known.judge(k.Addr, k.key); verdict != keyKnown {
				t.Errorf("it is then %v: %s", verdict, why)
			}
		})
	}
}

// hashedOther is a hashed name of another host.
const hashedOther = "|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA="

func TestRememberKeepsALinkedFile(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	writeFile(t, real, "")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := Remember(t.Context(), KnownHostsFile(link), hostKeyFor(t, "h:22")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 || readText(t, real) == "" {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
}

// Many writers at once lose no line.
func TestRememberConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	var writers sync.WaitGroup
	const n = 20
	for i := range n {
		k := hostKeyFor(t, fmt.Sprintf("host%d:22", i))
		writers.Go(func() {
			if err := Remember(t.Context(), KnownHostsFile(path), k); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got := strings.Count(readText(t, path), "\n"); got != n {
		t.Errorf("%d lines, want %d", got, n)
	}
}

func TestHostKeyAlgorithms(t *testing.T) {
	allowed := allowedAlgorithms(false).HostKeys
	legacy := allowedAlgorithms(true).HostKeys
	if got := hostKeyAlgorithms(allowed, nil, false); got[0] != ssh.KeyAlgoED25519 || slices.ContainsFunc(got, isCertAlgorithm) {
		t.Errorf("nothing known: %v", got)
	}
	if got := hostKeyAlgorithms(allowed, []string{ssh.KeyAlgoRSA}, false); !slices.Equal(got[:2], []string{"rsa-sha2-512", "rsa-sha2-256"}) ||
		slices.Contains(got, "ssh-rsa") || !slices.Contains(got, ssh.KeyAlgoED25519) {
		t.Errorf("RSA known: %v", got)
	}
	if got := hostKeyAlgorithms(legacy, []string{ssh.KeyAlgoRSA}, false); got[2] != "ssh-rsa" {
		t.Errorf("RSA known, legacy: %v", got)
	}
	if got := hostKeyAlgorithms(allowed, []string{ssh.KeyAlgoRSA, ssh.KeyAlgoED25519}, false); got[0] != ssh.KeyAlgoED25519 || got[1] != "rsa-sha2-512" {
		t.Errorf("two types known: %v", got)
	}
	got := hostKeyAlgorithms(allowed, []string{ssh.KeyAlgoECDSA256}, true)
	n := slices.IndexFunc(got, func(a string) bool { return !isCertAlgorithm(a) })
	if n < 4 || slices.ContainsFunc(got[n:], isCertAlgorithm) || got[n] != ssh.KeyAlgoECDSA256 {
		t.Errorf("an authority known: %v", got)
	}
	ciphers := allowedAlgorithms(false).Ciphers
	if !strings.Contains(ciphers[0], "gcm") || !strings.Contains(ciphers[2], "chacha20") || slices.ContainsFunc(ciphers, func(c string) bool { return strings.Contains(c, "cbc") }) {
		t.Errorf("ciphers: %v", ciphers)
	}
	if !slices.Contains(allowedAlgorithms(true).Ciphers, ssh.InsecureCipherAES128CBC) {
		t.Error("legacy has no CBC")
	}
}
