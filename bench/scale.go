package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// trees shows how a first pass with its second look, and looking again, grow with the
// number of files.
func trees(ctx context.Context, o options, s *sshServer, sizes []int) error {
	fmt.Println("\nlooking again at unchanged files, by their number")
	fmt.Printf("%10s  %8s  %12s  %10s  %12s  %s\n", "files", "wall s", "µs a file", "memory MiB", "first copy s", "its memory MiB")
	for _, n := range sizes {
		from, to := filepath.Join(o.from, fmt.Sprintf("tree-%d", n)), filepath.Join(o.to, "copy")
		if err := fill(from, n, max(1, n/500), func(int) int { return 0 }); err != nil {
			return err
		}
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		argv := []string{o.sftp, "--config", configFor(s, from, to, twice.settle()), "apply", "bench", "--json"}
		first, err := measure(ctx, argv)
		if err != nil {
			return err
		}
		second, err := measure(ctx, argv)
		if err != nil {
			return err
		}
		fmt.Printf("%10d  %8.2f  %12.1f  %10d  %12.2f  %d\n", n, second.wall.Seconds(), float64(second.wall.Microseconds())/float64(n), second.memory>>20,
			first.wall.Seconds(), first.memory>>20)
		for _, p := range []string{from, to, to + ".data", to + ".yaml"} {
			os.RemoveAll(p)
		}
	}
	return nil
}

// connectors shows what a daemon with many of them costs: polling ones over a
// minute of steady state, and how long idle ones take to start.
func connectors(ctx context.Context, o options, s *sshServer, polling, idle int) error {
	from := filepath.Join(o.from, "poll")
	if err := fill(from, 10, 1, func(int) int { return 1000 }); err != nil {
		return err
	}
	start, d, err := startDaemon(ctx, o, s, from, polling, "60s")
	if err != nil {
		return err
	}
	fmt.Printf("\n%d connectors that poll a directory of 10 files every 60 s: ready after %.2f s\n", polling, start.Seconds())
	if err := d.settle(ctx, 100*time.Second); err != nil {
		return err
	}
	before, _ := d.usage()
	time.Sleep(time.Minute)
	after, memory := d.usage()
	passes, bad := d.passes()
	fmt.Printf("steady state: %.3f processors, %d MiB resident; %d passes so far, %d of them not succeeded\n", (after - before).Minutes(), memory>>20, passes, bad)
	d.stop()
	start, d, err = startDaemon(ctx, o, s, from, idle, "N/A")
	if err != nil {
		return err
	}
	_, memory = d.usage()
	fmt.Printf("%d idle connectors: ready after %.2f s, %d MiB resident\n", idle, start.Seconds(), memory>>20)
	d.stop()
	return nil
}

// daemon is our program at work.
type daemon struct {
	cmd *exec.Cmd
	url string
	dir string
}

// startDaemon starts our program with many connectors and waits until it is ready.
func startDaemon(ctx context.Context, o options, s *sshServer, from string, n int, schedule string) (time.Duration, *daemon, error) {
	dir, err := os.MkdirTemp(o.to, "daemon-")
	if err != nil {
		return 0, nil, err
	}
	var text strings.Builder
	const url = "127.0.0.1:18022"
	fmt.Fprintf(&text, "data_directory: %s/data\nserver: {listen: %q}\nconnectors:\n", dir, url)
	for i := range n {
		fmt.Fprintf(&text, `  c%05d:
    sftp: {host: 127.0.0.1, port: %s, username: %s, authentication: key-pairs, key_pairs_path: %s, known_hosts_path: %s}
    files: {source_directory_path: %s, destination_directory_path: %s/to%05d, settle: 0s}
    automatic_sftp_file_sync: %s
`, i, s.port, s.user, s.key, s.knownHosts, from, dir, i, schedule)
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return 0, nil, err
	}
	d := &daemon{cmd: exec.CommandContext(ctx, o.sftp, "--config", config, "run", "--log-level", "error"), url: "http://" + url, dir: dir}
	d.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		return 0, nil, err
	}
	for time.Since(began) < time.Minute {
		if r, err := http.Get(d.url + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return time.Since(began), d, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	d.stop()
	return 0, nil, fmt.Errorf("the daemon was not ready within a minute")
}

// settle lets the first passes go by.
func (d *daemon) settle(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// usage reads the daemon's processor time and resident memory from /proc.
func (d *daemon) usage() (cpu time.Duration, resident int64) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if _, rest, ok := strings.Cut(string(stat), ") "); ok {
		fields := strings.Fields(rest)
		var user, system, pages int64
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		fmt.Sscan(fields[21], &pages)
		return time.Duration(user+system) * 10 * time.Millisecond, pages * int64(os.Getpagesize())
	}
	return 0, 0
}

// passes reads from the metrics how many passes ended, and how many not well.
func (d *daemon) passes() (all, bad int) {
	q, err := http.NewRequest(http.MethodGet, d.url+"/metrics", nil)
	if err != nil {
		return 0, 0
	}
	token, _ := os.ReadFile(filepath.Join(d.dir, "data", "operator.token")) // an older program has none
	q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, 0
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "sftp_connector_passes_total{") {
			continue
		}
		var n float64
		fields := strings.Fields(line)
		fmt.Sscan(fields[len(fields)-1], &n)
		all += int(n)
		if !strings.Contains(line, `state="succeeded"`) {
			bad += int(n)
		}
	}
	return all, bad
}

func (d *daemon) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
	os.RemoveAll(d.dir)
}
