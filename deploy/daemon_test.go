package deploy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scrapeToken is Prometheus's.
const scrapeToken = "the-token-of-prometheus"

// scrape gives the metrics, with their labels, of a daemon that has had everything
// happen: a connector that uploads to a Space of the same daemon, and one whose server
// does not run.
func scrape(t *testing.T) map[string]labels {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "out", "x.csv"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	api, closed := freePort(t), freePort(t)
	config := fmt.Sprintf(`server:
  listen: 127.0.0.1:%[1]d
  tokens: [{name: prometheus, token: %[2]s, scopes: [read]}]
space_server: {listen: "127.0.0.1:0", secret_keys: [{name: k, key: sk_of_the_test_that_is_long, spaces: [us_sp_1]}]}
spaces: {us_sp_1: {destination_directory_path: imported}}
connectors:
  good:
    direction: upload
    sftp: {host_key: accept-new, credentials_api: {url: "http://127.0.0.1:%[1]d/v1/auth/sftp-credentials", secret_key: sk_of_the_test_that_is_long, space_id: us_sp_1}}
    files: {source_directory_path: out, destination_directory_path: /, settle: 0s}
    automatic_sftp_file_sync: 1s
  bad:
    sftp: {host: 127.0.0.1, port: %[3]d, username: x, password: x, host_key: accept-new}
    files: {source_directory_path: /, destination_directory_path: to}
    automatic_sftp_file_sync: 1s
`, api, scrapeToken, closed)
	startDaemon(t, dir, config)
	series := regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? \S+$`)
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	text := ""
	// Each comes with the first pass, import, or failure.
	for _, last := range []string{`last_success_timestamp_seconds{connector="good"}`, `last_success_timestamp_seconds{connector="spaces/us_sp_1"}`, `errors_total{connector="bad"`} {
		until(t, "/metrics has "+last, func() bool {
			text = metrics(api)
			return strings.Contains(text, "sftp_connector_"+last)
		})
	}
	found := map[string]labels{}
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		if found[m[1]] == nil {
			found[m[1]] = labels{}
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if found[m[1]][l[1]] == nil {
				found[m[1]][l[1]] = map[string]bool{}
			}
			found[m[1]][l[1]][l[2]] = true
		}
	}
	return found
}

// metrics asks for /metrics; "" when there is no answer yet.
func metrics(port int) string {
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+scrapeToken)
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// startDaemon builds the program, and runs it in dir until the test ends.
func startDaemon(t *testing.T, dir, config string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sftp-connector")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/sftp-connector").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := exec.Command(program, "--config", path, "run")
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil || t.Failed() {
			t.Errorf("the daemon: %v; it said:\n%.4000s", err, log.String())
		}
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// until asks again and again.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	give := time.After(30 * time.Second)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-give:
			t.Fatalf("not within 30 seconds: %s", what)
		case <-again.C:
		}
	}
}
