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

// applier applies connectors, here or in a daemon.
type applier interface {
	apply(ctx context.Context, name string) (interapp.Pass, error)
	progresser
}

func (a *app) apply(ctx context.Context, names []string) error {
	by, names, closeIt, err := a.applier(ctx, names)
	if err != nil {
		return err
	}
	defer closeIt()
	stop := a.showProgress(ctx, by, names)
	passes := make([]interapp.Pass, len(names))
	errs := make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(appliers)
	for i, name := range names {
		g.Go(func() error {
			passes[i], errs[i] = by.apply(ctx, name)
			return nil
		})
	}
	g.Wait()
	stop()
	return a.showPasses(names, passes, errs)
}

// applier gives what does the work: the daemon that has the data directory, or
// this process.
func (a *app) applier(ctx context.Context, names []string) (applier, []string, func(), error) {
	client, err := a.client(config.ScopeApply)
	if err != nil {
		return nil, nil, nil, err
	}
	if client != nil {
		names, err = namesAt(ctx, client, names)
		return remote{client}, names, func() {}, err
	}
	h := &here{runs: newRuns()}
	parts := connector.Parts{}
	if !a.json && !terminal(a.stderr) {
		parts.OnDelivered = a.printDelivered
	}
	h.workshop, names, err = a.workshop(ctx, names, parts)
	if err != nil {
		return nil, nil, nil, err
	}
	return h, names, h.close, nil
}

// printDelivered is the plain line for a copied file.
func (a *app) printDelivered(name string, d filesync.Delivered) {
	verb := "copied"
	if d.Delivery.Adopted {
		verb = "present"
	}
	note := ""
	if d.Delivery.After == filesync.AfterUnverified {
		note = ", unverified"
	}
	fmt.Fprintf(a.stdout, "%s: %s %s (%s)%s\n", name, verb, shown(d.Delivery.Source.Name), bytes(d.Delivery.Source.Size), note)
}

// here applies in this process.
type here struct {
	*workshop
	runs *runs
}

func (h *here) apply(ctx context.Context, name string) (interapp.Pass, error) {
	e, err := h.set.Get(name)
	if err != nil {
		return interapp.Pass{}, err
	}
	run, err := e.Apply()
	if err != nil {
		return interapp.Pass{}, err
	}
	h.runs.put(name, e, run)
	stop := context.AfterFunc(ctx, h.set.Stop) // ends the pass cleanly
	defer stop()
	<-run.Done()
	p, err := run.Report()
	return p.Message(name), err
}

func (h *here) progress(_ context.Context, name string) (interapp.Progress, bool) {
	return h.runs.progress(name)
}

// remote applies in a daemon.
type remote struct{ client *interapp.Client }

// applyWait is how long one question waits for the end of an Apply.
const applyWait = interapp.MaxWait

func (r remote) apply(ctx context.Context, name string) (interapp.Pass, error) {
	for {
		// Asked again while it runs or is queued, the daemon joins us to it.
		pass, done, err := r.client.Apply(ctx, name, applyWait)
		if done || err != nil {
			return pass, err
		}
	}
}

func (r remote) progress(ctx context.Context, name string) (interapp.Progress, bool) {
	c, err := r.client.Connector(ctx, name)
	if err != nil || c.Running == nil || c.Running.Progress == nil {
		return interapp.Progress{}, false
	}
	return *c.Running.Progress, true
}

// showPasses prints what became of the passes and gives the exit code.
func (a *app) showPasses(names []string, passes []interapp.Pass, errs []error) error {
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
	if err := a.printPasses(len(names), shownPasses); err != nil {
		return err
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code, errors.Join(why...)}
}

func (a *app) printPasses(asked int, passes []interapp.Pass) error {
	if a.json {
		if asked == 1 && len(passes) == 1 {
			return a.printJSON(passes[0])
		}
		if asked == 1 {
			return nil
		}
		return a.printJSON(passes)
	}
	t := a.table("CONNECTOR", "STATE", "SEEN", "COPIED", "BYTES", "PRESENT", "WAITING", "PROBLEMS", "TOOK", "STATUS")
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
		a.printTrouble(p)
	}
	return nil
}

// printTrouble says why a pass failed, which files did, and how many were not confirmed.
func (a *app) printTrouble(p interapp.Pass) {
	if n := p.Files.Unverified; n > 0 {
		fmt.Fprintf(a.stdout, "%s: %d of the copied files are unverified: the server did not confirm that what was read is what it listed; their originals are left\n", p.Connector, n)
	}
	if p.Error != "" {
		fmt.Fprintf(a.stdout, "%s: %s\n", p.Connector, shown(p.Error))
		if p.Hint != "" {
			fmt.Fprintf(a.stdout, "  %s\n", p.Hint)
		}
	}
	const most = 20
	for i, f := range p.Failures {
		if i == most {
			fmt.Fprintf(a.stdout, "%s: and %d more; see them with --json\n", p.Connector, len(p.Failures)-most)
			break
		}
		fmt.Fprintf(a.stdout, "%s: %s: %s\n", p.Connector, shown(f.Name), shown(f.Error))
		if f.Hint != "" {
			fmt.Fprintf(a.stdout, "  %s\n", f.Hint)
		}
	}
}
