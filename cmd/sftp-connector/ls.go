package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

func (a *app) lsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls NAME",
		Short: "List what a pass would see: each remote file with its state and the reason for it",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, names []string) error { return a.ls(c.Context(), names[0]) },
	}
}

// ls prints files as they are found, so that a large tree needs no memory, and
// each line at once where somebody watches.
func (a *app) ls(ctx context.Context, name string) error {
	by, err := a.reachNamed(ctx, config.ScopeApply, name)
	if err != nil {
		return err
	}
	defer by.close()
	out := bufio.NewWriterSize(a.stdout, 32<<10)
	defer out.Flush()
	watched := terminal(a.stdout)
	first := true
	listing, err := by.ListingOf(ctx, name, func(f interapp.File) {
		if a.json {
			lsJSON(out, f, first)
		} else {
			fmt.Fprintf(out, "%-11s  %9s  %-19s  %s  (%s)\n", f.State, bytes(f.Size), stampOf(f.ModTime), shown(f.Name), shown(f.Reason))
		}
		first = false
		if watched {
			out.Flush()
		}
	})
	if a.json {
		if first {
			fmt.Fprint(out, "[")
		}
		fmt.Fprintln(out, "]")
	}
	if err != nil {
		return failed(err)
	}
	f := listing.Counts
	if !a.json {
		fmt.Fprintf(out, "%d files seen, %d to copy\n", f.Seen, listing.ToCopy)
		for _, x := range listing.Failures {
			fmt.Fprintf(out, "%s: %s\n", shown(x.Name), shown(x.Error))
		}
	}
	if listing.Error != "" {
		return failed(errors.New(listing.Error))
	}
	if f.Failed+f.Conflict+f.Quarantined+f.Unsafe > 0 {
		return &exitError{code: exitPartial}
	}
	return nil
}

// lsJSON writes one element of the array.
func lsJSON(out io.Writer, f interapp.File, first bool) {
	start := ",\n"
	if first {
		start = "["
	}
	fmt.Fprint(out, start+encode(f))
}
