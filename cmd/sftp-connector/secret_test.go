package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sftpconnector/store/sftp/sftptest"
)

// Secrets are nowhere but in the configuration: not in output, logs, answers
// or the data directory, however much goes wrong and is logged.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	const (
		password   = "wrong-pa55word-of-the-test"
		passphrase = "wrong-pa55phrase-of-the-test"
		right      = "right-pa55phrase-of-the-test"
		token      = "t0ken-of-the-test-that-is-long"
		other      = "0ther-token-that-is-not-known"
	)
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	key := sftptest.NewKey(t, sftptest.Ed25519)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key.Crypto, "", []byte(right))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "")
	s.write("id", string(pem.EncodeToMemory(block)))
	s.write("config.yaml", fmt.Sprintf(`server:
  listen: 127.0.0.1:0
  tokens: [{name: tester, token: %q, scopes: [read, apply, configure]}]
connectors:
  by-password:
    sftp: {host: 127.0.0.1, port: %d, username: collector, password: %q, known_hosts_path: %[4]q}
    files: {source_directory_path: /, destination_directory_path: ./one}
    automatic_sftp_file_sync: 1s
  by-locked-key:
    sftp: {host: 127.0.0.1, port: %[2]d, username: collector, authentication: key-pairs, key_pairs_path: ./id, key_pairs_passphrase: %[5]q, known_hosts_path: %[4]q}
    files: {source_directory_path: /, destination_directory_path: ./two}
    automatic_sftp_file_sync: 1s
  by-refused-key:
    sftp: {host: 127.0.0.1, port: %[2]d, username: collector, authentication: key-pairs, key_pairs_path: ./id, key_pairs_passphrase: %[6]q, known_hosts_path: %[4]q}
    files: {source_directory_path: /, destination_directory_path: ./three}
    automatic_sftp_file_sync: 1s
`, token, server.Port, password, server.KnownHosts, passphrase, right))

	told := map[string]string{}
	tell := func(args ...string) outcome {
		o := s.run(append(args, "--log-level", "debug", "--log-format", "json")...)
		told[o.verb] = o.stdout + o.stderr
		return o
	}
	tell("config", "check", "--json").gives(0)
	tell("check").gives(1, "by-password: Authentication Failed", "by-refused-key: Authentication Failed", "by-locked-key: Authentication Failed")
	// No more than this, as every look at the locked key takes its time.
	for _, verb := range []string{"check by-password --json", "apply by-password --json", "ls by-password", "history by-refused-key --json", "trust by-password"} {
		tell(strings.Fields(verb)...)
	}

	r := s.daemon("--log-level", "debug", "--log-format", "json")
	ask := func(method, path, token string) (int, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+token)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		a, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		told[fmt.Sprintf("%s %s with %.5s…", method, path, token)] = fmt.Sprint(a.Header) + string(body)
		return a.StatusCode, string(body)
	}
	r.until("every connector was refused", func() bool {
		_, body := ask("GET", "/api/v1/connectors", token)
		return strings.Count(body, `"Authentication Failed"`) >= 3 && strings.Count(body, `"last_pass":null`) == 0
	})
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/api/v1/connectors/by-password", "/api/v1/connectors/by-locked-key/passes", "/api/v1/connectors/by-password/files"} {
		ask("GET", path, token)
		if code, _ := ask("GET", path, other); code == http.StatusOK && strings.HasPrefix(path, "/api/") {
			t.Errorf("GET %s with an unknown token: %d", path, code)
		}
	}
	if code, _ := ask("POST", "/api/v1/connectors/by-password/check", token); code != http.StatusOK {
		t.Errorf("check: %d", code)
	}
	tell("status", "--json")
	tell("status")
	tell("apply", "by-password")
	tell("status", "--token", other)
	told["the log of the daemon"] = r.stop().stderr

	err = filepath.WalkDir(s.path("data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		told[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told[s.path("data/ledger.db")]) == 0 || !strings.Contains(told["the log of the daemon"], "Authentication Failed") {
		t.Fatal("there is nothing to look at")
	}
	for where, text := range told {
		for _, secret := range []string{password, passphrase, right, token, other} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has the secret %s: …%q…", where, secret, text[max(0, at-100):min(len(text), at+100)])
			}
		}
	}
}
