package connector_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// The main job, whole: a tree arrives, a second pass does nothing, a changed
// file comes again, a removed one stays away until Apply.
func TestTreeArrives(t *testing.T) {
	t.Run("OpenSSH", func(t *testing.T) {
		t.Parallel()
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
		testTree(t, s.Endpoint, sftptest.TreeOptions{BigFile: 300 << 20}, func() int { return strings.Count(s.Operations(), `open "/`) })
	})
	t.Run("ProFTPD", func(t *testing.T) {
		t.Parallel()
		s := sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{})
		testTree(t, s.Endpoint, sftptest.TreeOptions{BigFile: 8 << 20}, nil)
	})
	for name, f := range map[string]sftptest.Faults{
		"plain":          {},
		"short reads":    {MaxRead: 1000},
		"no extensions":  {NoExtensions: true},
		"one channel":    {MaxChannels: 1},
		"one open file":  {MaxOpenFiles: 1},
		"shuffled reads": {ShuffleReads: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sftptest.StartFaulty(t, f)
			o := sftptest.TreeOptions{Files: 500, Dirs: 60, BigFile: 8 << 20}
			testTree(t, s.Endpoint, o, func() int { return s.Counts().Ops[sftptest.OpOpen] })
		})
	}
}

// testTree does it on one server; opened counts the files that were opened
// there, nil on one that does not log them all.
func testTree(t *testing.T, e sftptest.Endpoint, o sftptest.TreeOptions, opened func() int) {
	m := sftptest.Tree(t, e.Root, o)
	r := newRig(t, e)
	if opened == nil {
		opened = func() int { return int(r.fetches.Load()) }
	}
	p := r.apply()
	r.want(p, filesync.Succeeded, sprint("copied", len(m)))
	if p.Result.Files.Bytes != m.Bytes() {
		t.Errorf("%d bytes counted, want %d", p.Result.Files.Bytes, m.Bytes())
	}
	sftptest.CompareTrees(t, e.Root, r.dir)

	before := opened()
	if before < len(m) {
		t.Errorf("the server counts %d opened files after a pass over %d: the count is of no use", before, len(m))
	}
	r.want(r.apply(), filesync.Succeeded, sprint("present", len(m)))
	r.want(r.tick(), filesync.Succeeded, sprint("present", len(m)))
	if n := opened() - before; n != 0 {
		t.Errorf("passes without changes opened %d files", n)
	}

	// One changes, some are taken away, one of them with its directory.
	changed := m[len(m)/2].Name
	put(t, e, changed, []byte("it has changed"), old)
	away := []string{m[0].Name, m[1].Name, m[len(m)-1].Name}
	for _, name := range away {
		if err := os.Remove(filepath.Join(r.dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(r.dir, filepath.FromSlash(path.Dir(away[2])))) // if it is empty now
	r.want(r.tick(), filesync.Succeeded, sprint("copied", 1, "present", len(m)-1))
	r.wantFile(changed, []byte("it has changed"))
	if n := len(r.standing()); n != len(m)-len(away) {
		t.Errorf("%d files stand at the destination after a tick, want %d", n, len(m)-len(away))
	}
	r.want(r.apply(), filesync.Succeeded, sprint("copied", len(away), "present", len(m)-len(away)))
	sftptest.CompareTrees(t, e.Root, r.dir)
}

func TestOriginalsGo(t *testing.T) {
	for name, after := range map[string]func(e sftptest.Endpoint) config.AfterCopy{
		"delete":           func(sftptest.Endpoint) config.AfterCopy { return config.AfterCopy{Action: config.Delete} },
		"move":             func(e sftptest.Endpoint) config.AfterCopy { return moveTo(e.Root + "/archive") },
		"move to relative": func(sftptest.Endpoint) config.AfterCopy { return moveTo("archive") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
			o := sftptest.TreeOptions{Files: 800, Dirs: 40}
			m := sftptest.Tree(t, e.Root, o)
			kept := t.TempDir()
			sftptest.Tree(t, kept, o)
			r := newRig(t, e, func(r *rig) { r.cfg.Files.AfterCopy = after(e) })
			r.want(r.apply(), filesync.Succeeded, sprint("copied", len(m)))
			sftptest.CompareTrees(t, kept, r.dir)
			if r.cfg.Files.AfterCopy.MoveTo != "" {
				sftptest.CompareTrees(t, kept, e.Root+"/archive")
				if err := os.Rename(e.Root+"/archive", t.TempDir()+"/archive"); err != nil {
					t.Fatal(err)
				}
			}
			sftptest.CompareTrees(t, t.TempDir(), e.Root)

			// The same versions coming again are new files.
			put(t, e, m[0].Name, nil, m[0].ModTime)
			os.Truncate(filepath.Join(e.Root, filepath.FromSlash(m[0].Name)), m[0].Size)
			os.Chtimes(filepath.Join(e.Root, filepath.FromSlash(m[0].Name)), m[0].ModTime, m[0].ModTime)
			r.want(r.tick(), filesync.Succeeded, sprint("copied", 1))
		})
	}
}

func moveTo(dir string) config.AfterCopy {
	return config.AfterCopy{Action: config.Move, MoveTo: dir}
}

func TestMovedAsideIsNotCopiedAgain(t *testing.T) {
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	put(t, e, "a.csv", []byte("one"), old)
	r := newRig(t, e, func(r *rig) { r.cfg.Files.AfterCopy = moveTo(e.Root + "/done") })
	r.want(r.apply(), filesync.Succeeded, "copied=1")
	r.want(r.apply(), filesync.Succeeded, "")
	// Another of its name does not overwrite what was moved aside.
	put(t, e, "a.csv", []byte("second"), old.Add(time.Hour))
	r.want(r.tick(), filesync.Succeeded, "copied=1")
	for name, want := range map[string]string{"done/a.csv": "one", "done/a (2).csv": "second"} {
		if got, err := os.ReadFile(filepath.Join(e.Root, name)); string(got) != want {
			t.Errorf("%s: %q, want %q (%v)", name, got, want, err)
		}
	}
}

func TestFlatLayout(t *testing.T) {
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	m := sftptest.Tree(t, e.Root, sftptest.TreeOptions{Files: 500, Dirs: 60})
	r := newRig(t, e, func(r *rig) { r.cfg.Files.Layout = config.Flat })
	r.want(r.apply(), filesync.Succeeded, sprint("copied", len(m)))
	flat := t.TempDir()
	for _, f := range m {
		data, err := os.ReadFile(filepath.Join(e.Root, filepath.FromSlash(f.Name)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(flat, path.Base(f.Name)), data, f.ModTime)
	}
	sftptest.CompareTrees(t, flat, r.dir)

	// A second file of one name is reported, whichever directory it is in.
	base := path.Base(m[3].Name)
	put(t, e, "zz/"+base, []byte("of the same name"), old)
	p := r.apply()
	r.want(p, filesync.Partial, sprint("present", len(m), "failed", 1))
	if len(p.Result.Failures) != 1 || !strings.Contains(p.Result.Failures[0].Error, m[3].Name) {
		t.Errorf("the failure does not name the owner %s: %v", m[3].Name, p.Result.Failures)
	}
	sftptest.CompareTrees(t, flat, r.dir)
}
