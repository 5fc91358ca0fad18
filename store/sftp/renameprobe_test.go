package sftp

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
)

// wantAdvice checks that an error comes with a hint.
func wantAdvice(t *testing.T, err error, hint string) {
	t.Helper()
	own, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok || !strings.Contains(own.Hint(), hint) {
		t.Errorf("got %v, want a hint with %q", err, hint)
	}
}

// A drop box may let RENAME overwrite what it hides. No file gets a name there that may
// be another's, unless the user allows it.
func TestDropBoxThatOverwrites(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{Fail: dropBox(), RenameReplaces: true, Without: []string{wire.PosixRenameExtension}}, nil)
	put(t, s.Endpoint, "theirs", []byte("theirs"))
	for _, name := range []string{"theirs", "free"} { // which looks the same
		p, _, err := u.write(name, []byte("ours"))
		u.must(err)
		wantAdvice(t, u.publish(p, nil), "files.on_conflict: overwrite")
	}
	u.want("theirs", []byte("theirs"))
	may := uploadTo(t, s.Endpoint, func(c *Config) { c.Overwrite = true })
	_, err := may.deliver("theirs", []byte("ours"))
	u.must(err)
	u.want("theirs", []byte("ours"))
}

// A RENAME that is refused for another reason shows nothing about overwriting, and is
// tried again with the next file.
func TestRenameProbeThatIsRefused(t *testing.T) {
	unseen := sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpStat, sftptest.OpLstat, sftptest.OpReadlink)
	for name, test := range map[string]struct {
		replaces bool
		refused  int32 // RENAMEs, the first of a trial or both
	}{
		"overwrites, once":  {true, 1},
		"overwrites, twice": {true, 2},
		"keeps, twice":      {false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var renames atomic.Int32
			u, s := uploadFaulty(t, sftptest.Faults{RenameReplaces: test.replaces, Without: []string{wire.PosixRenameExtension},
				Fail: func(op sftptest.Op, path string) sftptest.Status {
					if op == sftptest.OpRename && renames.Add(1) <= test.refused {
						return sftptest.StatusFailure
					}
					return unseen(op, path)
				}}, nil)
			put(t, s.Endpoint, "theirs", []byte("theirs"))
			for range 2 {
				p, _, err := u.write("theirs", []byte("ours"))
				u.must(err)
				if u.publish(p, nil) == nil {
					t.Error("written over another's file")
				}
				u.must(p.Abort(t.Context()))
				u.want("theirs", []byte("theirs"))
			}
			p, _, err := u.write("free", []byte("ours"))
			u.must(err)
			err = u.publish(p, nil)
			if test.replaces {
				wantAdvice(t, err, "files.on_conflict: overwrite")
				u.must(p.Abort(t.Context()))
				u.wantFiles("theirs")
			} else {
				u.must(err)
				u.wantFiles("free", "theirs")
			}
		})
	}
}

// A refused RENAME is repeated once a connection, and not at all where the server
// denies it, as other files wait behind it.
func TestRefusedRenameIsWaitedForOnce(t *testing.T) {
	for refusal, want := range map[sftptest.Status]int{
		sftptest.StatusFailure:          1 + len(renameDelays) + 1,
		sftptest.StatusPermissionDenied: 2,
		sftptest.StatusOpUnsupported:    2,
	} {
		t.Run(refusal.String(), func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Without: []string{wire.PosixRenameExtension}, Fail: func(op sftptest.Op, path string) sftptest.Status {
				if op == sftptest.OpRename && strings.Contains(path, "refused") {
					return refusal
				}
				return sftptest.StatusOK
			}}, nil)
			_, err := u.deliver("good", []byte("data"))
			u.must(err)
			s.ResetCounts()
			for _, name := range []string{"refused1", "refused2"} {
				p, _, err := u.write(name, []byte("data"))
				u.must(err)
				if err := u.publish(p, nil); err == nil || !strings.Contains(err.Error(), strings.ToLower(refusal.String())) {
					t.Errorf("got %v", err)
				}
				u.must(p.Abort(t.Context()))
			}
			if got := s.Counts().Ops[sftptest.OpRename]; got != want {
				t.Errorf("%d RENAMEs for two files, want %d", got, want)
			}
			u.wantFiles("good")
		})
	}
}
