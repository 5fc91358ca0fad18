package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// uploader is a program that uploads what is in src, and remembers it.
type uploader struct {
	*testing.T
	src    *storetest.Memory
	memory *ledger.Connector
}

func newUploader(t *testing.T) *uploader {
	t.Helper()
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return &uploader{t, storetest.NewMemory(), m}
}

// pass runs a pass.
func (r *uploader) pass(u *uploading, change func(o *pass.Options)) filesync.Result {
	r.Helper()
	return r.passWith(r.memory, u, change)
}

// passWith runs a pass that is given a memory of its own.
func (r *uploader) passWith(m pass.Ledger, u *uploading, change func(o *pass.Options)) filesync.Result {
	r.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		r.Fatal(err)
	}
	id, sweep, err := r.memory.StartPass(r.Context(), filesync.Automatic, time.Now(), true)
	if err != nil {
		r.Fatal(err)
	}
	o := pass.Options{ID: id, Mode: filesync.Automatic, Filter: filter, Sweep: sweep, Once: true, InPlace: u.cfg.Direct}
	if change != nil {
		change(&o)
	}
	open := func(context.Context) (filesync.Source, error) { return r.src, nil }
	result := pass.New(r.src, open, u.Destination, m, pass.NewShared(0), o).Run(r.Context())
	if err := r.memory.FinishPass(r.Context(), id, result, ""); err != nil {
		r.Fatal(err)
	}
	return result
}

// intend is what a pass does before it publishes a file.
func (r *uploader) intend(e filesync.Entry, pending string) {
	r.Helper()
	_, err := r.memory.Intend(r.Context(), []filesync.Delivery{{Source: e, Target: e, Pass: "1", At: time.Now(), PendingID: pending}})
	if err != nil {
		r.Fatal(err)
	}
}

// A file that gets its name while the next pass looks after the last one is
// there whole, whatever becomes of its other name.
func TestRecoverRenameUnderWay(t *testing.T) {
	for name, test := range map[string]struct {
		// rename is how far the RENAME has come when the next pass begins, and
		// late what is done of it when that pass is about to remove the file.
		rename, late func(from, to string) error
	}{
		"linked, not unlinked": {rename: os.Link},
		"done late":            {late: os.Rename},
		"linked late":          {late: os.Link},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, nil)
			r := newUploader(t)
			data := noise(50_000)
			r.src.Put("x.csv", string(data), old)
			p, e, err := u.write("x.csv", data)
			u.must(err)
			r.intend(e, p.ID())
			from, to := p.(*pendingFile).path, u.at("x.csv")
			u.must(u.Close())
			if test.rename != nil {
				u.must(test.rename(from, to))
			}
			s.Set(func(f *sftptest.Faults) {
				f.Fail = func(op sftptest.Op, path string) sftptest.Status {
					if op == sftptest.OpRemove && path == from && test.late != nil {
						if err := test.late(from, to); err != nil {
							t.Error(err)
						}
					}
					return sftptest.StatusOK
				}
			})
			again := uploadTo(t, s.Endpoint, nil)
			if result := r.pass(again, nil); result.Outcome != filesync.Succeeded || result.Files.Failed+result.Files.Conflict > 0 {
				t.Errorf("%s %+v: %v %v", result.Outcome, result.Files, result.Err, result.Failures)
			}
			again.want("x.csv", data)
			again.wantFiles("x.csv")
		})
	}
}

