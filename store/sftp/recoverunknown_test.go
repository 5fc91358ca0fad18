package sftp

import (
	"os"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// tellsNothing leaves the size and the time of files out of every answer.
func tellsNothing() sftptest.Faults {
	return sftptest.Faults{Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoSize, a.NoTime = true, true })}
}

// If a server tells no size and no time, a file under the name of an interrupted upload
// counts as ours only if our contents are in it.
func TestRecoverWhereNothingIsTold(t *testing.T) {
	const before, contents = "old", "new contents"
	for name, test := range map[string]struct {
		direct, overwrite bool
		stands            string                       // under the name, at first
		killed            func(from, to string) error  // what was done of the RENAME
		want              string                       // under the name, in the end
		result            func(f filesync.Counts) bool // of the pass
		left              bool                         // the original
	}{
		"killed before RENAME, another stands": {stands: before, want: before, left: true,
			result: func(f filesync.Counts) bool { return f.Copied == 0 && f.Conflict == 1 }},
		"killed before RENAME, overwrite": {overwrite: true, stands: before, want: contents,
			result: func(f filesync.Counts) bool { return f.Copied == 1 }},
		"killed before RENAME, nothing stands": {want: contents,
			result: func(f filesync.Counts) bool { return f.Copied == 1 }},
		"killed after RENAME": {killed: os.Rename, want: contents, left: true,
			result: func(f filesync.Counts) bool { return f.Failed+f.Conflict == 0 }},
		"killed after RENAME, overwrite": {overwrite: true, killed: os.Rename, want: contents,
			result: func(f filesync.Counts) bool { return f.Copied == 1 }},
		"half of it, direct": {direct: true, stands: "new", want: "new", left: true,
			result: func(f filesync.Counts) bool { return f.Copied == 0 && f.Conflict == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(c *Config) { c.Direct, c.Overwrite = test.direct, test.overwrite }
			u, s := uploadFaulty(t, tellsNothing(), change)
			r := newUploader(t)
			r.src.Put("x.csv", contents, old)
			e := uploadEntry("x.csv", []byte(contents))
			if test.stands != "" {
				put(t, s.Endpoint, "x.csv", []byte(test.stands))
			}
			if test.direct {
				ids, err := r.memory.IntendInPlace(t.Context(), []filesync.Delivery{{Source: e, Target: e, Pass: "1", At: old, PendingID: filesync.InPlaceID}})
				u.must(err)
				u.must(r.memory.MarkOpened(t.Context(), ids))
			} else {
				p, _, err := u.write("x.csv", []byte(contents))
				u.must(err)
				r.intend(e, p.ID())
				u.must(p.Keep())
				if test.killed != nil {
					u.must(test.killed(p.(*pendingFile).path, u.at("x.csv")))
				}
			}
			u.must(u.Close())
			again := uploadTo(t, s.Endpoint, change)
			result := r.pass(again, func(o *pass.Options) { o.AfterCopy.Remove, o.Overwrite = true, test.overwrite })
			if !test.result(result.Files) {
				t.Errorf("%s %+v %v %v", result.Outcome, result.Files, result.Err, result.Failures)
			}
			again.want("x.csv", []byte(test.want))
			again.wantFiles("x.csv")
			if has := r.src.Has("x.csv"); has != test.left {
				t.Errorf("the original is there: %v, want %v; %+v", has, test.left, result.Files)
			}
		})
	}
}
