package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A destination that writes files under their own names (Options.InPlace) leaves
// a part of one there when the program is killed or the connection breaks. To
// know it from somebody else's file, each is journaled before it is begun, and
// again when it is, before anything is written to it. What stands under the name
// of one that was not noted as begun is ours only if it is empty.

// InPlaceID begins the ids of files in the journal that were about to be begun
// under their own names. What stands there then is a part of one, whatever its
// time, if it is no larger.
const InPlaceID = "in place"

// inPlaceID is the id of a file that replaces another one, or none.
func inPlaceID(replaces *Entry) string {
	if replaces == nil {
		return InPlaceID
	}
	return fmt.Sprintf("%s of %d %d", InPlaceID, replaces.Size, replaces.ModTime.Unix())
}

// inPlace reports whether the delivery is one that was about to be begun so.
func (d Delivery) inPlace() bool { return strings.HasPrefix(d.PendingID, InPlaceID) }

// replaces reports whether what stands is the very file that was to be replaced.
func (d Delivery) replaces(standing Look) bool {
	return standing.Err == nil && d.PendingID != InPlaceID && d.PendingID == inPlaceID(&standing.Entry)
}

// foretell journals that a file is about to be begun under its own name.
func (p *Pass) foretell(ctx context.Context, f *finished) (err error) {
	if !p.o.InPlace {
		return nil
	}
	d := f.delivery
	d.PendingID, d.At = inPlaceID(f.replaces), time.Now()
	f.foretold, err = p.foretold.ask(ctx, d)
	return err
}

// maybeBegun reports whether a file that could not be begun may have been, by what stands
// under its name: a server may answer that it failed to do what it did. An empty file
// that was not there before, or had something in it, is left to the next pass, which
// finds out by what was foretold: it is ours if it is empty still. Another program may
// be about to write to it now.
func (p *Pass) maybeBegun(ctx context.Context, f *finished) bool {
	if f.foretold == 0 || f.replaces != nil && f.replaces.Size == 0 {
		return false
	}
	looks, err := p.dst.Stat(ctx, []string{f.target})
	if err != nil || errors.Is(looks[0].Err, ErrUnseen) {
		return true
	}
	return looks[0].Err == nil && looks[0].Entry.Mode.IsRegular() && looks[0].Entry.Size == 0
}

// confirm journals that the file was begun; it is given up if that fails.
func (p *Pass) confirm(ctx context.Context, f *finished) error {
	if f.foretold == 0 {
		return nil
	}
	_, err := p.confirmed.ask(ctx, f.foretold)
	if err != nil {
		p.giveUp(ctx, f, newExtents(p, f, 0), err)
	}
	return err
}

// confirmAll journals it for many. There is nothing to answer.
func (p *Pass) confirmAll(ctx context.Context, foretold []int64) ([]struct{}, error) {
	return make([]struct{}, len(foretold)), p.ledger.Begun(ctx, foretold)
}

// settledInPlace ends that for files that are whole, gone, or kept with a
// checkpoint. A failure leaves it to the next pass, which finds nothing to do.
func (p *Pass) settledInPlace(ctx context.Context, files ...*finished) {
	var ids []int64
	for _, f := range files {
		if f.foretold != 0 {
			ids = append(ids, f.foretold)
			f.foretold = 0
		}
	}
	if len(ids) == 0 {
		return
	}
	if err := p.ledger.Drop(ctx, ids); err != nil {
		p.o.Log.Warn("intents not dropped", "error", err)
	}
}

// partOfOurs reports whether what stands under a file's own name is the part of
// it that an interrupted copy has left, with a checkpoint.
func (p *Pass) partOfOurs(e, standing Entry) bool {
	_, kept := p.resumes.find(e)
	return p.o.InPlace && kept && standing.Mode.IsRegular() && standing.Size <= e.Size
}
