package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/durable"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	spacespool "sftpconnector/space/spool"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// localSpaces are those of a configuration that no daemon runs with.
type localSpaces struct {
	cfg         *config.Config
	credentials *credentials.Store
}

func openLocalSpaces(cfg *config.Config) (*localSpaces, error) {
	if err := durable.MkdirAll(cfg.DataDirectory, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	store, err := space.OpenCredentials(cfg)
	if err != nil {
		return nil, err
	}
	return &localSpaces{cfg, store}, nil
}

func (l *localSpaces) close() error { return l.credentials.Close() }

// Known implements spaceAccess.
func (l *localSpaces) Known(context.Context) ([]interapp.Space, error) {
	all := []interapp.Space{}
	for id := range l.cfg.Spaces {
		s, err := l.space(id, ledger.Remembered{})
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b interapp.Space) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// space is what the configuration says of a Space, and what is remembered of its
// imports.
func (l *localSpaces) space(id string, m ledger.Remembered) (interapp.Space, error) {
	server, own := l.cfg.SpaceServer, l.cfg.Spaces[id]
	list, err := l.credentials.List(id)
	if err != nil {
		return interapp.Space{}, err
	}
	name := interapp.SpaceConnector(id)
	r := connector.Report{Name: name, Config: space.Connectors(l.cfg)[name], Health: connector.Health{Status: status.NotChecked}}
	if m.Last != nil && m.Last.Status != "" {
		r.Health = connector.Health{Status: m.Last.Status, Since: m.Last.Finished, Hint: m.Last.Status.Hint(), Error: m.Last.Error}
	}
	state := space.Status{
		ID: id, Credentials: list,
		MaximumFileSize: int64(cmp.Or(own.MaximumFileSize, server.MaximumFileSize)), Quota: int64(cmp.Or(own.InboxQuota, server.InboxQuota)),
	}
	s := state.Message(r)
	if m.Last != nil {
		last := m.Last.Message(name)
		s.LastImport = &last
	}
	s.PublicHost, s.PublicPort = space.PublicAddress(server, server.Listen)
	return s, nil
}

// Spaces implements spaceAccess.
func (l *localSpaces) Spaces(ctx context.Context) ([]interapp.Space, error) {
	all, err := l.Known(ctx)
	if err != nil {
		return nil, err
	}
	err = l.alone(ctx, func(book *ledger.Ledger, memories map[string]ledger.Remembered) error {
		for i, one := range all {
			if all[i], err = l.space(one.ID, memories[interapp.SpaceConnector(one.ID)]); err != nil {
				return err
			}
			files, room, err := l.spool(ctx, book, one.ID)
			if err != nil {
				return err
			}
			in := &all[i].Inbox
			in.Files, in.Entries, in.MaximumEntries, in.Full = len(files), room.Entries, room.MaximumEntries, room.Full
			for _, f := range files {
				all[i].Inbox.Bytes += f.Size
			}
		}
		return nil
	})
	return all, err
}

// SpaceFiles implements spaceAccess.
func (l *localSpaces) SpaceFiles(ctx context.Context, id string, q interapp.FileQuery) (interapp.SpaceFiles, error) {
	page := interapp.SpaceFiles{Space: id, Files: []interapp.File{}}
	err := l.alone(ctx, func(book *ledger.Ledger, memories map[string]ledger.Remembered) error {
		files, _, err := l.spool(ctx, book, id)
		if err != nil {
			return err
		}
		page.Inbox, page.More = spacespool.Messages(files, q.State, q.Name, q.Limit)
		var kept []ledger.File
		kept, page.Cursor, err = memories[interapp.SpaceConnector(id)].Files(ctx, ledger.Query{
			State: filesync.State(q.State), Name: q.Name, Cursor: q.Cursor, Limit: q.Limit,
		})
		for _, f := range kept {
			page.Files = append(page.Files, f.Message())
		}
		return err
	})
	return page, err
}

// RetrySpace implements spaceAccess.
func (l *localSpaces) RetrySpace(ctx context.Context, id string, names []string) (interapp.RetryReply, error) {
	reply := interapp.RetryReply{Connector: interapp.SpaceConnector(id)}
	err := l.alone(ctx, func(_ *ledger.Ledger, memories map[string]ledger.Remembered) (err error) {
		reply.Released, err = memories[reply.Connector].Retry(ctx, names)
		return err
	})
	return reply, err
}

// CreateCredentials implements spaceAccess.
func (l *localSpaces) CreateCredentials(ctx context.Context, id string) (interapp.NewCredentials, error) {
	made, err := l.credentials.Create(ctx, id, "")
	if err != nil {
		return interapp.NewCredentials{}, err
	}
	login := space.Login{Created: made}
	login.Host, login.Port = space.PublicAddress(l.cfg.SpaceServer, l.cfg.SpaceServer.Listen)
	return login.Message(), nil
}

// RevokeCredentials implements spaceAccess. There are no sessions to cut.
func (l *localSpaces) RevokeCredentials(ctx context.Context, id, credential string) (interapp.RevokedCredentials, error) {
	gone, err := l.credentials.Revoke(ctx, id, credential)
	if credential == "" && errors.Is(err, credentials.ErrNotFound) {
		err = nil
	}
	return interapp.RevokedCredentials{Space: id, Revoked: credentials.Messages(gone)}, err
}

// alone does something with what the ledger remembers of the imports, while no
// daemon can start.
func (l *localSpaces) alone(ctx context.Context, do func(*ledger.Ledger, map[string]ledger.Remembered) error) error {
	claim, err := claimDaemon(ctx, l.cfg.DataDirectory)
	if err != nil {
		return err
	}
	defer claim.Unlock()
	book, err := ledger.Open(ctx, l.cfg.DataDirectory)
	if err != nil {
		return err
	}
	defer book.Close()
	var names []string
	for id := range l.cfg.Spaces {
		names = append(names, interapp.SpaceConnector(id))
	}
	memories, err := book.Connectors(ctx, names)
	if err != nil {
		return err
	}
	return do(book, memories)
}

// spool gives what is in the spool of a Space, which no daemon has open.
func (l *localSpaces) spool(ctx context.Context, book *ledger.Ledger, id string) ([]spacespool.File, spacespool.Room, error) {
	o := space.SpoolOptions(l.cfg.DataDirectory, id, spacespool.Options{Quiet: time.Nanosecond})
	if !exists(o.Directory) && !exists(o.Inbox) {
		return nil, spacespool.Room{}, nil // and is not made by a look at it
	}
	var err error
	if o.Index, err = book.Spool(ctx, interapp.SpaceConnector(id)); err != nil {
		return nil, spacespool.Room{}, err
	}
	s, err := spacespool.Open(ctx, o)
	if err != nil {
		return nil, spacespool.Room{}, err
	}
	defer s.Close()
	return s.Files(), s.Room(), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
