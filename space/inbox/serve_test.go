package inbox_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/inbox"
)

// serveEnv asks the test's own program to be an SFTP server on its standard
// input and output, for the directory that it names.
const serveEnv = "INBOX_TEST_SERVE"

type stdio struct {
	io.Reader
	io.WriteCloser
}

func serve(dir string) {
	b, err := inbox.Open(dir, inbox.Options{Quiet: time.Nanosecond, Limits: inbox.Limits{MaximumFileSize: 8_000_000, Quota: 100_000_000}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer b.Close()
	sftp.NewRequestServer(stdio{os.Stdin, os.Stdout}, b.Handlers(), sftp.WithStartDirectory("/")).Serve()
}

// program is a script that serves dir, whatever its arguments: what real
// clients run instead of ssh.
func program(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "server")
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s'\n", serveEnv, dir, self)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
