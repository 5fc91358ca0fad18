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

// failures writes down, for one pass, which files could not be done.
type failures struct {
	src    *ReopeningSource
	ledger Ledger
	o      Options
	end    func(error) // is told when the ledger is out of reach
}

// Fail writes down that a file could not be done. What is not the file's own fault is
// not a try.
func (c *Client) Fail(ctx context.Context, e filesync.Entry, err error) Result {
	return c.failures.file(ctx, e, err)
}

// file writes a failure down, as Client.Fail.
func (x *failures) file(ctx context.Context, e filesync.Entry, err error) Result {
	result := Result{Entry: e, State: filesync.StateFailed, Err: err}
	if errors.Is(err, fs.ErrNotExist) && x.src.Vanished(ctx, e) {
		result.Gone = true
		return result
	}
	last, ferr := x.last(ctx, e)
	if ferr != nil {
		x.end(ferr)
		return result
	}
	f := filesync.Failure{Source: e, Tries: 1, Error: err.Error(), At: time.Now()}
	if l := last.Failure; last.FailureID != 0 && !l.Conflict && l.Source.SameVersion(e) {
		f.Tries += l.Tries
		if (x.o.Mode == filesync.Request || x.o.Rerun) && f.At.Before(l.Next) {
			f.Tries-- // many requests in a row are no more than one try, nor are the runs of a pass
		}
	}
	f.Quarantined = f.Tries >= filesync.MaxTries
	f.Next = f.At.Add(backoff.File.Wait(f.Tries))
	result.Failure = x.record(ctx, f)
	return result
}

// last is what the ledger has of a file.
func (x *failures) last(ctx context.Context, e filesync.Entry) (filesync.Record, error) {
	found, err := x.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return filesync.Record{}, err
	}
	return found[0], nil
}

// record writes a failure down.
func (x *failures) record(ctx context.Context, f filesync.Failure) (id int64) {
	ids, err := x.ledger.Fail(ctx, []filesync.Failure{f})
	if err != nil {
		x.end(err)
		return 0
	}
	return ids[0]
}

// conflict writes down that another file has the name.
func (x *failures) conflict(ctx context.Context, e filesync.Entry, err error) Result {
	id := x.record(ctx, filesync.Failure{Source: e, Conflict: true, Error: err.Error(), At: time.Now()})
	return Result{Entry: e, State: filesync.StateConflict, Err: err, Failure: id}
}

// discarded writes down that a copy was thrown away because the file changed while it was
// read. It waits for the next pass; when several in a row did so at the same size, it
// has failed: there is nothing that waiting would change.
func (x *failures) discarded(ctx context.Context, e filesync.Entry, cause error) Result {
	result := Result{Entry: e, State: filesync.StateWaiting, Err: cause, Discarded: true}
	if e.Version != "" { // the source knows: it is another file, of the same size and time perhaps
		return result
	}
	last, err := x.last(ctx, e)
	if err != nil {
		x.end(err)
		return result
	}
	f := filesync.Failure{Source: e, Discards: 1, Error: cause.Error(), At: time.Now()}
	if l := last.Failure; last.FailureID != 0 && !l.Conflict && l.Source.Size == e.Size {
		f.Discards += l.Discards
		f.Tries = l.Tries
		if x.o.Mode == filesync.Request || x.o.Rerun {
			f.Discards = max(1, l.Discards) // many requests in a row are no more than one pass
		}
	}
	result.Failure = x.record(ctx, f)
	if f.Discards < filesync.MaxDiscards {
		x.o.Log.Info("file waits", "file", e.Name, "reason", cause)
		return result
	}
	result.State, result.Stuck, result.Hint = filesync.StateFailed, true, plan.HintDiscards
	result.Err = fmt.Errorf("read and discarded %d times in a row: %w", f.Discards, cause)
	return result
}
