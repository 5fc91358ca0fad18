package pass_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// unopenable is a destination that does not open what earlier passes have left.
type unopenable struct {
	filesync.Destination
	err error
}

func (d unopenable) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	if resume != nil {
		return nil, d.err
	}
	return d.Destination.Begin(ctx, e, nil)
}

// lostAtPublish is a destination that is lost as it gives files their names, which they
// have then if named is set.
func lostAtPublish(t *testing.T, named bool) func(filesync.Destination, []filesync.Publication) []error {
	return func(d filesync.Destination, batch []filesync.Publication) []error {
		if named {
			d.Publish(t.Context(), batch)
		}
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	}
}

// wantIntents checks how many intents the journal has.
func (b *bench) wantIntents(want int) {
	b.t.Helper()
	intents, err := b.memory.Intents(b.t.Context())
	if err != nil || len(intents) != want {
		b.t.Errorf("intents: %v, want %d (%v)", intents, want, err)
	}
}

// An intent stays while the destination does not tell whether its pending file is there:
// an error of the disk does not say that it is gone.
func TestIntentStaysWhileThePendingFileCannotBeOpened(t *testing.T) {
	for _, named := range []bool{false, true} {
		b := newBench(t)
		b.src.Put("a", "x", old)
		dir := filepath.Join(t.TempDir(), "elsewhere") // where a pending file may be left
		b.at(dir, lostAtPublish(t, named))
		b.want(b.pass(filesync.Automatic), filesync.Failed, "")
		b.wantIntents(1)
		b.to = unopenable{b.at(dir, nil), errors.New("open: input/output error")}
		b.pass(filesync.Automatic)
		b.wantIntents(1)
		b.at(dir, nil)
		b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
		b.wantIntents(0)
	}
}
