package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// appliers is how many connectors one 'apply' works on at a time.
const appliers = 8

func (a *app) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply [NAME…]",
		Short: "Validate the connection and copy all files now",
		Long: `Validates the connection and makes sure that every matching file is at the
destination: new and changed files are copied, and what is missing there comes
back. Files that still change are waited for once (files.settle).

Without a NAME it works on every connector. When a daemon runs with the same
data directory, it is asked to do the work.`,
		RunE: func(c *cobra.Command, names []string) error { return a.apply(c.Context(), names) },
	}
}

func (a *app) apply(ctx context.Context, names []string) error {
	parts := connector.Parts{}
	if !a.json && !terminal(a.stderr) {
		parts.OnDelivered = a.printDelivered
	}
	by, names, err := a.reach(ctx, config.ScopeApply, names, parts)
	if err != nil {
		return err
	}
	defer by.close()
	stop := a.showProgress(ctx, by.passProgress, names)
	passes, errs := by.applyAll(ctx, names)
	stop()
	return a.showPasses(names, passes, errs)
}

// printDelivered is the plain line for a copied file.
func (o *output) printDelivered(name string, d filesync.Delivered) {
	verb := "copied"
	if d.Delivery.Adopted {
		verb = "present"
	}
	note := ""
	if d.Delivery.After == filesync.AfterUnverified {
		note = ", unverified"
	}
	fmt.Fprintf(o.stdout, "%s: %s %s (%s)%s\n", name, verb, shown(d.Delivery.Source.Name), bytes(d.Delivery.Source.Size), note)
}

// applyAll applies connectors and waits for the outcomes. When ctx ends, the passes
// of this process are cancelled.
func (b *api) applyAll(ctx context.Context, names []string) ([]interapp.Pass, []error) {
	ctx, release := b.untilStopped(ctx)
	defer release()
	passes := make([]interapp.Pass, len(names))
	errs := make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(appliers)
	for i, name := range names {
		g.Go(func() error {
			passes[i], errs[i] = b.apply(ctx, name)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return passes, errs
}

func (b *api) apply(ctx context.Context, name string) (interapp.Pass, error) {
	for {
		// Asked again while it runs or is queued, the API joins us to it.
		pass, done, err := b.Apply(ctx, name, interapp.MaxWait)
		if done || err != nil {
			return pass, err
		}
	}
}

func (b *api) passProgress(ctx context.Context, name string) *interapp.Progress {
	c, err := b.Connector(ctx, name)
	if err != nil || c.Running == nil {
		return nil
	}
	return c.Running.Progress
}

// showPasses prints what became of the passes and gives the exit code.
func (o *output) showPasses(names []string, passes []interapp.Pass, errs []error) error {
	code := exitOK
	var why []error
	shownPasses := []interapp.Pass{} // a list in JSON, also when it is empty
	for i, p := range passes {
		switch {
		case errs[i] != nil:
			why = append(why, fmt.Errorf("%s: %w", names[i], errs[i]))
			code = exitFailed
			continue
		case p.State == string(filesync.Failed), p.State == string(filesync.Cancelled):
			code = exitFailed
		case p.State == string(filesync.Partial) && code == exitOK:
			code = exitPartial
		}
		shownPasses = append(shownPasses, p)
	}
	if err := o.printPasses(len(names), shownPasses); err != nil {
		return err
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code, errors.Join(why...)}
}

func (o *output) printPasses(asked int, passes []interapp.Pass) error {
	if o.json {
		if asked == 1 && len(passes) == 1 {
			return o.printJSON(passes[0])
		}
		if asked == 1 {
			return nil
		}
		return o.printJSON(passes)
	}
	t := o.table("CONNECTOR", "STATE", "SEEN", "COPIED", "BYTES", "PRESENT", "WAITING", "PROBLEMS", "TOOK", "STATUS")
	for _, p := range passes {
		f := p.Files
		took := ""
		if p.Finished != nil {
			took = p.Finished.Sub(p.Started).Round(10 * time.Millisecond).String()
		}
		t.row(p.Connector, p.State, f.Seen, f.Copied, bytes(f.Bytes), f.Present, f.Waiting,
			f.Failed+f.Conflict+f.Quarantined+f.Unsafe, took, p.ConnectionStatus)
	}
	t.flush()
	for _, p := range passes {
		o.printFailure(p)
	}
	return nil
}

// printTrouble says why a pass failed, which files did, and how many were not confirmed.
func (o *output) printFailure(p interapp.Pass) {
	if n := p.Files.Unverified; n > 0 {
		fmt.Fprintf(o.stdout, "%s: %d of the copied files are unverified: the server did not confirm that what was read is what it listed; their originals are left\n", p.Connector, n)
	}
	if p.Error != "" {
		fmt.Fprintf(o.stdout, "%s: %s\n", p.Connector, shown(p.Error))
		if p.Hint != "" {
			fmt.Fprintf(o.stdout, "  %s\n", p.Hint)
		}
	}
	const most = 20
	for i, f := range p.Failures {
		if i == most {
			fmt.Fprintf(o.stdout, "%s: and %d more; see them with --json\n", p.Connector, len(p.Failures)-most)
			break
		}
		fmt.Fprintf(o.stdout, "%s: %s: %s\n", p.Connector, shown(f.Name), shown(f.Error))
		if f.Hint != "" {
			fmt.Fprintf(o.stdout, "  %s\n", f.Hint)
		}
	}
}
