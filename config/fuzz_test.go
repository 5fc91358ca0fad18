package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: no text makes the parser panic, an error is one line for each
// mistake, and neither errors nor the configuration show a secret.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range append(files, "../config.example.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	const secret = "correct-horse-battery-staple"
	env := func(string) (string, bool) { return secret, true }
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "horse") {
			return
		}
		c, err := Parse("c.yaml", text, env)
		if err != nil {
			if c != nil {
				t.Error("an error and a configuration")
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "c.yaml:") {
					t.Errorf("a line of its own: %q", line)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a secret in %v", err)
			}
			return
		}
		for name, connector := range c.Connectors {
			if !connector.Equal(connector) {
				t.Errorf("%s is not equal to itself", name)
			}
			for _, value := range []Secret{connector.SFTP.Password, connector.SFTP.KeyPairsPassphrase,
				connector.SFTP.CredentialsAPI.SecretKey, connector.Files.SystemPassword} {
				if printed := fmt.Sprintf("%+v", value); printed != "" && printed != "[redacted]" {
					t.Errorf("printed %q", printed)
				}
			}
		}
		for name, space := range c.Spaces {
			if !space.Equal(space) {
				t.Errorf("the Space %s is not equal to itself", name)
			}
		}
		if !c.SpaceServer.Equal(c.SpaceServer) {
			t.Error("the server of Spaces is not equal to itself")
		}
	})
}
