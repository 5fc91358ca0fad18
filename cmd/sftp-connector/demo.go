package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/convert"
	filesync "sftpconnector/sync"
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
		Short: "Show it at work: an embedded SFTP server, and a connector that pulls from it",
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
	source := filepath.Join(dir, "server", "results")
	if err := os.MkdirAll(source, 0o755); err != nil {
		return failed(err)
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
	cfg, err := a.demoConfig(dir, srv)
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
	return a.demoRun(ctx, cfg, srv, source)
}

// demoConfig is the configuration that a user would write for the demo's server.
func (a *app) demoConfig(dir string, srv *demoServer) (*config.Config, error) {
	text := fmt.Sprintf(`data_directory: %q
server:
  listen: 127.0.0.1:0
connectors:
  demo:
    sftp: {host: 127.0.0.1, port: %d, username: %s, password: %q, host_key: %q}
    files:
      source_directory_path: /results
      destination_directory_path: %q
      settle: 1s
    automatic_sftp_file_sync: %s
`, filepath.Join(dir, "data"), srv.port, demoUser, srv.password, srv.fingerprint, filepath.Join(dir, "copied"), demoInterval)
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
	w, err := a.open(ctx, cfg, parts, nil, nil)
	if err != nil {
		return err
	}
	defer w.close()
	e, err := w.set.Get("demo")
	if err != nil {
		return failed(err)
	}
	run, err := e.Apply()
	if err != nil {
		return failed(err)
	}
	p, err := run.Wait(ctx)
	return a.showPasses([]string{"demo"}, []interapp.Pass{convert.FromPass("demo", p)}, []error{err})
}

// demoRun lets files appear at the server while the daemon runs.
func (a *app) demoRun(ctx context.Context, cfg *config.Config, srv *demoServer, source string) error {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	to := cfg.Connectors["demo"].Files.DestinationDirectoryPath
	fmt.Fprintf(a.stdout, "An SFTP server runs at 127.0.0.1:%d; its directory is %s.\n", srv.port, source)
	fmt.Fprintf(a.stdout, "The connector looks at it every %s, and copies what stands still to %s.\n\n", demoInterval, to)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(a.stdout, time.Now().Format("15:04:05")+"  "+format+"\n", args...)
	}
	copied := 0
	parts := connector.Parts{
		Log: log,
		OnHealth: func(_ string, h connector.Health) {
			say("Connection Status: %s", h.Status)
		},
		OnDelivered: func(_ string, d filesync.Delivered) {
			copied++
			say("        copied  %s (%s)", d.Delivery.Target.Name, bytes(d.Delivery.Source.Size))
		},
	}
	w, err := a.open(ctx, cfg, parts, nil, nil)
	if err != nil {
		return err
	}
	var daemon sync.WaitGroup
	daemon.Go(func() { w.set.Run(ctx) })
	appear := time.NewTicker(demoEvery)
	defer appear.Stop()
	for i := 3; ctx.Err() == nil; i++ {
		select {
		case <-ctx.Done():
		case <-appear.C:
			name, err := demoFile(source, i)
			if err != nil {
				return failed(err)
			}
			say("new at the server: %s", name)
		}
	}
	daemon.Wait()
	w.ledger.Close()
	fmt.Fprintf(a.stdout, "\n%d files copied. Next: copy config.example.yaml to config.yaml, put your server in, and run\n  sftp-connector check, sftp-connector trust NAME, sftp-connector apply, sftp-connector run\n", copied)
	if err := context.Cause(ctx); errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
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
