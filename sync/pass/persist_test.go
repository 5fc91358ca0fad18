package pass_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// unsyncable is a destination whose directories cannot be synced for a while.
type unsyncable struct{ filesync.Destination }

var errUnsyncable = &fs.PathError{Op: "sync", Path: ".", Err: fs.ErrPermission}

func (d unsyncable) Publish(ctx context.Context, batch []filesync.Publication) []error {
	errs := d.Destination.Publish(ctx, batch)
	for i := range errs {
		errs[i] = errors.Join(errs[i], &status.Error{Word: status.DestinationUnavailable, Op: "sync", Err: errUnsyncable})
	}
	return errs
}

func (d unsyncable) Persist(context.Context, []string) []error { return []error{errUnsyncable} }

// A file that got its name, and could not be made durable for some passes, is
// ours: its next version is no conflict.
func TestUnsyncedFileStaysOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dst := func(wrap bool) {
		d, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		if b.to = d; wrap {
			b.to = unsyncable{d}
		}
	}
	b.src.Put("x", "first", old)
	for range 3 {
		dst(true)
		if r := b.pass(filesync.Automatic); r.Outcome == filesync.Succeeded {
			t.Fatalf("a pass that could not make anything durable succeeded: %+v", r)
		}
	}
	b.src.Put("x", "the second", old.Add(time.Hour))
	dst(true)
	b.pass(filesync.Automatic)
	dst(false)
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "copied=1")
	b.wantFile("x", "the second", old.Add(time.Hour))
}
