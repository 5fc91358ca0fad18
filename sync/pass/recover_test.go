package pass_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
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

// The intents of two pending files of one name ask different things: both stay.
func TestIntentsOfTwoPendingFilesStay(t *testing.T) {
	b := newBench(t)
	b.to = unopenable{b.at(b.dir, nil), errors.New("open: input/output error")}
	e := filesync.Entry{Name: "a", Size: 1, ModTime: old}
	for _, id := range []string{"one", "two"} {
		d := filesync.Delivery{Source: e, Target: e, Pass: "70", At: time.Now(), PendingID: id, InPlace: new(false)}
		if _, err := b.memory.Intend(t.Context(), []filesync.Delivery{d}); err != nil {
			t.Fatal(err)
		}
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "")
	b.wantIntents(2)
}

// A file that was delivered under another name since is not recorded once more under the
// name that an earlier pass was about to give it.
func TestDeliveredSinceUnderAnotherName(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	for _, name := range []string{"a", "a (2)"} {
		path := filepath.Join(b.dir, name)
		if err := errors.Join(os.MkdirAll(b.dir, 0o755), os.WriteFile(path, []byte("x"), 0o644), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	e := filesync.Entry{Name: "a", Size: 1, ModTime: old}
	d := filesync.Delivery{Source: e, Target: e, Pass: "70", At: time.Now(), PendingID: "gone", InPlace: new(false)}
	if _, err := b.memory.Intend(t.Context(), []filesync.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	d.Target.Name, d.Pass = "a (2)", "71"
	if _, err := b.memory.Commit(t.Context(), nil, []filesync.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Automatic, func(o *pass.Options) { o.KeepBoth = true }), filesync.Succeeded, "present=1")
	if recs, err := b.memory.Find(t.Context(), []string{"a"}); err != nil || recs[0].Delivery.Target.Name != "a (2)" {
		t.Errorf("%+v %v", recs, err)
	}
	b.wantIntents(0)
}

// statCounter is a destination that counts how often it is asked what stands there.
type statCounter struct {
	filesync.Destination
	stats int
}

func (d *statCounter) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	d.stats++
	return d.Destination.Stat(ctx, names)
}

// The intents of files that are written under their own names are one for each file. They
// are looked at together.
func TestManyIntentsAreLookedAtTogether(t *testing.T) {
	b := newBench(t)
	d := &statCounter{Destination: b.at(b.dir, nil)}
	b.to = d
	const files = 300
	var batch []filesync.Delivery
	for i := range files {
		e := filesync.Entry{Name: fmt.Sprint(i % (files / 2)), Size: 1, ModTime: old} // two of each name
		batch = append(batch, filesync.Delivery{Source: e, Target: e, Pass: "70", At: time.Now(), PendingID: filesync.InPlaceID, InPlace: new(true)})
	}
	if _, err := b.memory.IntendInPlace(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "")
	b.wantIntents(0)
	if d.stats > 10 {
		t.Errorf("the destination was asked %d times", d.stats)
	}
}

// What cannot be found out of a file is asked again for a month, and as long as something
// stands under its name.
func TestOldIntentGoes(t *testing.T) {
	for name, test := range map[string]struct {
		age    time.Duration
		stands bool
		left   int
	}{
		"young":               {age: 29 * 24 * time.Hour, left: 1},
		"old":                 {age: 31 * 24 * time.Hour},
		"old, and one stands": {age: 31 * 24 * time.Hour, stands: true, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.to = unopenable{b.at(b.dir, nil), errors.New("open: input/output error")}
			e := filesync.Entry{Name: "a", Size: 1, ModTime: old}
			d := filesync.Delivery{Source: e, Target: e, Pass: "70", At: time.Now().Add(-test.age), PendingID: "gone", InPlace: new(false)}
			if _, err := b.memory.Intend(t.Context(), []filesync.Delivery{d}); err != nil {
				t.Fatal(err)
			}
			if test.stands {
				if err := os.WriteFile(filepath.Join(b.dir, "a"), []byte("y"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b.want(b.pass(filesync.Automatic), filesync.Succeeded, "")
			b.wantIntents(test.left)
		})
	}
}
