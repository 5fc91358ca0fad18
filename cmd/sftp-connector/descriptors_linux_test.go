package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Half requests to the API take nothing from Spaces, though there are more of them than
// the program may have file descriptors.
func TestHalfRequestsStarveNoSpace(t *testing.T) {
	t.Parallel()
	k := &dock{site: &site{t, t.TempDir()}, passwords: map[string]string{}}
	k.settings("", spaces{"us_1": ""})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, verb: "run", done: make(chan struct{})}
	cmd := exec.Command("sh", "-c", `ulimit -n 256 && exec "$0" "$@"`, self, "--config", k.path("config.yaml"), "run")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	k.d = k.spawnCommand(r, nil, cmd)
	k.d.until("it runs", func() bool { return strings.Contains(k.d.stderr.String(), "msg=running") })
	k.enroll()
	at := strings.TrimPrefix(k.url(), "http://")
	for range 320 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /sign-in HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
	}
	k.mustUpload(k.login("us_1"), "a.csv", "x")
	k.imports("us_1", "a.csv", "x")
	if log := k.d.stderr.String(); strings.Contains(log, "too many open files") {
		t.Errorf("the log:\n%s", k.d.stderr.end())
	}
	k.d.stop().gives(0)
}
