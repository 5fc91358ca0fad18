package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"sftpconnector/interapp"
)

// Who writes a secret out into a file that others can read is told before, and how else
// it could be.
func TestConfigurationWarnsOfReadableSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there are no modes
	}
	t.Parallel()
	e := edited(t, noted)
	c, err := e.client.ConnectorConfiguration(t.Context(), "results")
	if err != nil {
		t.Fatal(err)
	}
	dry := func(c interapp.ConnectorChange) interapp.ConnectorChange { c.DryRun = true; return c }
	secret := set("sftp.password", newCanary)
	for _, test := range []struct {
		what   string
		mode   os.FileMode
		change interapp.ConnectorChange
		warns  []string // nil: not at all
	}{
		{"others read it, dry", 0o604, dry(secret), []string{"sftp.password from", "(mode 0604)", "chmod 600", "${NAME}", "sftp.password_file"}},
		{"the group reads it", 0o640, secret, []string{"(mode 0640)"}},
		{"as text", 0o644, dry(yamlText(strings.Replace(c.YAML, `"[redacted]" # do`, newCanary[:15]+" # do", 1))), []string{"sftp.password from", "sftp.password_file"}},
		{"its owner's alone", 0o600, dry(secret), nil},
		{"no secret", 0o644, dry(set("retention", "9d")), nil},
		{"a secret that stays", 0o644, dry(yamlText(c.YAML)), nil},
		{"an empty secret", 0o644, dry(set("sftp.key_pairs_passphrase", "")), nil},
	} {
		if err := os.Chmod(e.path("config.yaml"), test.mode); err != nil {
			t.Fatal(err)
		}
		out, err := e.put("results", test.change)
		if err != nil || out.Warnings == nil || len(out.Warnings) != min(1, len(test.warns)) {
			t.Errorf("%s: %+v, %v", test.what, out, err)
			continue
		}
		for _, text := range test.warns {
			if !strings.Contains(out.Warnings[0], text) {
				t.Errorf("%s: %q is not in %s", test.what, text, out.Warnings[0])
			}
		}
	}
	out, err := e.client.RemoveConnector(t.Context(), "results", e.version(), true)
	if err != nil || out.Warnings == nil || len(out.Warnings) != 0 {
		t.Errorf("a removal: %+v, %v", out, err)
	}
	e.notTold()
	e.d.stop().gives(0)
}
