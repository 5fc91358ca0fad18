package pass

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	filesync "sftpconnector/sync"
)

// checkpoints are those of copies that were interrupted in earlier passes.
type checkpoints struct {
	kept    map[string]filesync.Interrupted // by path; not written to after it is set
	inPlace bool                            // how copies are written now

	mu    sync.Mutex
	found map[string]bool // paths that this pass came across in the same version
}

// find gives the checkpoint of an interrupted copy of this version.
func (c *checkpoints) find(e filesync.Entry) (filesync.Checkpoint, bool) {
	k, ok := c.kept[e.Name]
	if !ok || !k.Source.SameVersion(e) || !k.GoesOn(c.inPlace) {
		return filesync.Checkpoint{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil {
		c.found = map[string]bool{}
	}
	c.found[e.Name] = true
	return k.Checkpoint, true
}

// target is the name at the destination of a file of the source.
func (dc *decider) target(name string) string {
	if dc.o.Flat {
		return path.Base(name)
	}
	return name
}

// dropCheckpoints removes what is kept of copies that will never go on: the listing
// did not have their files, or had them in another version, or upload_name has changed.
func (p *Pass) dropCheckpoints(ctx context.Context) error {
	for name, k := range p.checkpoints.kept {
		if p.checkpoints.found[name] || p.rows.Unlisted.Covers(name) {
			continue
		}
		k.Source.Name = name
		e := k.Source
		e.Name = p.target(name)
		err := p.dropPart(ctx, k, e)
		if filesync.IsUnavailable(err) {
			return err
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.o.Log.Warn("pending file not removed", "file", name, "error", err)
		}
		if err := p.ledger.DropCheckpoint(ctx, name, k.Checkpoint.ID); err != nil {
			return err
		}
	}
	return nil
}

// dropPart removes the pending file of a copy that will never go on. Where it has the
// file's own name, another version may stand there by now, or be on its way: the next
// pass finds out, before it copies anything, as for a file that a kill has left.
func (p *Pass) dropPart(ctx context.Context, k filesync.Interrupted, e filesync.Entry) error {
	switch hidden := k.InPlace != nil && !*k.InPlace; {
	case p.o.InPlace && hidden:
		p.requireSweep(ctx)
		return nil
	case p.o.InPlace || k.InPlace != nil && *k.InPlace:
		ids, err := p.ledger.IntendInPlace(ctx, []filesync.Delivery{{
			Source: k.Source, Target: e, Key: p.keyOf(e.Name), Pass: p.o.ID, At: time.Now(), PendingID: filesync.InPlaceID, InPlace: new(true),
		}})
		if err != nil {
			return err
		}
		return p.ledger.MarkOpened(ctx, ids)
	}
	pending, err := p.dst.Begin(ctx, e, &k.Checkpoint)
	if err == nil {
		err = pending.Abort(ctx)
	}
	return err
}