// A file whose CLOSE failed is not delivered, though its size and time are
// right: its original stays until it is.
func TestDirectCloseThatFails(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{"no room": {Room: 100_000}, "another reason": {}} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, f, direct)
			r := newUploader(t)
			data := noise(90_000)
			r.src.Put("x.csv", string(data), old)
			removing := func(o *pass.Options) { o.AfterCopy.Remove, o.Mode = true, filesync.Apply }
			s.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Refuse(sftptest.StatusFailure, sftptest.OpClose) })
			result := r.pass(u, removing)
			if full := errors.Is(result.Err, filesync.ErrFull); full != (f.Room > 0) || result.Files.Copied > 0 {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Err)
			}
			u.wantFiles()

			s.Set(func(f *sftptest.Faults) { f.Fail, f.Room = nil, 0 })
			again := uploadTo(t, s.Endpoint, direct)
			if result := r.pass(again, removing); result.Files.Copied != 1 || result.Outcome != filesync.Succeeded {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Err)
			}
			again.want("x.csv", data)
			if r.src.Has("x.csv") {
				t.Error("the original of a delivered file is left")
			}
		})
	}
}

// One that cannot be removed either is never taken for a delivered one.
func TestDirectCloseThatFailsForGood(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{"no room": {Room: 100_000}, "another reason": {}} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, f, direct)
			r := newUploader(t)
			const size = 90_000
			r.src.Put("x.csv", string(noise(size)), old)
			removing := func(o *pass.Options) { o.AfterCopy.Remove, o.Mode = true, filesync.Apply }
			s.Set(func(f *sftptest.Faults) {
				f.Fail = func(op sftptest.Op, _ string) sftptest.Status {
					switch op {
					case sftptest.OpClose:
						return sftptest.StatusFailure
					case sftptest.OpRemove:
						return sftptest.StatusPermissionDenied
					}
					return sftptest.StatusOK
				}
			})
			if result := r.pass(u, removing); result.Files.Failed != 1 || !strings.Contains(result.Failures[0].Error, "cannot be removed") {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Failures)
			}
			s.Set(func(f *sftptest.Faults) { f.Fail, f.Room = nil, 0 })
			put(t, s.Endpoint, "x.csv", noise(size + 1)[1:]) // which bytes were lost
			again := uploadTo(t, s.Endpoint, direct)
			result := r.pass(again, removing)
			if !r.src.Has("x.csv") {
				t.Errorf("its original is gone: %s %+v %v", result.Outcome, result.Files, result.Failures)
			}
		})
	}
}

// intendInPlace has the source hold x.csv, and the ledger remember a pass that was killed
// as it was about to begin it under its own name, or had.
func (r *uploader) intendInPlace(u *uploading, data []byte, after filesync.After, begun bool) {
	u.Helper()
	r.src.Put("x.csv", string(data), old)
	e := uploadEntry("x.csv", data)
	ids, err := r.memory.IntendInPlace(u.Context(), []filesync.Delivery{{Source: e, Target: e, Pass: "1", At: time.Now(), PendingID: filesync.InPlaceID, After: after}})
	u.must(err)
	if begun {
		u.must(r.memory.MarkOpened(u.Context(), ids))
	}
}

// What a killed pass was about to begin under its own name is known from what
// somebody else has put there since.
func TestDirectForeseen(t *testing.T) {
	data := noise(1000)
	for name, test := range map[string]struct {
		opened bool
		stands []byte
		time   time.Time
		ours   bool
	}{
		"begun, half":               {true, data[:400], time.Now(), true},
		"begun, empty":              {true, nil, time.Now(), true},
		"begun, and longer":         {true, noise(1001), time.Now(), false},
		"not begun, empty":          {false, nil, time.Now(), true},
		"not begun, shorter":        {false, []byte("somebody else's file"), time.Now(), false},
		"not begun, as long":        {false, noise(1000), time.Now(), false},
		"not begun, as old":         {false, noise(400), old, false},
		"not begun, and longer too": {false, noise(1001), time.Now(), false},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := uploadFaulty(t, sftptest.Faults{}, direct)
			r := newUploader(t)
			r.intendInPlace(u, data, filesync.AfterNone, test.opened)
			u.must(os.WriteFile(u.at("x.csv"), test.stands, 0o644))
			u.must(os.Chtimes(u.at("x.csv"), test.time, test.time))
			result := r.pass(u, nil)
			want := test.stands
			if test.ours {
				want = data
			}
			u.want("x.csv", want)
			if test.ours != (result.Files.Copied == 1) || test.ours != (result.Files.Conflict == 0) {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Failures)
			}
		})
	}
	// One of the very size and time is taken for the file, as ever, and an original
	// goes only when it is compared.
	t.Run("not begun, same version", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{}, direct)
		r := newUploader(t)
		r.intendInPlace(u, data, filesync.AfterOwed, false)
		other := noise(1001)[1:]
		put(t, s.Endpoint, "x.csv", other)
		r.pass(u, func(o *pass.Options) { o.AfterCopy.Remove = true })
		u.want("x.csv", other)
		if !r.src.Has("x.csv") {
			t.Error("the original of a file that was never delivered is gone")
		}
	})
}

