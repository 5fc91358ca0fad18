package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

func (a *app) lsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls NAME",
		Short: "List what a pass would see: each remote file with its state and the reason for it",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, names []string) error { return a.ls(c.Context(), names[0]) },
	}
}

// failing are the states of files that failed.
var failing = map[filesync.State]bool{
	filesync.StateFailed: true, filesync.StateConflict: true, filesync.StateQuarantined: true, filesync.StateUnsafe: true,
}

// ls prints files as they are found, so that a large tree needs no memory, and
// each line at once where somebody watches.
func (a *app) ls(ctx context.Context, name string) error {
	b, _, err := a.backend(ctx, []string{name}, connector.Parts{})
	if err != nil {
		return err
	}
	defer b.close()
	c, err := b.set.Get(name)
	if err != nil {
		return failed(err)
	}
	out := bufio.NewWriterSize(a.stdout, 32<<10)
	defer out.Flush()
	watched := terminal(a.stdout)
	var mu sync.Mutex
	first := true
	listed := map[string]bool{} // of the files that failed
	result, err := c.Survey(ctx, func(d filesync.Decision) {
		mu.Lock()
		defer mu.Unlock()
		if failing[d.State] {
			listed[d.Entry.Name] = true
		}
		if a.json {
			lsJSON(out, d, first)
		} else {
			fmt.Fprintf(out, "%-11s  %9s  %-19s  %s  (%s)\n", d.State, bytes(d.Entry.Size), stamp(d.Entry.ModTime), shown(d.Entry.Name), shown(d.Reason))
		}
		first = false
		if watched {
			out.Flush()
		}
	})
	if a.json {
		for _, x := range result.Failures { // a directory that could not be read, say
			if !listed[x.Name] {
				lsJSON(out, filesync.Decision{Entry: filesync.Entry{Name: x.Name}, State: filesync.StateFailed, Reason: x.Error}, first)
				first = false
			}
		}
		if first {
			fmt.Fprint(out, "[")
		}
		fmt.Fprintln(out, "]")
	}
	if err != nil {
		return failed(err)
	}
	f := result.Files
	if !a.json {
		fmt.Fprintf(out, "%d files seen, %d to copy\n", f.Seen, result.ToCopy)
		for _, x := range result.Failures {
			fmt.Fprintf(out, "%s: %s\n", shown(x.Name), shown(x.Error))
		}
	}
	if f.Failed+f.Conflict+f.Quarantined+f.Unsafe > 0 {
		return &exitError{code: exitPartial}
	}
	return nil
}

// lsJSON writes one element of the array.
func lsJSON(out io.Writer, d filesync.Decision, first bool) {
	f := interapp.File{Name: d.Entry.Name, State: string(d.State), Size: d.Entry.Size, Reason: d.Reason}
	if !d.Entry.ModTime.IsZero() {
		t := d.Entry.ModTime.UTC()
		f.ModTime = &t
	}
	start := ",\n"
	if first {
		start = "["
	}
	fmt.Fprint(out, start+encode(f))
}
