package connector

import (
	"context"
	"fmt"
	"sync/atomic"

	"sftpconnector/config"
	"sftpconnector/sync/ledger"
)

// claim lets passes write for a connector. Those that run side by side share it: the first
// takes the lock against other processes and claims the connector in the ledger, the last
// gives the lock back.
type claim struct {
	ledger *ledger.Connector
	lock   func() (unlock func(), err error) // nil: there is none
	source string                            // what the paths of the files are relative to

	turn    chan struct{}     // has room for one: the pass that enters or leaves
	entered int               // passes under way; turn guards it
	unlock  func()            // turn guards it
	claimed *ledger.Connector // what the passes write to; turn guards it
	epoch   atomic.Int64      // of the claim; 0: none yet
}

func newClaim(cfg *config.Connector, parts Parts, l *ledger.Connector) *claim {
	k := &claim{ledger: l, source: sourceOf(cfg), turn: make(chan struct{}, 1)}
	if parts.Lock != nil {
		k.lock = func() (func(), error) { return parts.Lock(cfg.Name) }
	}
	return k
}

// enter records the start of a pass. What it began has to be left, unless it fails:
// ErrBusy says that another process has the connector.
func (k *claim) enter(ctx context.Context, r *Run) (id string, unclean bool, err error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return "", false, context.Cause(ctx)
	}
	alone := k.entered == 0
	if alone && k.lock != nil {
		if k.unlock, err = k.lock(); err != nil {
			return "", false, err
		}
	}
	if alone {
		k.claimed, err = k.ledger.Claim(ctx)
	}
	r.ledger = k.claimed
	if err == nil {
		k.epoch.Store(r.ledger.Epoch())
		err = r.ledger.Bind(ctx, k.source)
	}
	if err == nil {
		id, unclean, err = r.ledger.StartPass(ctx, r.Mode, r.started, alone)
	}
	if err != nil {
		if alone {
			k.free()
		}
		return "", false, err
	}
	k.entered++
	return id, unclean, nil
}

// leave ends what enter began.
func (k *claim) leave() {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	if k.entered--; k.entered == 0 {
		k.free()
	}
}

// free gives the lock back. The caller has the turn.
func (k *claim) free() {
	if k.unlock != nil {
		k.unlock()
		k.unlock = nil
	}
}

// sourceOf names what the paths of a connector's files are relative to.
func sourceOf(cfg *config.Connector) string {
	switch {
	case cfg.Space != nil:
		return "space:" + cfg.Space.Name
	case cfg.Uploads():
		to := fmt.Sprintf("%s@%s:%d", cfg.SFTP.Username, cfg.SFTP.Host, cfg.SFTP.Port)
		if api := cfg.SFTP.CredentialsAPI; api.Enabled() {
			to = api.SpaceID + "@" + api.URL
		}
		return "upload:" + cfg.Files.SourceDirectoryPath + " to " + to + "/" + cfg.Files.DestinationDirectoryPath
	case cfg.SFTP.CredentialsAPI.Enabled():
		return cfg.SFTP.CredentialsAPI.SpaceID + "@" + cfg.SFTP.CredentialsAPI.URL + "/" + cfg.Files.SourceDirectoryPath
	}
	return fmt.Sprintf("%s@%s:%d/%s", cfg.SFTP.Username, cfg.SFTP.Host, cfg.SFTP.Port, cfg.Files.SourceDirectoryPath)
}
