package sshd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

func fingerprints(t *testing.T, dir string) []string {
	t.Helper()
	signers, err := loadHostKeys(HostKeyDirectory(dir))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range signers {
		all = append(all, s.PublicKey().Type()+" "+ssh.FingerprintSHA256(s.PublicKey()))
	}
	return all
}

func TestHostKeysAreMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	first := fingerprints(t, dir)
	if len(first) != 3 || !strings.HasPrefix(first[0], "ssh-ed25519 ") || !strings.HasPrefix(first[1], "ecdsa-sha2-nistp256 ") ||
		!strings.HasPrefix(first[2], "ssh-rsa ") {
		t.Fatalf("the keys are %v", first)
	}
	if again := fingerprints(t, dir); strings.Join(again, " ") != strings.Join(first, " ") {
		t.Errorf("%v became %v", first, again)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
	for i, kind := range hostKeyKinds {
		path := filepath.Join(dir, kind.file)
		if fi, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, fi.Mode(), err)
		}
		// OpenSSH reads them too.
		out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-l", "-f", path).CombinedOutput()
		if _, print, _ := strings.Cut(first[i], " "); err != nil || !strings.Contains(string(out), print) {
			t.Errorf("ssh-keygen: %v\n%s", err, out)
		}
	}
}

func TestHostKeysOfTwoThatStartAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	found := make([][]string, 8)
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() { found[i] = fingerprints(t, dir) })
	}
	all.Wait()
	for _, f := range found {
		if strings.Join(f, " ") != strings.Join(found[0], " ") {
			t.Errorf("%v and %v", f, found[0])
		}
	}
}

// A server that has keys already gets those of the kinds that came later, and keeps
// its own.
func TestHostKeysOfLaterKindsAreAdded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := fingerprints(t, dir)
	if err := os.Remove(filepath.Join(dir, "ssh_host_rsa_key")); err != nil {
		t.Fatal(err)
	}
	again := fingerprints(t, dir)
	if !slices.Equal(again[:2], first[:2]) || again[2] == first[2] {
		t.Errorf("%v became %v", first, again)
	}
}

// An RSA key signs with SHA-2 only.
func TestRSAHostKeySignsWithoutSHA1(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := newOpenSSH(t, r)
	for algorithm, works := range map[string]bool{"rsa-sha2-512": true, "rsa-sha2-256": true, "ssh-rsa": false} {
		out, err := c.batch("pwd\n", "-o", "HostKeyAlgorithms="+algorithm)
		if (err == nil) != works {
			t.Errorf("%s: %v\n%s", algorithm, err, out)
		}
		if !works && !strings.Contains(out, "no matching host key type found") {
			t.Errorf("%s: %s", algorithm, out)
		}
	}
}

// A key that cannot be used is never replaced.
func TestUnusableHostKeysAreErrors(t *testing.T) {
	t.Parallel()
	good := t.TempDir()
	fingerprints(t, good)
	for _, c := range []struct {
		name, want string
		spoil      func(path string) error
	}{
		{"empty", "no unencrypted private key", func(path string) error { return os.Truncate(path, 0) }},
		{"half", "no unencrypted private key", func(path string) error { return os.Truncate(path, 100) }},
		{"readable by others", "chmod 600", func(path string) error { return os.Chmod(path, 0o640) }},
		{"a directory", "ssh_host_ed25519_key", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}},
		{"of another type", "not ssh-ed25519", func(path string) error {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(path), "ssh_host_ecdsa_key"))
			if err != nil {
				return err
			}
			return os.WriteFile(path, data, 0o600)
		}},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		for _, kind := range hostKeyKinds {
			if err := os.Chmod(filepath.Join(dir, kind.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "ssh_host_ed25519_key")
		if err := c.spoil(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		_, err := loadHostKeys(HostKeyDirectory(dir))
		wants(t, c.name, err, c.want)
		wants(t, c.name, err, "ssh_host_ed25519_key")
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s: the key was changed", c.name)
		}
	}
	_, err := loadHostKeys(HostKeyDirectory(filepath.Join(good, "ssh_host_rsa_key")))
	wants(t, "a file", err, "ssh_host_rsa_key")
}
