package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sftpconnector/backoff"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// Fail writes down that a file could not be done. What is not the file's own fault is
// not a try.
func (c *Client) Fail(ctx context.Context, e filesync.Entry, err error) Result {
	result := Result{Entry: e, State: filesync.StateFailed, Err: err}
	if errors.Is(err, fs.ErrNotExist) && c.vanished(ctx, e) {
		result.Gone = true
		return result
	}
	last, ferr := c.last(ctx, e)
	if ferr != nil {
		c.r.fail(ferr)
		return result
	}
	f := filesync.Failure{Source: e, Tries: 1, Error: err.Error(), At: time.Now()}
	if l := last.Failure; last.FailureID != 0 && !l.Conflict && l.Source.SameVersion(e) {
		f.Tries += l.Tries
		if (c.o.Mode == filesync.Request || c.o.Rerun) && f.At.Before(l.Next) {
			f.Tries-- // many requests in a row are no more than one try, nor are the runs of a pass
		}
	}
	f.Quarantined = f.Tries >= filesync.MaxTries
	f.Next = f.At.Add(backoff.File.Wait(f.Tries))
	result.Failure = c.record(ctx, f)
	return result
}

// last is what the ledger has of a file.
func (c *Client) last(ctx context.Context, e filesync.Entry) (filesync.Record, error) {
	found, err := c.r.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return filesync.Record{}, err
	}
	return found[0], nil
}

// vanished reports whether the source has the file no more. Some servers list
// names that they cannot open.
func (c *Client) vanished(ctx context.Context, e filesync.Entry) bool {
	stats, err := c.r.src.Relist(ctx, []filesync.Entry{e})
	return err == nil && errors.Is(stats[0].Err, fs.ErrNotExist)
}

// record writes a failure down.
func (c *Client) record(ctx context.Context, f filesync.Failure) (id int64) {
	ids, err := c.r.ledger.Fail(ctx, []filesync.Failure{f})
	if err != nil {
		c.r.fail(err)
		return 0
	}
	return ids[0]
}

// conflict writes down that another file has the name.
func (r *run) conflict(c *Client, e filesync.Entry, err error) Result {
	id := c.record(context.WithoutCancel(r.ctx), filesync.Failure{Source: e, Conflict: true, Error: err.Error(), At: time.Now()})
	return Result{Entry: e, State: filesync.StateConflict, Err: err, Failure: id}
}

// discarded writes down that a copy was thrown away because the file changed while it was
// read. It waits for the next pass; when several in a row did so at the same size, it
// has failed: there is nothing that waiting would change.
func (r *run) discarded(c *Client, e filesync.Entry, cause error) Result {
	result := Result{Entry: e, State: filesync.StateWaiting, Err: cause, Discarded: true}
	if e.Version != "" { // the source knows: it is another file, of the same size and time perhaps
		return result
	}
	ctx := context.WithoutCancel(r.ctx)
	last, err := c.last(ctx, e)
	if err != nil {
		r.fail(err)
		return result
	}
	f := filesync.Failure{Source: e, Discards: 1, Error: cause.Error(), At: time.Now()}
	if l := last.Failure; last.FailureID != 0 && !l.Conflict && l.Source.Size == e.Size {
		f.Discards += l.Discards
		f.Tries = l.Tries
		if c.o.Mode == filesync.Request || c.o.Rerun {
			f.Discards = max(1, l.Discards) // many requests in a row are no more than one pass
		}
	}
	result.Failure = c.record(ctx, f)
	if f.Discards < filesync.MaxDiscards {
		c.o.Log.Info("file waits", "file", e.Name, "reason", cause)
		return result
	}
	result.State, result.Stuck, result.Hint = filesync.StateFailed, true, plan.HintDiscards
	result.Err = fmt.Errorf("read and discarded %d times in a row: %w", f.Discards, cause)
	return result
}
