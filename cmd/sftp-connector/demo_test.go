package main

import (
	"net/http/cookiejar"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/status"
)

func TestDemoOnce(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()} // it needs no configuration
	o := s.run("demo", "--once").gives(0, "copied", ".csv", "succeeded", "Connection Valid")
	if n := strings.Count(o.stdout, "trace-results: copied "); n != 3 || o.stderr != "" {
		t.Errorf("%d files copied; standard error:\n%s", n, o.stderr)
	}
	var pass interapp.Pass
	strictly(t, s.run("demo", "--once", "--json").gives(0).stdout, &pass)
	if pass.State != "succeeded" || pass.Files.Copied != 3 {
		t.Errorf("%+v", pass)
	}
}

// The demo shows files that appear at the server and arrive, and leaves nothing.
func TestDemoShowsFilesArrive(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()}
	r := s.start("demo")
	arrives := func(where, how string) func() bool {
		return func() bool {
			text := r.stdout.String()
			news := regexp.MustCompile(`new ` + where + `: (\S+)`).FindStringSubmatch(text)
			return news != nil && regexp.MustCompile(how+` +`+regexp.QuoteMeta(news[1])).MatchString(text)
		}
	}
	r.until("a new file arrived", arrives("at the server", "copied"))
	r.until("a new file was uploaded", arrives("in the outbox", "uploaded"))
	r.until("the upload was imported", arrives("in the outbox", "imported"))
	r.until("one connector is seen to fail", func() bool {
		return strings.Contains(r.stdout.String(), "Connection Status of vendor-down: Connection Refused")
	})
	r.signal(syscall.SIGTERM)
	o := r.stop().gives(0, "Connection Status of trace-results: Connection Valid", "Connection Status of outbox: Connection Valid", status.ConnectionRefused.Hint(), "files copied, ", "imported. Next:")
	if o.stderr != "" {
		t.Errorf("standard error:\n%s", o.stderr)
	}
	to := regexp.MustCompile(`its directory is (\S+)\.\n`).FindStringSubmatch(o.stdout)
	if to == nil {
		t.Fatalf("it does not say where the server's directory is:\n%s", o.stdout)
	}
	if _, err := os.Stat(to[1]); !os.IsNotExist(err) {
		t.Errorf("the demo left %s: %v", to[1], err)
	}
}

// What fails in the demo can be mended over the API, as by the pages: its settings are in
// a file, which is changed and loaded anew.
func TestDemoIsMended(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()}
	r := s.start("demo")
	found := func(pattern string) string {
		t.Helper()
		var m []string
		r.until(pattern, func() bool {
			m = regexp.MustCompile(pattern).FindStringSubmatch(r.stdout.String())
			return m != nil
		})
		return m[1]
	}
	link := found(`Open (\S+) in a browser`)
	client := interapp.NewClient(link[:strings.Index(link, "/sign-in")], "")
	var err error
	if client.HTTP.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	page, err := client.HTTP.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	port, password := found(`Its server is at the port (\d+)`), found(`the password is (\S+)\.\n`)
	found(`(Connection Status of vendor-down: Connection Refused)`)
	settings, err := client.ConnectorConfiguration(t.Context(), "vendor-down")
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.ChangeConnector(t.Context(), "vendor-down", interapp.ConnectorChange{Version: settings.Version, Set: map[string]*string{"sftp.port": &port, "sftp.password": &password}})
	if err != nil {
		t.Fatal(err)
	}
	found(`(Connection Status of vendor-down: Connection Valid)`)
	r.signal(syscall.SIGTERM)
	r.stop().gives(0)
}
