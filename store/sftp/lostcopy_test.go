package sftp

import (
	"bytes"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// A new version of a file that destroys the copy of the last one, and cannot be
// delivered, takes the record of that copy with it: the source may have neither any more.
func TestRecordOfADestroyedCopyGoes(t *testing.T) {
	refuseWith := func(which sftptest.Op, status sftptest.Status) func(f *sftptest.Faults) {
		return func(f *sftptest.Faults) {
			f.Fail = func(op sftptest.Op, _ string) sftptest.Status {
				if op == which {
					return status
				}
				return sftptest.StatusOK
			}
		}
	}
	refuse := func(which sftptest.Op) func(f *sftptest.Faults) {
		return refuseWith(which, sftptest.StatusPermissionDenied)
	}
	// Nobody can look at the file after that.
	refuseBlindly := func(which sftptest.Op) func(f *sftptest.Faults) {
		return func(f *sftptest.Faults) {
			var refused atomic.Bool
			f.Fail = func(op sftptest.Op, _ string) sftptest.Status {
				switch {
				case op == which:
					refused.Store(true)
					return sftptest.StatusPermissionDenied
				case refused.Load() && slices.Contains([]sftptest.Op{sftptest.OpLstat, sftptest.OpStat, sftptest.OpOpendir}, op):
					return sftptest.StatusFailure
				}
				return sftptest.StatusOK
			}
		}
	}
	inTwoSteps := []string{"posix-rename@openssh.com"}
	for name, test := range map[string]struct {
		without []string
		change  func(c *Config)
		fault   func(f *sftptest.Faults)
		// lost says that the copy does not survive.
		lost bool
	}{
		"under its own name, cut off":   {nil, direct, func(f *sftptest.Faults) { f.DieAtWrite, f.Deaths = 1, 1 }, true},
		"under its own name, refused":   {nil, direct, refuse(sftptest.OpWrite), true},
		"under its own name, not begun": {nil, direct, refuse(sftptest.OpOpen), false},
		"in two steps":                  {inTwoSteps, nil, refuse(sftptest.OpRename), true},
		"in two steps, the first fails": {inTwoSteps, nil, refuse(sftptest.OpRemove), false},
		"under its own name, not seen":  {nil, direct, refuseBlindly(sftptest.OpWrite), true},
		"in two steps, a conflict":      {inTwoSteps, nil, refuseWith(sftptest.OpRename, sftptest.Status(wire.CodeExists)), true},
		"in two steps, not seen":        {inTwoSteps, nil, refuseBlindly(sftptest.OpRename), true},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Without: test.without}, test.change)
			r := newUploader(t)
			r.src.Put("x.csv", "the first version", old)
			r.src.Put("other.csv", "stays", old)
			r.pass(u, nil)

			r.src.Put("x.csv", string(noise(50_000)), old.Add(time.Hour))
			s.Set(test.fault)
			var log bytes.Buffer
			logging := func(o *pass.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }
			if result := r.pass(uploadTo(t, s.Endpoint, test.change), logging); result.Files.Copied > 0 {
				t.Fatalf("%s %+v", result.Outcome, result.Files)
			}
			s.Set(func(f *sftptest.Faults) { f.DieAtWrite, f.Fail = 0, nil })
			r.src.Delete("x.csv")
			if result := r.pass(uploadTo(t, s.Endpoint, test.change), logging); result.Outcome != filesync.Succeeded {
				t.Errorf("%s %+v: %v", result.Outcome, result.Files, result.Err)
			}
			if _, line, lost := strings.Cut(log.String(), "the last copy was replaced"); lost != test.lost || lost && !strings.Contains(line, "hint=") {
				t.Errorf("the operator is told, or what to do: %v, want %v: %s", lost, test.lost, log.String())
			}
			r.wantRecords(u, test.lost)
		})
	}
	t.Run("in two steps, killed between them", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{Without: inTwoSteps}, nil)
		r := newUploader(t)
		r.src.Put("x.csv", "the first version", old)
		r.src.Put("other.csv", "stays", old)
		r.pass(u, nil)

		standing, err := u.Stat(t.Context(), []string{"x.csv"})
		u.must(err)
		p, e, err := u.write("x.csv", noise(50_000))
		u.must(err)
		_, err = r.memory.Intend(t.Context(), []filesync.Delivery{{
			Source: e, Target: e, Pass: "1", At: time.Now(), PendingID: p.ID(), Replaces: &standing[0].Entry,
		}})
		u.must(err)
		u.must(u.Close())
		u.must(os.Remove(u.at("x.csv")))
		r.src.Delete("x.csv")
		again := uploadTo(t, s.Endpoint, nil)
		r.pass(again, nil)
		r.wantRecords(again, true)
	})
	t.Run("taken by its receiver", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{}, direct)
		r := newUploader(t)
		r.src.Put("x.csv", "the first version", old)
		r.pass(u, nil)
		u.must(os.Remove(u.at("x.csv")))
		r.src.Put("x.csv", string(noise(50_000)), old.Add(time.Hour))
		s.Set(refuse(sftptest.OpWrite))
		r.pass(uploadTo(t, s.Endpoint, direct), nil)
		if names := r.recorded(); len(names) != 1 {
			t.Errorf("recorded: %v", names)
		}
	})
	t.Run("recorded, and taken by its receiver", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{}, nil)
		r := newUploader(t)
		r.src.Put("x.csv", "the first version", old)
		r.pass(u, nil)
		rec, err := r.memory.Find(t.Context(), []string{"x.csv"})
		u.must(err)
		d := rec[0].Delivery
		d.At, d.PendingID, d.Replaces = time.Now(), "gone", &filesync.Entry{Name: "x.csv", Size: 3, ModTime: old}
		_, err = r.memory.Intend(t.Context(), []filesync.Delivery{d})
		u.must(err)
		u.must(os.Remove(u.at("x.csv")))
		if result := r.pass(uploadTo(t, s.Endpoint, nil), func(o *pass.Options) { o.Once = true }); result.Files.Copied > 0 {
			t.Errorf("%s %+v", result.Outcome, result.Files)
		}
		if names := r.recorded(); len(names) != 1 {
			t.Errorf("recorded: %v", names)
		}
	})
}

// wantRecords fails the test unless x.csv is recorded and stands, or neither if it is
// lost, and other.csv does both.
func (r *uploader) wantRecords(u *uploading, lost bool) {
	r.Helper()
	want := []string{"other.csv", "x.csv"}
	if lost {
		want = want[:1]
	}
	if got := r.recorded(); !slices.Equal(got, want) {
		r.Errorf("recorded: %v, want %v", got, want)
	}
	u.wantFiles(want...)
}

// recorded gives the files that the ledger has as delivered.
func (r *uploader) recorded() (names []string) {
	r.Helper()
	err := r.memory.DeliveredFiles(r.Context(), "", time.Time{}, time.Time{}, func(rec filesync.Record) error {
		names = append(names, rec.Delivery.Source.Name)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	slices.Sort(names)
	return names
}
