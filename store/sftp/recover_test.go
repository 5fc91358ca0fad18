package sftp

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
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
func (r *uploader) pass(u *uploading, change func(o *filesync.Options)) filesync.Result {
	r.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		r.Fatal(err)
	}
	id, sweep, err := r.memory.StartPass(r.Context(), filesync.Automatic, time.Now(), true)
	if err != nil {
		r.Fatal(err)
	}
	o := filesync.Options{ID: id, Mode: filesync.Automatic, Filter: filter, Sweep: sweep, Once: true, InPlace: u.cfg.Direct}
	if change != nil {
		change(&o)
	}
	open := func(context.Context) (filesync.Source, error) { return r.src, nil }
	result := filesync.New(r.src, open, u.Destination, r.memory, filesync.NewShared(0), o).Run(r.Context())
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
			removing := func(o *filesync.Options) { o.AfterCopy.Remove, o.Mode = true, filesync.Apply }
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
