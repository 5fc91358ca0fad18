package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/status"
	"sftpconnector/store/local"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// uploadFlags are how files are put.
type uploadFlags struct {
	name  string
	force bool
}

func (a *app) uploadCommand() *cobra.Command {
	var f uploadFlags
	c := &cobra.Command{
		Use:   "upload NAME FILE…",
		Short: "Put local files on the server of a connector whose direction is upload",
		Long: `Puts local files into the destination directory of a connector whose direction
is upload, each under its base name. They appear there whole, or not at all.
Originals stay, and the connector's own passes know nothing of it.

A remote file of the same name, size and time is taken for the same; any other
is kept, unless --force. A large upload that was interrupted goes on when the
same FILE is put again. A FILE of "-" is standard input, which is written to the
data directory first, as its size has to be known.

Exit codes: 0 all is well, 1 it could not be done, 3 done, but some files failed.`,
		Example: `  sftp-connector upload flatfile myfile.csv
  pg_dump shop | sftp-connector upload backups - --name shop.sql`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return a.upload(c.Context(), args[0], args[1:], f) },
	}
	c.Flags().StringVar(&f.name, "name", "", "the remote `name` of the one FILE")
	c.Flags().BoolVar(&f.force, "force", false, "replace remote files of the same name")
	return c
}

func (a *app) upload(ctx context.Context, name string, files []string, f uploadFlags) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if _, err := named(cfg, []string{name}); err != nil {
		return err
	}
	if !cfg.Connectors[name].Uploads() {
		return usage("the direction of connector %s is download; 'upload' takes one with direction: upload", name)
	}
	paths, err := remoteNames(files, f.name)
	if err != nil {
		return err
	}
	kept, err := openStandardInput(ctx, cfg.DataDirectory)
	if err != nil {
		return failed(err)
	}
	defer kept.close()
	for remote, path := range paths {
		if path != "-" {
			continue
		}
		if paths[remote], err = kept.keep(ctx, a.stdin); err != nil {
			return failed(err)
		}
	}
	bad := leaveOut(paths)
	pass := interapp.Pass{State: string(filesync.Failed), ConnectionStatus: string(status.NotChecked)}
	if len(paths) > 0 {
		if pass, err = a.putFiles(ctx, cfg, name, paths, f.force); err != nil {
			for _, x := range bad {
				fmt.Fprintf(a.stderr, "sftp-connector: %s\n", x.Error)
			}
			return err
		}
	}
	pass.Connector = name
	pass.Files.Seen += int64(len(bad))
	pass.Files.Failed += int64(len(bad))
	pass.Failures = append(bad, pass.Failures...)
	if len(bad) > 0 && pass.State == string(filesync.Succeeded) {
		pass.State = string(filesync.Partial)
	}
	return a.showPasses([]string{name}, []interapp.Pass{pass}, []error{nil})
}

// leaveOut takes out what cannot be put, and gives why.
func leaveOut(paths map[string]string) (bad []interapp.FileFailure) {
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		info, err := os.Stat(paths[name])
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", paths[name])
		}
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = fmt.Errorf("%s: %w", paths[name], e.Err)
		}
		if err != nil {
			bad = append(bad, interapp.FileFailure{Name: name, Error: err.Error(), Hint: "Name a file that this user may read."})
			delete(paths, name)
		}
	}
	return bad
}

