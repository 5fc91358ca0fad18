package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
)

// requestFlags are what a request asks for, and how it is printed.
type requestFlags struct {
	interapp.Request
	filter interapp.FileTimeFilter
	zero   bool
}

func (a *app) requestCommand() *cobra.Command {
	var f requestFlags
	c := &cobra.Command{
		Use:   "request NAME",
		Short: "Ask for files by name and time, and print their names once they are at the destination",
		Long: `Asks a connector for files by name and modification time, as another program
would by the inter-app API. Every matching file that is ready is copied to the
destination, unless it is there already; then the names are printed, one a line:
paths below the destination directory. Files that are not ready, or that failed,
are named on standard error.

When a daemon runs with the same data directory, it is asked to do the work.
Exit codes: 0 done, 1 it could not be done, 3 done, but some files failed.`,
		Example: `  sftp-connector request trace-results --file-name '*.csv' --newer-than 24h
  sftp-connector request trace-results --file-name 'regex:^2026/.*\.csv$' --from 2026-01-01 --to 2026-02-01
  sftp-connector request trace-results -0 | xargs -0 -I{} cp /srv/results/{} .`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error { return a.request(c.Context(), names[0], f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.FileNameFilter, "file-name", "", "a `GLOB` as in files.include, or regex: and an expression for the path (default: all files)")
	flags.StringVar(&f.filter.From, "from", "", "files modified at that `time` or later: 2026-01-02T15:04:05Z, or without a zone in the connector's time_zone, also 2026-01-02")
	flags.StringVar(&f.filter.To, "to", "", "files modified before that `time`")
	flags.StringVar(&f.filter.NewerThan, "newer-than", "", "files modified within the last `duration`, such as 24h")
	flags.StringVar(&f.Timeout, "timeout", "", "how long it may take, from 1s to 24h (default 5m)")
	flags.BoolVarP(&f.zero, "null", "0", false, "end names with a NUL instead of a newline")
	c.MarkFlagsMutuallyExclusive("from", "newer-than")
	return c
}

func (a *app) request(ctx context.Context, name string, f requestFlags) error {
	if f.filter != (interapp.FileTimeFilter{}) {
		f.FileTimeFilter = &f.filter
	}
	f.Source, f.ID = "command line", strings.ToLower(rand.Text())
	by, _, err := a.reach(ctx, config.ScopeRequest, []string{name}, connector.Parts{})
	if err != nil {
		return err
	}
	defer by.close()
	stop := a.showProgress(ctx, by.requestProgress, []string{f.ID})
	state, err := by.request(ctx, name, f.Request)
	stop()
	if p, refused := errors.AsType[*interapp.Problem](err); refused && p.Status == http.StatusUnprocessableEntity {
		return usage("%v", err)
	}
	if err != nil {
		return failed(err)
	}
	return a.showReply(state, f.zero)
}

// request does a request and waits for its answer. When ctx ends, the request is
// cancelled, which is its answer then.
func (b *api) request(ctx context.Context, name string, r interapp.Request) (interapp.RequestState, error) {
	if _, err := b.Request(ctx, name, r); ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
		defer cancel()
		return b.CancelRequest(late, r.ID)
	} else if err != nil {
		return interapp.RequestState{}, err
	}
	return b.RequestState(ctx, r.ID)
}

// cancelWithin is how long the API may take to cancel a request.
const cancelWithin = 10 * time.Second

func (b *api) requestProgress(ctx context.Context, id string) *interapp.Progress {
	s, err := b.RequestState(ctx, id)
	if err != nil {
		return nil
	}
	return s.Progress
}

// showReply prints what came of a request, and gives the exit code.
func (o *output) showReply(state interapp.RequestState, zero bool) error {
	r := state.Reply
	if r == nil {
		return failed(fmt.Errorf("the request has no answer yet: it is %s", state.State))
	}
	if o.json {
		if err := o.printJSON(r); err != nil {
			return err
		}
	} else {
		o.printNames(*r, zero)
	}
	switch {
	case state.State != interapp.RequestReplied:
		return failed(fmt.Errorf("%s: %s", state.Connector, r.Description))
	case len(r.Failed) > 0:
		return &exitError{code: exitPartial}
	}
	return nil
}

func (o *output) printNames(r interapp.Reply, zero bool) {
	end := "\n"
	if zero {
		end = "\x00"
	}
	for _, name := range r.FileNames {
		if !zero {
			name = shown(name)
		}
		_, _ = io.WriteString(o.stdout, name+end)
	}
	for _, w := range r.Waiting {
		fmt.Fprintf(o.stderr, "not ready: %s: %s\n", shown(w.Name), shown(w.Reason))
	}
	for _, x := range r.Failed {
		fmt.Fprintf(o.stderr, "failed: %s: %s\n", shown(x.Name), shown(x.Reason))
	}
	if len(r.FileNames) == 0 && len(r.Waiting)+len(r.Failed) == 0 && r.Success {
		fmt.Fprintln(o.stderr, r.Description)
	}
}
