package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInteractiveAnswers: each answer may be written, or lie in a file.
func TestInteractiveAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "answer")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := parse(t, oneConnector("interactive_answers: {Code: 007, 'Second *': \"${SECRET}\", '[3] Third_file': '"+file+"'}", "", ""))
	want := map[string]string{"Code": "007", "Second *": "hunter2", "[3] Third": "from a file"}
	if got := c.Connectors["a"].SFTP.InteractiveAnswers.Reveal(); !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	alone := parse(t, strings.Replace(oneConnector("interactive_answers: {Code: x}", "", ""), "password: pw", "port: 22", 1))
	if alone.Connectors["a"].SFTP.Password != "" {
		t.Error("a password out of nowhere")
	}
}

// TestTooManyAnswers: a list that is long on purpose is refused, and not worked through.
func TestTooManyAnswers(t *testing.T) {
	var text strings.Builder
	for i := range 101 {
		fmt.Fprintf(&text, "P%d: x, ", i)
	}
	_, err := Parse("config.yaml", []byte(oneConnector("interactive_answers: {"+text.String()+"}", "", "")), nil)
	if err == nil || !strings.Contains(err.Error(), "too many answers; allowed: up to 100") {
		t.Errorf("got %v", err)
	}
}

// TestLogins: what a login and a jump host may have.
func TestLogins(t *testing.T) {
	for name, sftp := range map[string]string{
		"both":                "authentication: both\n      key_pairs_path: id\n      key_pairs_passphrase: x",
		"a jump host":         "proxy_jump: a@b\n      proxy_jump_password: x",
		"a jump host's key":   "proxy_jump: a@b\n      proxy_jump_key_pairs_path: id\n      proxy_jump_key_pairs_passphrase: x",
		"a jump host's login": "proxy_jump: a@b",
	} {
		c := parse(t, oneConnector(sftp, "", ""))
		if path := c.Connectors["a"].SFTP.JumpKeyPairsPath; path != "" && !filepath.IsAbs(path) {
			t.Errorf("%s: the path is %q", name, path)
		}
	}
	fetched := strings.NewReplacer("host: sftp.example", "authentication: both", "username: collector", "key_pairs_path: id",
		"password: pw", "credentials_api: {url: 'https://a.example/', secret_key: k, space_id: s}").Replace(oneConnector("", "", ""))
	parse(t, fetched)
}

// TestSecretText: what editors on Windows make of a secret is that secret.
func TestSecretText(t *testing.T) {
	for text, want := range map[string]string{
		"hunter2":                           "hunter2",
		"hunter2\n":                         "hunter2",
		"hunter2\r\n":                       "hunter2",
		"hunter2\r":                         "hunter2\r",
		"two\n\n":                           "two\n",
		"\ufeffgeheim\r\n":                  "geheim",
		"\xff\xfeh\x00\xe4\x00\r\x00\n\x00": "hä",
		"\xfe\xff\x00h\x00\xe4\x00\n":       "hä",
		"\xff\xfe\x3d\xd8\x00\xde":          "😀",
		"\xff\xfeh\x00\xe4":                 "!", // it ends within a character
		"\xff\xfe\r\x00\n\x00":              "!",
		"\ufeff":                            "!",
		"":                                  "!",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readSecret(dir, "secret")
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}