// watchedLedger calls opened, which may fail it, before MarkOpened.
type watchedLedger struct {
	pass.Ledger
	opened func(intents []int64) error
}

func (l watchedLedger) MarkOpened(ctx context.Context, intents []int64) error {
	if err := l.opened(intents); err != nil {
		return err
	}
	return l.Ledger.MarkOpened(ctx, intents)
}

// Nothing is written to a file under its own name before the ledger knows that it
// was begun.
func TestDirectIsNotedBeforeItIsWritten(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, direct)
	r := newUploader(t)
	const files = 100
	for i := range files {
		r.src.Put(fmt.Sprintf("%d.csv", i), string(noise(1000)), old)
	}
	journaled := func() map[int64][]filesync.Delivery {
		intents, err := r.memory.Intents(t.Context())
		u.must(err)
		return intents
	}
	var noted atomic.Int64
	watched := watchedLedger{r.memory, func(ids []int64) error {
		noted.Add(int64(len(ids)))
		intents := journaled()
		for _, id := range ids {
			if fi, err := os.Stat(u.at(intents[id][0].Target.Name)); err != nil || fi.Size() > 0 {
				t.Errorf("%+v: %v %v", intents[id], fi, err)
			}
		}
		return nil
	}}
	if result := r.passWith(watched, u, nil); result.Files.Copied != files || noted.Load() != files {
		t.Errorf("%s %+v, %d noted", result.Outcome, result.Files, noted.Load())
	}
	if left := journaled(); len(left) > 0 {
		t.Errorf("intents left: %v", left)
	}

	r.src.Put("y.csv", "data", old)
	s.ResetCounts()
	watched.opened = func([]int64) error { return errors.New("the ledger fails") }
	if result := r.passWith(watched, u, nil); result.Files.Copied > 0 || s.Counts().Ops[sftptest.OpWrite] > 0 {
		t.Errorf("%s %+v, %v", result.Outcome, result.Files, s.Counts().Ops)
	}
	if _, err := os.Stat(u.at("y.csv")); err == nil || len(journaled()) > 0 {
		t.Errorf("left: %v %v", err, journaled())
	}
}

