package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/interapp/server"
	"sftpconnector/space"
)

// api is the API that a verb calls: that of a daemon, or one in this process.
type api struct {
	*interapp.Client
	inside *inside // nil: it is a daemon's
}

func (b *api) close() {
	b.Client.Close()
	if b.inside != nil {
		b.inside.close()
	}
}

// untilStopped gives the context for calls that wait for passes. When ctx ends, the
// passes of this process end at the next safe point, and the calls with their
// reports. The passes of a daemon go on, and the calls end at once.
func (b *api) untilStopped(ctx context.Context) (calls context.Context, release func() bool) {
	if b.inside == nil {
		return ctx, func() bool { return true }
	}
	return context.WithoutCancel(ctx), context.AfterFunc(ctx, b.inside.set.Stop)
}

// errNotThere: the daemon does not have a connector.
var errNotThere = errors.New("no connector")

// errNoToken: the configuration has no token that the daemon would take.
var errNoToken = errors.New("none")

// reach gives the API for a verb about connectors: that of the daemon, if one runs, or
// one in this process. It gives the names, or those of all connectors for none.
func (a *app) reach(ctx context.Context, scope config.Scope, names []string, parts connector.Parts) (*api, []string, error) {
	client, err := a.client(scope)
	if err != nil {
		return nil, nil, err
	}
	if client == nil {
		return a.own(ctx, names, parts)
	}
	if names, err = namesAt(ctx, client, names); err != nil {
		client.Close()
		return nil, nil, err
	}
	return &api{Client: client}, names, nil
}

// reachLedger is reach for a verb that uses nothing but the ledger. Where the
// configuration has no token for the daemon, this process reads the ledger beside it.
func (a *app) reachLedger(ctx context.Context, scope config.Scope, name string) (*api, error) {
	by, _, err := a.reach(ctx, scope, []string{name}, connector.Parts{})
	if errors.Is(err, errNoToken) {
		by, _, err = a.own(ctx, []string{name}, connector.Parts{})
	}
	return by, err
}

// reachNamed is reach for a verb that looks at one connector, and runs no pass. What the
// daemon does not have, or has no token for, this process looks at itself.
func (a *app) reachNamed(ctx context.Context, scope config.Scope, name string) (*api, error) {
	by, _, err := a.reach(ctx, scope, []string{name}, connector.Parts{})
	if a.server == "" && (errors.Is(err, errNoToken) || errors.Is(err, errNotThere)) {
		by, _, err = a.own(ctx, []string{name}, connector.Parts{})
	}
	return by, err
}

// own gives an API in this process, over the connectors of the configuration.
func (a *app) own(ctx context.Context, names []string, parts connector.Parts) (*api, []string, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	if names, err = named(cfg, names); err != nil {
		return nil, nil, err
	}
	by, err := a.serve(ctx, cfg, parts, nil)
	return by, names, err
}

// inside is an API in this process, over an in-memory connection. It is the daemon's,
// without its schedules and its listeners, and leaves to a daemon what is in the
// ledger already: requests without an answer, and replies that are to be posted.
type inside struct {
	*backend
	asked   *requests.Service
	http    *http.Server
	end     context.CancelFunc // ends the work on requests
	serving sync.WaitGroup
}

// serve starts an API in this process. spaces says how the Spaces are opened; nil:
// they are not.
func (a *app) serve(ctx context.Context, cfg *config.Config, parts connector.Parts, spaces *space.Options) (*api, error) {
	if parts.Log == nil {
		log, err := a.verbLogger()
		if err != nil {
			return nil, err
		}
		parts.Log = log
	}
	b, err := openBackend(ctx, cfg, parts, a.prompt(), spaces)
	if err != nil {
		return nil, err
	}
	asked, err := requests.New(requests.Options{Set: b.set, Ledger: b.ledger, Server: cfg.Server, Log: parts.Log})
	if err != nil {
		b.close()
		return nil, failed(err)
	}
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	asked.Begin(alive)
	i := &inside{backend: b, asked: asked, end: end, http: server.NewHTTPServer(server.New(server.Options{
		Set: b.set, Requests: asked, Spaces: b.spaces, Ledger: b.ledger, Version: buildVersion(), Log: parts.Log, // no tokens: nobody else gets here
	}))}
	i.http.ErrorLog = slog.NewLogLogger(parts.Log.Handler(), slog.LevelDebug)
	memory := newMemoryListener()
	i.serving.Go(func() { _ = i.http.Serve(memory) })
	client := interapp.NewClient("http://localhost", "")
	client.HTTP = &http.Client{Transport: &http.Transport{DialContext: memory.dial}}
	return &api{Client: client, inside: i}, nil
}

// close ends passes and requests at the next safe point, and waits for them.
func (i *inside) close() {
	i.end()
	i.set.Stop()
	i.asked.End()
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if i.http.Shutdown(ctx) != nil {
		i.http.Close()
	}
	i.serving.Wait()
	i.free()
}