// remoteNames gives each file its name on the server.
func remoteNames(files []string, one string) (map[string]string, error) {
	if one != "" && len(files) > 1 {
		return nil, usage("--name is for one FILE; there are %d", len(files))
	}
	paths := map[string]string{}
	for _, path := range files {
		name := filepath.Base(path)
		if one != "" {
			name = one
		}
		switch {
		case path == "-" && one == "":
			return nil, usage("standard input has no name: give it one with --name")
		case paths[name] != "":
			return nil, usage("%s and %s have the same base name", paths[name], path)
		case filesync.IsTemporary(name):
			return nil, usage("%q is a name of unfinished files, which receivers leave alone: give it another one with --name", name)
		case name == "." || name == "..":
			return nil, usage("%q is no name of a file: give it another one with --name", name)
		case strings.ContainsAny(name, `/\`) && one == "":
			return nil, usage("the name of %q has a backslash, which parts directories at some servers: give it another one with --name", path)
		case strings.ContainsAny(name, `/\`):
			return nil, usage("--name %q has a slash or a backslash: files go into the destination directory itself", name)
		}
		paths[name] = path
	}
	return paths, nil
}

// putting is the connector that puts files to the server of another one. Its name
// is none that a connector can have.
func putting(c *config.Connector, force bool) *config.Connector {
	own := *c
	own.Name = c.Name + " upload"
	own.Files.Include, own.Files.Exclude = []string{"**"}, nil
	own.Files.MaximumFileSize, own.Files.MinimumAge, own.Files.Settle = 0, 0, 0
	own.Files.AfterCopy = config.AfterCopy{Action: config.Leave}
	own.Files.SourceDirectoryPath = "" // the files lie anywhere
	if force {
		own.Files.OnConflict = config.OverwriteOnConflict
	}
	return &own
}

// putFiles runs an Apply of a connector of its own between the files and the server.
func (a *app) putFiles(ctx context.Context, cfg *config.Config, name string, paths map[string]string, force bool) (interapp.Pass, error) {
	none := interapp.Pass{}
	own := putting(cfg.Connectors[name], force)
	all := *cfg
	all.Connectors = map[string]*config.Connector{own.Name: own}
	parts := connector.Parts{Source: func(context.Context, *config.Connector, status.Observer) (connector.Source, error) {
		f, err := local.OpenFiles(paths)
		if err != nil {
			return nil, err
		}
		return f, nil
	}}
	if !a.json && !terminal(a.stderr) {
		parts.OnDelivered = func(_ string, d filesync.Delivered) { a.printDelivered(name, d) }
	}
	unlock, err := a.await(ctx, locks(cfg), own.Name)
	if err != nil {
		return none, failed(err)
	}
	defer unlock()
	parts.Lock = func(string) (func(), error) { return func() {}, nil } // it is held already
	by, err := a.serve(ctx, &all, parts, nil)
	if err != nil {
		return none, err
	}
	defer by.close()
	if err := refusePaused(ctx, by.inside.ledger, name); err != nil {
		return none, failed(err)
	}
	c, err := by.inside.set.Get(own.Name)
	if err == nil {
		err = c.Ledger().Clear(ctx)
	}
	if err != nil {
		return none, failed(err)
	}
	stop := a.showProgress(ctx, by.passProgress, []string{own.Name})
	passes, errs := by.applyAll(ctx, []string{own.Name})
	stop()
	pass := passes[0]
	if errs[0] != nil {
		return none, &exitError{exitFailed, fmt.Errorf("%s: %w", name, errs[0])}
	}
	for i, x := range pass.Failures {
		hint := strings.Replace(x.Hint, "set files.on_conflict: overwrite", "add --force", 1)
		pass.Failures[i].Hint = strings.Replace(hint, "; it is tried again on its own", "", 1)
	}
	return pass, nil
}

// refusePaused gives a *connector.PausedError if the ledger has the connector as paused.
func refusePaused(ctx context.Context, l *ledger.Ledger, name string) error {
	c, err := l.Connector(ctx, name)
	if err != nil {
		return err
	}
	p, err := c.Paused(ctx)
	if err == nil && !p.Since.IsZero() {
		err = &connector.PausedError{Connector: name, Pause: interapp.Pause{Since: p.Since, By: p.By, Reason: p.Reason}}
	}
	return err
}

// await takes a lock, and waits while another process has it.
func (a *app) await(ctx context.Context, lock func(string) (func(), error), name string) (unlock func(), err error) {
	for said := false; ; {
		unlock, err := lock(name)
		if !errors.Is(err, connector.ErrBusy) {
			return unlock, err
		}
		if !said {
			said = true
			fmt.Fprintln(a.stderr, "waiting for another upload by this connector")
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

const lockPoll = 200 * time.Millisecond