// What a killed pass has begun under its own name is not forgotten while the server
// does not let us see it, or remove it.
func TestDirectIsRememberedWhileNothingIsKnown(t *testing.T) {
	data := noise(1000)
	refuse := func(ops ...sftptest.Op) func(sftptest.Op, string) sftptest.Status {
		return func(op sftptest.Op, _ string) sftptest.Status {
			if slices.Contains(ops, op) {
				return sftptest.StatusFailure
			}
			return sftptest.StatusOK
		}
	}
	for name, test := range map[string]struct {
		begun  bool
		stands []byte
		fail   func(sftptest.Op, string) sftptest.Status
	}{
		"not begun, unseen":       {false, nil, refuse(sftptest.OpStat, sftptest.OpLstat, sftptest.OpFstat, sftptest.OpOpen)},
		"not begun, cannot be":    {false, nil, refuse(sftptest.OpRemove, sftptest.OpOpen)},
		"not begun, not removed":  {false, nil, refuse(sftptest.OpRemove)},
		"half of it, not removed": {true, data[:400], refuse(sftptest.OpRemove)},
		"half of it, unseen":      {true, data[:400], refuse(sftptest.OpStat, sftptest.OpLstat, sftptest.OpFstat, sftptest.OpOpen)},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, direct)
			r := newUploader(t)
			r.intendInPlace(u, data, filesync.AfterNone, test.begun)
			u.must(os.WriteFile(u.at("x.csv"), test.stands, 0o644))
			s.Set(func(f *sftptest.Faults) { f.Fail = test.fail })
			for range 4 {
				if result := r.pass(uploadTo(t, s.Endpoint, direct), nil); result.Files.Copied > 0 {
					t.Fatalf("%s %+v", result.Outcome, result.Files)
				}
			}
			intents, err := r.memory.Intents(t.Context())
			u.must(err)
			if len(intents) == 0 || len(intents) > 3 {
				t.Errorf("%d intents after four passes", len(intents))
			}
			s.Set(func(f *sftptest.Faults) { f.Fail = nil })
			again := uploadTo(t, s.Endpoint, direct)
			if result := r.pass(again, func(o *pass.Options) { o.Mode = filesync.Apply }); result.Files.Copied != 1 {
				t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Failures)
			}
			again.want("x.csv", data)
			if intents, err = r.memory.Intents(t.Context()); err != nil || len(intents) > 0 {
				t.Errorf("left: %v %v", intents, err)
			}
		})
	}
}

// What was kept of an interrupted upload is removed only while it stands: a newer version
// may have its name by then.
func TestKeptPartThatWasReplacedIsLeft(t *testing.T) {
	first, second := noise(60_000), noise(60_001)[1:]
	for name, overwrite := range map[string]bool{"overwritten": true, "taken by its receiver": false} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, func(c *Config) { c.Direct, c.Overwrite = true, overwrite })
			r := newUploader(t)
			change := func(o *pass.Options) { o.Overwrite = overwrite }
			p, e, err := u.write("x.csv", first)
			u.must(err)
			u.must(p.Keep())
			u.must(r.memory.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: e, Checkpoint: filesync.Checkpoint{ID: p.ID(), Prefix: 20_000}}))
			u.must(u.Close())
			if !overwrite {
				u.must(os.Remove(u.at("x.csv")))
			}
			r.src.Put("x.csv", string(second), old.Add(time.Hour))
			for range 3 {
				r.pass(uploadTo(t, s.Endpoint, func(c *Config) { c.Direct, c.Overwrite = true, overwrite }), change)
			}
			u.want("x.csv", second)
			if kept, err := r.memory.Checkpoints(t.Context()); err != nil || len(kept) > 0 {
				t.Errorf("kept: %v, %v", kept, err)
			}
			if intents, err := r.memory.Intents(t.Context()); err != nil || len(intents) > 0 {
				t.Errorf("intents: %v, %v", intents, err)
			}
		})
	}
}

// A part goes on from its checkpoint only if that is of its version: a file that looks
// whole may have lost what was written to it, and is written anew.
func TestKeptPartOfAnotherVersionIsNoPart(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, direct)
	r := newUploader(t)
	whole := noise(60_000)
	lost := append(bytes.Clone(whole[:30_000]), make([]byte, 30_000)...)
	put(t, s.Endpoint, "x.csv", lost)
	u.must(os.Chtimes(u.at("x.csv"), old, old))
	r.intendInPlace(u, whole, filesync.AfterNone, true)
	u.must(r.memory.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: uploadEntry("x.csv", whole), Checkpoint: filesync.Checkpoint{ID: "k", Prefix: 20_000}}))
	for range 2 {
		r.pass(uploadTo(t, s.Endpoint, direct), nil)
	}
	u.want("x.csv", whole)
}
