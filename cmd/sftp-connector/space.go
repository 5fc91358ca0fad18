package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/durable"
	"sftpconnector/interapp"
	"sftpconnector/space"
)

func (a *app) spaceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "space",
		Short: "Show the Spaces that receive uploads, and make or revoke their credentials",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.spaceListCommand(), a.spaceFilesCommand(), a.spaceRetryCommand(), a.spaceCredentialsCommand(), a.spaceRevokeCommand())
	return c
}

func (a *app) spaceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [ID…]",
		Short: "Show Spaces: what waits in their inboxes, and how the import goes",
		RunE: func(c *cobra.Command, ids []string) error {
			return a.atSpaces(c.Context(), config.ScopeRead, space.Looking, func(s *api) error {
				all, err := s.Spaces(c.Context())
				if err != nil {
					return spacesFailed(err)
				}
				if all, err = picked(all, ids); err != nil {
					return err
				}
				if err := a.printSpaces(all); err != nil {
					return err
				}
				return spacesCode(all)
			})
		},
	}
}

func (o *output) printSpaces(all []interapp.Space) error {
	if o.json {
		if len(all) == 1 {
			return o.printJSON(all[0])
		}
		return o.printJSON(all)
	}
	t := o.table("ID", "STATUS", "INBOX", "QUOTA", "ENTRIES", "SESSIONS", "LAST IMPORT")
	for _, s := range all {
		last := "-"
		if p := s.LastImport; p != nil {
			last = fmt.Sprintf("%s %s, %s", p.State, stampOf(p.Finished), counted(int(p.Files.Copied), "file"))
		}
		if s.Importing != nil {
			last = "running since " + stamp(s.Importing.Started)
		}
		inbox := "-"
		if s.Inbox.Files > 0 {
			inbox = fmt.Sprintf("%s, %s", counted(s.Inbox.Files, "file"), bytes(s.Inbox.Bytes))
		}
		t.row(s.ID, s.ConnectionStatus, inbox, bytes(s.Inbox.Quota), entries(s.Inbox), len(s.Sessions), last)
	}
	t.flush()
	for _, s := range all {
		if s.Error != "" {
			fmt.Fprintf(o.stdout, "%s: %s\n", s.ID, shown(s.Error))
		}
		if s.Inbox.Full != "" {
			fmt.Fprintf(o.stdout, "%s: uploads are refused: %s\n", s.ID, s.Inbox.Full)
		}
		if s.Hint != "" {
			fmt.Fprintf(o.stdout, "  %s\n", s.Hint)
		}
	}
	return nil
}

// entries tells how many of the names of an inbox are in use.
func entries(in interapp.Inbox) string {
	if in.MaximumEntries == 0 {
		return "-" // there is no inbox yet
	}
	return fmt.Sprintf("%s of %s", humanize.Comma(int64(in.Entries)), humanize.Comma(int64(in.MaximumEntries)))
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// spacesCode is that of the verb status: the import is what the Connection Status
// is about. An inbox that refuses uploads is a failure of files.
func spacesCode(all []interapp.Space) error {
	var imports []interapp.Connector
	for _, s := range all {
		imports = append(imports, interapp.Connector{ConnectionStatus: s.ConnectionStatus, LastPass: s.LastImport})
	}
	err := statusCode(imports)
	if err == nil && slices.ContainsFunc(all, func(s interapp.Space) bool { return s.Inbox.Full != "" }) {
		return &exitError{code: exitPartial}
	}
	return err
}

func (a *app) spaceFilesCommand() *cobra.Command {
	q := interapp.FileQuery{Limit: 100}
	c := &cobra.Command{
		Use:   "files ID",
		Short: "Show what is in the inbox of a Space, and what was imported",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, ids []string) error {
			if q.Limit < 1 || q.Limit > 1000 {
				return usage("--limit goes from 1 to 1000")
			}
			if q.State != "" && !slices.Contains(spaceStates(), q.State) {
				return usage("--state %q is not one of %s", q.State, strings.Join(spaceStates(), ", "))
			}
			return a.atSpaces(c.Context(), config.ScopeRead, space.Looking, func(s *api) error {
				if _, err := spaceNamed(c.Context(), s, ids[0]); err != nil {
					return err
				}
				page, err := s.SpaceFiles(c.Context(), ids[0], q)
				if err != nil {
					return failed(err)
				}
				return a.printSpaceFiles(page)
			})
		},
	}
	c.Flags().StringVar(&q.State, "state", "", "only files in this `state`: "+strings.Join(spaceStates(), ", "))
	c.Flags().StringVar(&q.Name, "name", "", "only files with this `text` in their path, or like this pattern with * and ?")
	c.Flags().IntVar(&q.Limit, "limit", q.Limit, "how many files of the inbox, and how many imported ones, newest first")
	return c
}

