package space

import (
	"context"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// Connectors are the connectors that import the Spaces of a configuration.
func Connectors(c *config.Config) map[string]*config.Connector {
	all := map[string]*config.Connector{}
	for id, s := range c.Spaces {
		conflict := config.OverwriteOnConflict
		if s.SameName == config.KeepBoth {
			conflict = config.FailOnConflict
		}
		all[interapp.SpaceConnector(id)] = &config.Connector{
			Name: interapp.SpaceConnector(id), Direction: config.Download, Space: s,
			Files: config.Files{
				SourceDirectoryPath: "/", DestinationDirectoryPath: s.DestinationDirectoryPath,
				SystemUsername: s.SystemUsername, SystemPassword: s.SystemPassword,
				Include: []string{"**"}, Symlinks: config.SkipSymlinks, Layout: config.Tree,
				AfterCopy: config.AfterCopy{Action: config.Delete}, OnConflict: conflict,
			},
			Sync: config.Schedule{Text: "N/A"}, TimeZone: config.TimeZone{Location: time.UTC}, Retention: s.Retention,
		}
	}
	return all
}

// Run lets clients in and imports what they upload until ctx ends, or until the
// listener fails, which is the error; then it waits for both. The connectors of the
// Spaces are in set.
func (s *Spaces) Run(ctx context.Context, set *connector.Set) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.run = func(one *space) {
		ctx, end := context.WithCancel(ctx)
		one.end, one.ended = end, make(chan struct{})
		s.tasks.Go(func() {
			defer close(one.ended)
			defer end()
			importing(ctx, one, set)
		})
	}
	for _, one := range s.spaces {
		s.run(one)
	}
	s.mu.Unlock()
	host, port := s.Public()
	s.log.Info("receiving uploads", "spaces", len(s.IDs()), "listen", s.Addr().String(), "public_host", host, "public_port", port)
	err := s.server.Serve(ctx, s.listener)
	cancel() // if it was the listener that ended
	s.tasks.Wait()
	return err
}

// importing runs a pass whenever something has come, and again after a while
// when that did not go well.
func importing(ctx context.Context, one *space, set *connector.Set) {
	one.wakeImport() // what an earlier run of the program left
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	failures := 0 // in a row
	for {
		select {
		case <-ctx.Done():
			return
		case <-one.wake:
		case <-retry.C:
		}
		retry.Stop()
		switch importNow(ctx, set, interapp.SpaceConnector(one.id)) {
		case never:
			failures = 0
		case soon:
			failures++
			retry.Reset(backoff.Import.Wait(failures))
		case later:
			failures = 0
			retry.Reset(backoff.Import.Longest())
		}
	}
}

// when says when an import is to be tried again.
type when int

const (
	never when = iota // all is well: when something comes
	soon              // the destination fails, it has pending files left, a reload has cut it, or a client was at a file
	later             // single files fail, which the ledger holds back
)

func importNow(ctx context.Context, set *connector.Set, name string) when {
	c, err := set.Get(name)
	if err != nil {
		return soon // a reload is about to make it
	}
	run, err := c.Sync()
	if err != nil {
		return soon
	}
	p, err := run.Wait(ctx)
	switch {
	case err != nil || p.Result.Files.Waiting > 0 || p.Result.Left:
		return soon
	case p.Result.Outcome == filesync.Succeeded:
		return never
	case p.Result.Outcome == filesync.Partial:
		return later
	}
	return soon
}
