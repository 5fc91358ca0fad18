package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// history is the JSON document of the verb.
type history struct {
	Connector string          `json:"connector"`
	Passes    []interapp.Pass `json:"passes"`
	Files     []interapp.File `json:"files"`
}

func (a *app) historyCommand() *cobra.Command {
	var passes, files int
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "Show passes and delivered files from the ledger",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			if passes < 1 || passes > 1000 || files < 0 || files > 1000 {
				return usage("--passes and --files go up to 1000")
			}
			return a.history(c.Context(), names[0], passes, files)
		},
	}
	c.Flags().IntVar(&passes, "passes", 10, "how many passes, newest first")
	c.Flags().IntVar(&files, "files", 20, "how many delivered files, newest first")
	return c
}

func (a *app) history(ctx context.Context, name string, passes, files int) error {
	h, err := a.readHistory(ctx, name, passes, files)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(h)
	}
	t := a.table("PASS", "MODE", "STATE", "STARTED", "SEEN", "COPIED", "BYTES", "WAITING", "PROBLEMS", "STATUS")
	for _, p := range h.Passes {
		f := p.Files
		t.row(p.Pass, p.Mode, p.State, stamp(p.Started), f.Seen, f.Copied, bytes(f.Bytes), f.Waiting,
			f.Failed+f.Conflict+f.Quarantined+f.Unsafe, p.ConnectionStatus)
	}
	t.flush()
	if len(h.Files) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t = a.table("DELIVERED", "PASS", "STATE", "SIZE", "FILE")
	for _, f := range h.Files {
		note := f.Name
		if f.Error != "" {
			note += "  (" + f.Error + ")"
		}
		state := f.State
		if f.Unverified {
			state += ", unverified"
		}
		t.row(stampOf(f.DeliveredAt), f.Pass, state, bytes(f.Size), note)
	}
	t.flush()
	return nil
}

func (a *app) readHistory(ctx context.Context, name string, passes, files int) (history, error) {
	h := history{Connector: name, Files: []interapp.File{}}
	by, err := a.reachLedger(ctx, config.ScopeRead, name)
	if err != nil {
		return h, err
	}
	defer by.close()
	if h.Passes, err = by.Passes(ctx, name, passes); err != nil || files == 0 {
		return h, failed(err)
	}
	page, err := by.Files(ctx, name, interapp.FileQuery{Order: "delivered", Limit: files})
	if err != nil {
		return h, failed(err)
	}
	h.Files = page.Files // failures are the business of ls and status
	return h, nil
}
