package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// How the demo goes: files appear at first every demoEvery, so that there is something
// to see, and after demoBusy of them every demoLater, so that it may go on for days. The
// oldest go when there are more than demoKept.
const (
	demoEvery    = 1500 * time.Millisecond
	demoBusy     = 40
	demoLater    = 10 * time.Second
	demoKept     = 200
	demoInterval = 2 * time.Second
)

func (a *app) demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work: an embedded SFTP server, connectors that copy from it and one that cannot, and uploads to a Space",
		Long: `Runs the daemon with a configuration of its own, until it is interrupted: connectors
that copy from an embedded SFTP server, one that fails, and one that uploads to a Space.
All of it lies in a temporary directory, which is removed at the end.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), once) },
	}
	c.Flags().BoolVar(&once, "once", false, "do one Apply, print the summary and exit")
	c.Flags().Bool("forever", true, "go on until interrupted")
	if err := c.Flags().MarkHidden("forever"); err != nil { // it was an option once
		panic(err)
	}
	return c
}

// demo builds both ends in a temporary directory and runs the daemon on them.
func (a *app) demo(ctx context.Context, once bool) error {
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
	cfg, file, err := demoConfig(dir, srv)
	if err != nil {
		return err
	}
	if once {
		return a.demoOnce(ctx, cfg)
	}
	return a.demoRun(ctx, cfg, file, source)
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
func (a *app) demoRun(ctx context.Context, cfg *config.Config, file *configuration, source string) error {
	log, err := a.logger(slog.LevelError) // what happens to connectors is said below
	if err != nil {
		return err
	}
	var mu sync.Mutex // of the output
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(a.stdout, time.Now().Format("15:04:05")+"  "+format+"\n", args...)
	}
	var copied, uploaded, imported atomic.Int64
	watch := connector.Parts{
		OnHealth: func(name string, h connector.Health) {
			say("Connection Status of %s: %s", name, h.Status)
			if h.Hint != "" {
				say("        %s", h.Hint)
			}
		},
		OnDelivered: func(name string, d filesync.Delivered) {
			what, count := "copied", &copied
			switch name {
			case demoPush:
				what, count = "uploaded", &uploaded
			case interapp.SpaceConnector(demoSpace):
				what, count = "imported", &imported
			}
			count.Add(1)
			say("        %-8s  %s (%s)", what, d.Delivery.Target.Name, bytes(d.Delivery.Source.Size))
		},
	}
	d, err := startDaemon(ctx, cfg, file, log, false, watch)
	if err != nil {
		return err
	}
	mu.Lock()
	a.demoSays(d, source)
	mu.Unlock()
	err = demoAppear(ctx, source, cfg.Connectors[demoPush].Files.SourceDirectoryPath, say)
	if err := errors.Join(err, d.stop()); err != nil {
		return failed(err)
	}
	fmt.Fprintf(a.stdout, "\n%d files copied, %d uploaded, %d imported. Next: copy config.example.yaml to config.yaml, put your server in, and run\n  sftp-connector check, sftp-connector trust NAME, sftp-connector apply, sftp-connector run\n",
		copied.Load(), uploaded.Load(), imported.Load())
	return nil
}

// demoSays what there is to see, and where.
func (a *app) demoSays(d *daemon, source string) {
	cfg := d.cfg
	pull, cron, push := cfg.Connectors[demoPull], cfg.Connectors[demoCron].Files, cfg.Connectors[demoPush].Files
	if link, err := d.signInLink(); err == nil {
		fmt.Fprintf(a.stdout, "%s One of the connectors fails, to show what that looks like.\n\n", link)
	}
	fmt.Fprintf(a.stdout, "  %-14s copies from an SFTP server at 127.0.0.1:%d, every %s; its directory is %s.\n", demoPull, pull.SFTP.Port, demoInterval, source)
	fmt.Fprintf(a.stdout, "  %-14s copies the same to %s, each minute.\n", demoCron, cron.DestinationDirectoryPath)
	fmt.Fprintf(a.stdout, "  %-14s uploads what appears in %s to the Space %s.\n", demoPush, push.SourceDirectoryPath, demoSpace)
	fmt.Fprintf(a.stdout, "  %-14s imports what is uploaded into %s.\n", demoSpace, cfg.Spaces[demoSpace].DestinationDirectoryPath)
	fmt.Fprintf(a.stdout, "  %-14s fails, as nothing listens at its port. Its server is at the port %d; the password is %s.\n\n", demoFails, pull.SFTP.Port, pull.SFTP.Password.Reveal())
	fmt.Fprintf(a.stdout, "Its settings are in %s. Ctrl-C ends it, and removes everything.\n\n", d.configuration.File().Path)
}

// demoAppear lets files appear at the server and in the outbox until ctx ends.
func demoAppear(ctx context.Context, source, outbox string, say func(string, ...any)) error {
	appear := time.NewTicker(demoEvery)
	defer appear.Stop()
	for i := 3; ; i++ {
		if i == demoBusy {
			appear.Reset(demoLater)
		}
		dir, where := source, "at the server"
		if i%2 == 0 {
			dir, where = outbox, "in the outbox"
		}
		select {
		case <-ctx.Done():
			return nil
		case <-appear.C:
		}
		if i >= demoKept {
			_ = os.Remove(filepath.Join(dir, demoName(i-demoKept))) // it has been copied long ago
		}
		name, err := demoFile(dir, i)
		if err != nil {
			return err
		}
		say("new %s: %s", where, name)
	}
}

// demoName is the path of a sample file.
func demoName(i int) string {
	return filepath.Join(fmt.Sprintf("station-%d", i%3+1), fmt.Sprintf("trace-%03d.csv", i))
}

// demoFile writes one more sample file, and gives its path.
func demoFile(source string, i int) (string, error) {
	name := demoName(i)
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
