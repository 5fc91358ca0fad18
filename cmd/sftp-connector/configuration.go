package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/config/edit"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

// configuration is the configuration file of a daemon, and what the daemon runs with.
// Its methods may be called concurrently.
type configuration struct {
	daemon *daemon
	file   edit.File

	mu      sync.Mutex
	version string // of the file that is loaded
	at      time.Time
	last    *interapp.Reload
}

// newConfiguration is that of a file, of which the version is loaded.
func newConfiguration(path, version string) *configuration {
	return &configuration{file: edit.File{Path: path}, version: version, at: time.Now()}
}

// File implements server.Configuration.
func (c *configuration) File() *edit.File { return &c.file }

// Loaded implements server.Configuration.
func (c *configuration) Loaded() (version string, at time.Time, last *interapp.Reload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version, c.at, c.last
}

// Try implements server.Configuration.
func (c *configuration) Try(ctx context.Context, cfg *config.Connector, observe status.Observer) (interapp.Check, error) {
	return c.daemon.set.Try(ctx, cfg, observe)
}

// Reload implements server.Configuration: it waits for a reload that is under way, and
// reads the file after that.
func (c *configuration) Reload(ctx context.Context) (interapp.Reload, error) {
	select {
	case c.daemon.reloading <- struct{}{}:
		defer func() { <-c.daemon.reloading }()
	case <-ctx.Done():
		return interapp.Reload{}, ctx.Err()
	case <-c.daemon.alive.Done():
		return interapp.Reload{}, fmt.Errorf("reload: %w", errEnding)
	}
	r := interapp.Reload{At: time.Now().UTC(), Added: []string{}, Changed: []string{}, Removed: []string{}, Refused: []string{}}
	cfg, version, err := c.load()
	if err != nil {
		r.Error = err.Error()
		c.daemon.log.Error("reload: the configuration has mistakes, the old one is kept", "error", err)
	} else {
		c.daemon.reload(cfg, &r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Error == "" {
		c.version, c.at = version, r.At
	}
	c.last = &r
	return r, nil
}

// load reads the file. One that says nothing does not take connectors away: it is one
// that somebody is about to write.
func (c *configuration) load() (*config.Config, string, error) {
	cfg, version, blank, err := loadVersion(&c.file)
	if err == nil && blank && !c.daemon.current().Empty() {
		err = fmt.Errorf("%s says nothing, and the connectors that run are not taken away by that: to have none, write connectors: {}", c.file.Path)
	}
	return cfg, version, err
}

// loadVersion reads a configuration, with the version of its file.
func loadVersion(file *edit.File) (cfg *config.Config, version string, blank bool, err error) {
	text, version, err := file.Read()
	if err != nil {
		return nil, "", false, err
	}
	cfg, err = config.Parse(file.Path, text, os.LookupEnv)
	return cfg, version, config.Blank(text), err
}

// differences says what another configuration brings: connectors, Spaces as spaces/ID,
// and parts of the rest.
func differences(old, now *config.Config, r *interapp.Reload) {
	compareNamed(old.Connectors, now.Connectors, func(a, b *config.Connector) bool { return a.Equal(b) }, func(name string) string { return name }, r)
	compareNamed(old.Spaces, now.Spaces, func(a, b *config.Space) bool { return a.Equal(b) }, interapp.SpaceConnector, r)
	if !reflect.DeepEqual(old.Server.Tokens, now.Server.Tokens) {
		r.Changed = append(r.Changed, "server.tokens")
	}
	if !slices.Equal(old.Server.ReplyToAllow, now.Server.ReplyToAllow) {
		r.Changed = append(r.Changed, "server.reply_to_allow")
	}
	if old.Server.PublicURL != now.Server.PublicURL {
		r.Changed = append(r.Changed, "server.public_url")
	}
	if !slices.Equal(old.Server.TrustedProxies, now.Server.TrustedProxies) {
		r.Changed = append(r.Changed, "server.trusted_proxies")
	}
	if !old.SpaceServer.Equal(now.SpaceServer) {
		r.Changed = append(r.Changed, "space_server")
	}
}

func compareNamed[T any](old, now map[string]T, same func(a, b T) bool, shown func(string) string, r *interapp.Reload) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		switch was, there := old[name]; {
		case !there:
			r.Added = append(r.Added, shown(name))
		case !same(was, now[name]):
			r.Changed = append(r.Changed, shown(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, there := now[name]; !there {
			r.Removed = append(r.Removed, shown(name))
		}
	}
}

// atNextStart names the settings that differ from those that the daemon was started
// with, and that no reload changes.
func atNextStart(started, now *config.Config) []string {
	var names []string
	for name, differs := range map[string]bool{
		"data_directory": started.DataDirectory != now.DataDirectory,
		"server.listen":  started.Server.Listen != now.Server.Listen,
		"server.tls":     started.Server.TLS != now.Server.TLS,
		"space_server":   started.SpaceServer.Enabled() != now.SpaceServer.Enabled(),
	} {
		if differs {
			names = append(names, name+" takes effect at the next start")
		}
	}
	if a, b := started.SpaceServer, now.SpaceServer; a.Enabled() && b.Enabled() &&
		(a.Listen != b.Listen || a.Connections != b.Connections || a.ConnectionsSpace != b.ConnectionsSpace || a.IdleTimeout != b.IdleTimeout) {
		names = append(names, "space_server.listen, connections, connections_per_space and idle_timeout take effect at the next start")
	}
	slices.Sort(names)
	return names
}
