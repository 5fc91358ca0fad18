package connector

import (
	"context"
	"errors"
	"fmt"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// fruitlessPasses in a row make the Connection Status Nothing Deliverable.
const fruitlessPasses = 3

// deliverable takes into the Connection Status what a pass says beside the connection:
// whether anything can be delivered at all. A pass that could deliver nothing, after
// others like it, is not a good one. It gives the status that the pass ended with.
func (c *Connector) deliverable(ctx context.Context, run *Run, r filesync.Result) (filesync.Result, status.Word) {
	if r.Err != nil || run.Mode == filesync.Request {
		return r, c.health.statusOf(r)
	}
	inRow, err := run.ledger.CountFruitless(ctx, r.Fruitless)
	if err != nil { // the status stays what it is
		c.log.Warn("passes that delivered nothing are not counted", "error", err)
		return r, c.health.word()
	}
	if inRow < fruitlessPasses && (r.Stuck == 0 || r.Files.Copied > 0) {
		c.health.report(nil)
		return r, status.ConnectionValid
	}
	if r.Outcome == filesync.Succeeded {
		r.Outcome = filesync.Partial
	}
	c.health.report(nothingDeliverable(r, inRow))
	return r, status.NothingDeliverable
}

// nothingDeliverable tells why, by the first file that could not be.
func nothingDeliverable(r filesync.Result, inRow int) error {
	cause := errors.New("there are no regular files in the source directory, but other things")
	hint := "Have the server's administrator see what these are, or exclude them with files.exclude."
	if len(r.Failures) > 0 {
		first := r.Failures[0]
		cause, hint = fmt.Errorf("%s: %s", first.Name, first.Error), first.Hint
		if first.Held {
			hint = "" // when it is tried again is not what to do about it
		}
		if len(r.Failures) > 1 {
			cause = fmt.Errorf("%w (and %d others)", cause, len(r.Failures)-1)
		}
	}
	op := "deliver"
	if inRow >= fruitlessPasses {
		op = fmt.Sprintf("deliver, %d passes in a row", inRow)
	}
	return &status.Error{Word: status.NothingDeliverable, Op: op, Err: cause, Hint: hint}
}