// spaceStates are those of the inbox, then those of the ledger.
func spaceStates() []string {
	return []string{"uploading", "interrupted", "waiting", "ready", "temporary", "unsafe", "delivered", "present", "failed", "quarantined", "conflict"}
}

func (o *output) printSpaceFiles(page interapp.SpaceFiles) error {
	if o.json {
		return o.printJSON(page)
	}
	t := o.table("IN THE INBOX", "STATE", "SIZE", "FILE")
	for _, f := range page.Inbox {
		t.row(stamp(f.Since), f.State, bytes(f.Size), f.Name)
	}
	t.flush()
	if page.More > 0 {
		fmt.Fprintf(o.stdout, "and %d more\n", page.More)
	}
	if len(page.Files) == 0 {
		return nil
	}
	fmt.Fprintln(o.stdout)
	t = o.table("IMPORTED", "STATE", "SIZE", "FILE")
	for _, f := range page.Files {
		name := f.Name
		if f.Target != "" && f.Target != f.Name {
			name += "  (as " + f.Target + ")"
		}
		if f.Error != "" {
			name += "  (" + f.Error + ")"
		}
		t.row(stampOf(f.DeliveredAt), f.State, bytes(f.Size), name)
	}
	t.flush()
	return nil
}

func (a *app) spaceRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID [FILE…]",
		Short: "Release files that were put aside after five failures: the named ones, or all",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.atSpaces(c.Context(), config.ScopeApply, space.Looking, func(s *api) error {
				if _, err := spaceNamed(c.Context(), s, args[0]); err != nil {
					return err
				}
				reply, err := s.RetrySpace(c.Context(), args[0], args[1:])
				if err != nil {
					return failed(err)
				}
				return a.printReleased(reply)
			})
		},
	}
}

// picked gives those Spaces of all that have the ids, or all for none.
func picked(all []interapp.Space, ids []string) ([]interapp.Space, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var found []interapp.Space
	for _, id := range ids {
		i := slices.IndexFunc(all, func(one interapp.Space) bool { return one.ID == id })
		if i < 0 {
			var known []string
			for _, one := range all {
				known = append(known, one.ID)
			}
			return nil, usage("there is no Space %q; there are: %s", id, strings.Join(known, ", "))
		}
		found = append(found, all[i])
	}
	return found, nil
}

// spaceNamed gives what is known of the Space with the id.
func spaceNamed(ctx context.Context, s *api, id string) (interapp.Space, error) {
	all, err := s.Spaces(ctx)
	if p, refused := errors.AsType[*interapp.Problem](err); refused && p.Status == http.StatusForbidden {
		return interapp.Space{ID: id}, nil // a token that may configure need not be one that may read
	}
	if err != nil {
		return interapp.Space{}, spacesFailed(err)
	}
	found, err := picked(all, []string{id})
	if err != nil {
		return interapp.Space{}, err
	}
	return found[0], nil
}

// spacesFailed is why Spaces are not known: there are none where it is asked, or
// something else.
func spacesFailed(err error) error {
	if p, ok := errors.AsType[*interapp.Problem](err); ok && p.Status == http.StatusNotFound {
		return usage("%s", p.Detail)
	}
	return failed(err)
}

// atSpaces does something at the API of the daemon, or at one in this process over what
// it left when none runs. mode is how the Spaces are opened there.
func (a *app) atSpaces(ctx context.Context, scope config.Scope, mode space.Mode, do func(*api) error) error {
	client, err := a.client(scope)
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
		return do(&api{Client: client})
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if !cfg.SpaceServer.Enabled() {
		return usage("the configuration has no space_server, and so no Spaces: see config.example.yaml")
	}
	if mode != space.Closed { // no daemon may open the same spools
		if err := durable.MkdirAll(cfg.DataDirectory, 0o700); err != nil {
			return failed(fmt.Errorf("make data directory: %w", err))
		}
		claim, err := claimDaemon(ctx, cfg.DataDirectory)
		if err != nil {
			return failed(err)
		}
		defer claim.Unlock()
	}
	by, err := a.serve(ctx, cfg, connector.Parts{}, &space.Options{Config: cfg, Mode: mode})
	if err != nil {
		return err
	}
	defer by.close()
	return do(by)
}
