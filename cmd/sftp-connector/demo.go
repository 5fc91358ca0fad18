package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// The connectors and the Space of the demo.
const (
	demoPull  = "demo"
	demoPush  = "demo-upload"
	demoSpace = "us_sp_demo"
)

// How the demo goes: a file every demoEvery, for demoFor, fetched every demoInterval.
const (
	demoEvery    = 1500 * time.Millisecond
	demoInterval = 2 * time.Second
	demoFor      = 30 * time.Second
)

func (a *app) demoCommand() *cobra.Command {
	var once, forever bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work: an embedded SFTP server, a connector that pulls from it, and uploads to a Space",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), once, forever) },
	}
	c.Flags().BoolVar(&once, "once", false, "do one Apply, print the summary and exit")
	c.Flags().BoolVar(&forever, "forever", false, "go on until interrupted")
	return c
}

// demo builds both ends in a temporary directory and runs the daemon on them.
func (a *app) demo(ctx context.Context, once, forever bool) error {
	dir, err := os.MkdirTemp("", "sftp-connector-demo-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	source, outbox := filepath.Join(dir, "server", "results"), filepath.Join(dir, "outbox")
	for _, d := range []string{source, outbox} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return failed(err)
		}
	}
	srv, err := startDemoServer(source, dir)
	if err != nil {
		return failed(err)
	}
	defer srv.close()
	for i := range 3 {
		if _, err := demoFile(source, i); err != nil {
			return failed(err)
		}
	}
	cfg, err := demoConfig(dir, srv)
	if err != nil {
		return err
	}
	if once {
		return a.demoOnce(ctx, cfg)
	}
	if !forever {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, demoFor)
		defer end()
	}
	return a.demoRun(ctx, cfg, source)
}

// demoConfig is the configuration that a user would write for the demo: one
// connector pulls from the server, another one uploads to a Space of this very
// program, with a login that it fetches.
func demoConfig(dir string, srv *demoServer) (*config.Config, error) {
	api, err := freePort()
	if err != nil {
		return nil, failed(err)
	}
	secret := "sk_" + rand.Text()
	text := fmt.Sprintf(`data_directory: %q
server:
  listen: 127.0.0.1:%d
space_server:
  listen: 127.0.0.1:0
  secret_keys: [{name: demo, key: %q, spaces: [%s]}]
spaces:
  %s: {destination_directory_path: %q}
connectors:
  %s:
    sftp: {host: 127.0.0.1, port: %d, username: %s, password: %q, host_key: %q}
    files:
      source_directory_path: /results
      destination_directory_path: %q
      settle: 1s
    automatic_sftp_file_sync: %s
  %s:
    direction: upload
    sftp:
      host_key: accept-new
      credentials_api: {url: "http://127.0.0.1:%d/v1/auth/sftp-credentials", secret_key: %q, space_id: %s}
    files:
      source_directory_path: %q
      destination_directory_path: /
      settle: 1s
    automatic_sftp_file_sync: %s
`, filepath.Join(dir, "data"), api, secret, demoSpace, demoSpace, filepath.Join(dir, "imported"),
		demoPull, srv.port, demoUser, srv.password, srv.fingerprint, filepath.Join(dir, "copied"), demoInterval,
		demoPush, api, secret, demoSpace, filepath.Join(dir, "outbox"), demoInterval)
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, failed(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, failed(err)
	}
	return cfg, nil
}

// freePort gives a port of loopback that nobody uses at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// demoOnce does one Apply.
func (a *app) demoOnce(ctx context.Context, cfg *config.Config) error {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	parts := connector.Parts{Log: log}
	if !a.json {
		parts.OnDelivered = a.printDelivered
	}
	by, err := a.serve(ctx, cfg, parts, nil)
	if err != nil {
		return err
	}
	defer by.close()
	passes, errs := by.applyAll(ctx, []string{demoPull})
	return a.showPasses([]string{demoPull}, passes, errs)
}

// demoRun lets files appear at the server and in the outbox while the daemon runs.
func (a *app) demoRun(ctx context.Context, cfg *config.Config, source string) error {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	pull, push, imports := cfg.Connectors[demoPull].Files, cfg.Connectors[demoPush].Files, cfg.Spaces[demoSpace]
	fmt.Fprintf(a.stdout, "An SFTP server runs at 127.0.0.1:%d; its directory is %s.\n", cfg.Connectors[demoPull].SFTP.Port, source)
	fmt.Fprintf(a.stdout, "One connector looks at it every %s, and copies what stands still to %s.\n", demoInterval, pull.DestinationDirectoryPath)
	fmt.Fprintf(a.stdout, "Another one uploads what appears in %s to the Space %s, which imports it into %s.\n\n", push.SourceDirectoryPath, demoSpace, imports.DestinationDirectoryPath)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(a.stdout, time.Now().Format("15:04:05")+"  "+format+"\n", args...)
	}
	did := map[string]*atomic.Int64{"copied": {}, "uploaded": {}, "imported": {}}
	watch := connector.Parts{
		OnHealth: func(name string, h connector.Health) { say("Connection Status of %s: %s", name, h.Status) },
		OnDelivered: func(name string, d filesync.Delivered) {
			what := map[string]string{demoPull: "copied", demoPush: "uploaded", interapp.SpaceConnector(demoSpace): "imported"}[name]
			did[what].Add(1)
			say("        %-8s  %s (%s)", what, d.Delivery.Target.Name, bytes(d.Delivery.Source.Size))
		},
	}
	d, err := startDaemon(ctx, cfg, nil, log, false, watch)
	if err != nil {
		return err
	}
	appear := time.NewTicker(demoEvery)
	defer appear.Stop()
	for i := 3; ctx.Err() == nil; i++ {
		dir, where := source, "at the server"
		if i%2 == 0 {
			dir, where = push.SourceDirectoryPath, "in the outbox"
		}
		select {
		case <-ctx.Done():
		case <-appear.C:
			name, err := demoFile(dir, i)
			if err != nil {
				return failed(errors.Join(err, d.stop()))
			}
			say("new %s: %s", where, name)
		}
	}
	if err := d.stop(); err != nil {
		return failed(err)
	}
	fmt.Fprintf(a.stdout, "\n%d files copied, %d uploaded, %d imported. Next: copy config.example.yaml to config.yaml, put your server in, and run\n  sftp-connector check, sftp-connector trust NAME, sftp-connector apply, sftp-connector run\n",
		did["copied"].Load(), did["uploaded"].Load(), did["imported"].Load())
	return nil
}

// demoFile writes one more sample file, and gives its path.
func demoFile(source string, i int) (string, error) {
	name := filepath.Join(fmt.Sprintf("station-%d", i%3+1), fmt.Sprintf("trace-%03d.csv", i))
	path := filepath.Join(source, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	text := "time,value\n"
	for k := range 200 {
		text += fmt.Sprintf("%d,%d\n", k, (k*7919+i*104729)%1000)
	}
	return filepath.ToSlash(name), os.WriteFile(path, []byte(text), 0o644)
}
