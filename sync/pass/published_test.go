package pass_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// overtaken is a destination at which somebody publishes a pending file that recovery has
// found, before recovery removes it.
type overtaken struct {
	filesync.Destination
	dir  string
	done bool
}

func (d *overtaken) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	p, err := d.Destination.Begin(ctx, e, resume)
	if err != nil || resume == nil {
		return p, err
	}
	return overtakenFile{p, d, e.Name}, nil
}

type overtakenFile struct {
	filesync.Pending
	d    *overtaken
	name string
}

func (p overtakenFile) Abort(ctx context.Context) error {
	p.d.done = true
	part := filepath.Join(p.d.dir, pending.Name(p.name, p.ID()))
	return errors.Join(os.Rename(part, filepath.Join(p.d.dir, p.name)), p.Pending.Abort(ctx))
}

// A pending file that gets its name while recovery removes it is delivered: a pass that
// was taken over may have gone on that long.
func TestPublishedDuringRecovery(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	dir := filepath.Join(t.TempDir(), "elsewhere") // where a pending file may be left
	b.at(dir, func(_ filesync.Destination, batch []filesync.Publication) []error {
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	})
	b.want(b.pass(filesync.Automatic), filesync.Failed, "")
	d, err := local.Open(dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	late := &overtaken{Destination: d, dir: dir}
	b.to = late
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	if !late.done {
		t.Error("recovery has not tried to remove the pending file")
	}
	if n := b.src.Fetches(); n != 1 {
		t.Errorf("it was read %d times", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); errors.Is(err, fs.ErrNotExist) {
		t.Error("it does not stand")
	}
}
