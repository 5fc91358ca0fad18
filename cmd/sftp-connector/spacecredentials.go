package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/space"
)

func (a *app) spaceCredentialsCommand() *cobra.Command {
	var list bool
	c := &cobra.Command{
		Use:   "credentials ID",
		Short: "Make a password for a Space, and show it this once",
		Long: `Makes a password for a Space, and shows it with all that a client needs. It is
shown this once: what is kept is no more than enough to check it.

The older passwords stay. Eight work at most: those that were not used for the
longest time go; a program that fetches them with a secret key makes room among
its own. --list shows which there are, and makes none.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, ids []string) error {
			scope := config.ScopeConfigure
			if list {
				scope = config.ScopeRead
			}
			return a.atSpaces(c.Context(), scope, space.Closed, func(s *api) error {
				known, err := spaceNamed(c.Context(), s, ids[0])
				if err != nil {
					return err
				}
				if list {
					return a.printCredentials(known.Credentials)
				}
				made, err := s.CreateCredentials(c.Context(), ids[0])
				if err != nil {
					return failed(err)
				}
				return a.printLogin(made, known.HostKeys)
			})
		},
	}
	c.Flags().BoolVar(&list, "list", false, "show which passwords work, and make none")
	return c
}

// newLogin is what the API answers with a secret key, and what else an operator
// wants to know of it.
type newLogin struct {
	interapp.SFTPCredentials
	ID       string                     `json:"id"`
	Expires  *time.Time                 `json:"expires"`
	HostKeys []interapp.HostKey         `json:"host_keys"`
	Dropped  []interapp.SpaceCredential `json:"dropped"`
}

func (o *output) printLogin(made interapp.NewCredentials, keys []interapp.HostKey) error {
	if o.json {
		return o.printJSON(newLogin{interapp.SFTPCredentials{Data: made.Login}, made.ID, made.Expires, keys, made.Dropped})
	}
	l := made.Login
	rows := [][2]string{{"username", l.Username}, {"password", l.Password}, {"host", l.Host}, {"port", l.Port}}
	for _, k := range keys {
		rows = append(rows, [2]string{"host key", k.Fingerprint + " (" + k.Type + ")"})
	}
	rows = append(rows, [2]string{"id", made.ID + ", to revoke it by"})
	if made.Expires != nil {
		rows = append(rows, [2]string{"expires", stampOf(made.Expires)})
	}
	for _, row := range rows {
		fmt.Fprintf(o.stdout, "%-10s%s\n", row[0], shown(row[1]))
	}
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	fmt.Fprintf(o.stdout, "\nThe password is shown this once. Connect with:\n  sftp -P %s %s@%s\n", l.Port, l.Username, host)
	for _, d := range made.Dropped {
		fmt.Fprintf(o.stdout, "Dropped to make room: %s of %s, last used %s\n", d.ID, stamp(d.Created), stampOf(d.LastUsed))
	}
	return nil
}

func (o *output) printCredentials(all []interapp.SpaceCredential) error {
	if o.json {
		return o.printJSON(append([]interapp.SpaceCredential{}, all...))
	}
	t := o.table("CREDENTIAL", "CREATED", "BY", "LAST USED", "EXPIRES")
	for _, c := range all {
		expires := "never"
		if c.Expires != nil {
			expires = stampOf(c.Expires)
		}
		t.row(c.ID, stamp(c.Created), cmp.Or(c.By, "operator"), stampOf(c.LastUsed), expires)
	}
	t.flush()
	return nil
}

func (a *app) spaceRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID [CREDENTIAL]",
		Short: "Revoke a password of a Space, or all, and cut its sessions",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.atSpaces(c.Context(), config.ScopeConfigure, space.Closed, func(s *api) error {
				if _, err := spaceNamed(c.Context(), s, args[0]); err != nil {
					return err
				}
				return a.revoke(c.Context(), s, args[0], append(args, "")[1])
			})
		},
	}
}

func (a *app) revoke(ctx context.Context, s *api, id, credential string) error {
	gone, err := s.RevokeCredentials(ctx, id, credential)
	p, answered := errors.AsType[*interapp.Problem](err)
	switch {
	case credential != "" && answered && p.Status == http.StatusNotFound:
		return usage("the Space %s has no credentials %q: 'space credentials %s --list' shows which there are", id, credential, id)
	case err != nil:
		return failed(err)
	case a.json:
		return a.printJSON(gone)
	}
	for _, c := range gone.Revoked {
		fmt.Fprintf(a.stdout, "revoked %s\n", c.ID)
	}
	if len(gone.Revoked) == 0 {
		fmt.Fprintln(a.stdout, "there are no credentials to revoke")
	}
	return nil
}
