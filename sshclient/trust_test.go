package sshclient

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// What is fetched is the key that a connection would be shown, and what is known
// of it; to remember it leaves one that is good.
func TestTrustWithSeveralKeys(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	name := knownhosts.Normalize(server.Addr)
	line := func(host string, k ssh.PublicKey) string { return host + " " + string(ssh.MarshalAuthorizedKey(k)) }
	own := server.HostKeys
	otherEd, otherRSA := sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey(), sftptest.NewKey(t, sftptest.RSA).Signer.PublicKey()
	const authority = "@cert-authority * "
	foreign := strings.TrimPrefix(line("", sftptest.NewKey(t, sftptest.ECDSA).Signer.PublicKey()), " ")
	for title, tt := range map[string]struct {
		file           string
		known, changed bool
		kind, after    string // the file after the key was remembered, if it was not known
	}{
		"stale RSA beside":           {line(name, otherRSA) + line(name, own[0]), true, false, ssh.KeyAlgoED25519, ""},
		"another type alone":         {line(name, own[2]), true, false, ssh.KeyAlgoRSA, ""},
		"two of one type":            {line(name, otherEd) + line(name, own[0]), true, false, ssh.KeyAlgoED25519, ""},
		"all changed":                {line(name, otherEd) + line(name, otherRSA), false, true, ssh.KeyAlgoED25519, line(name, own[0])},
		"wildcard":                   {line("[127.*]:*", own[0]), true, false, ssh.KeyAlgoED25519, ""},
		"wildcard, another key":      {line("*", otherEd), false, true, ssh.KeyAlgoED25519, line("*", otherEd) + line(name, own[0])},
		"without port":               {line("127.0.0.1", own[0]), true, false, ssh.KeyAlgoED25519, ""},
		"without port, another key":  {line("127.0.0.1", otherEd), false, false, ssh.KeyAlgoED25519, line("127.0.0.1", otherEd) + line(name, own[0])},
		"foreign authority":          {authority + foreign, false, false, ssh.KeyAlgoED25519, authority + foreign + line(name, own[0])},
		"foreign authority, and key": {authority + foreign + line(name, own[1]), true, false, ssh.KeyAlgoECDSA256, ""},
	} {
		t.Run(title, func(t *testing.T) {
			cfg := keyLogin(server.Endpoint)
			cfg.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
			writeFile(t, cfg.KnownHosts.String(), tt.file)
			k, err := FetchHostKey(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if k.Known != tt.known || k.Changed != tt.changed || k.Type != tt.kind {
				t.Errorf("fetched %+v", k)
			}
			if k.Known {
				return // 'trust' says so, and leaves it at that
			}
			if err := Remember(t.Context(), cfg.KnownHosts, k); err != nil {
				t.Fatal(err)
			}
			if got := readText(t, cfg.KnownHosts.String()); got != tt.after {
				t.Errorf("remembered\n%s\nwant\n%s", got, tt.after)
			}
			if _, _, err := connectTo(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzKnownHosts(f *testing.F) {
	k, old := hostKeyFor(f, "sftp.example:2222"), hostKeyFor(f, "x:22")
	line := string(ssh.MarshalAuthorizedKey(old.key))
	for _, hosts := range []string{"", "a,b", "[sftp.example]:2222", "*", "!a,*", hashedOther, "@revoked *", "@cert-authority *", "@", "|1|", "[", "[]", ",", "!"} {
		f.Add([]byte(hosts + " " + line))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "known_hosts")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		known, err := readKnownHosts(KnownHostsFile(path))
		if err != nil {
			t.Fatalf("it cannot be read: %v", err)
		}
		known.judge(k.Addr, k.key)
		known.algorithms(k.Addr)
		edited := replaceKey(bytes.Clone(data), k)
		if verdict, why := (knownHosts{path, edited}).judge(k.Addr, k.key); verdict != keyKnown && verdict != keyRevoked {
			t.Fatalf("what was remembered is %v, %s:\n%q", verdict, why, edited)
		}
		if again := replaceKey(bytes.Clone(edited), k); !bytes.Equal(again, edited) {
			t.Fatalf("the second time it changed:\n%q\n%q", edited, again)
		}
		for l := range bytes.Lines(data) {
			if bytes.HasPrefix(l, []byte("@")) && !bytes.Contains(edited, bytes.TrimRight(l, "\n")) {
				t.Fatalf("the marker line %q is gone", l)
			}
		}
	})
}
