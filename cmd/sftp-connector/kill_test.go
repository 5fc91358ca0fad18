package main

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// The program is killed at random moments of passes, and started again each
// time until it gets through. When all is delivered, there is more to copy, until
// it was killed often enough.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		afterCopy   string
		kills, soak int
	}{
		{"delete", 50, 300},
		{"leave", 15, 60},
		{"move:done", 15, 60},
	} {
		t.Run(c.afterCopy, func(t *testing.T) {
			t.Parallel()
			kills := c.kills
			if os.Getenv("SOAK") != "" {
				kills = c.soak
			}
			newVictim(t, c.afterCopy).kill(kills)
		})
	}
}

// victim is a connector whose passes are killed.
type victim struct {
	*site
	afterCopy string
	source    string
	dest      string
	originals string            // the tree of each round
	tree      sftptest.Manifest // what is in it
	digests   map[string]string
	rounds    int
	random    *rand.Rand
}

func newVictim(t *testing.T, afterCopy string) *victim {
	t.Helper()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	s := newSite(t, `connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./results, after_copy: %q}
`, login(server.Endpoint), server.Root, afterCopy)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	v := &victim{site: s, afterCopy: afterCopy, source: server.Root, dest: s.path("results"), originals: s.path("originals"),
		digests: map[string]string{}, random: rand.New(rand.NewPCG(seed, 0))}
	if err := os.Mkdir(v.originals, 0o755); err != nil {
		t.Fatal(err)
	}
	v.tree = sftptest.Tree(t, v.originals, sftptest.TreeOptions{Files: 301, Dirs: 20, Depth: 4, BigFile: 40 << 20})
	for _, f := range v.tree {
		v.digests[f.Name] = digest(filepath.Join(v.originals, filepath.FromSlash(f.Name)))
	}
	return v
}

// kill lets n kills hit passes under way.
func (v *victim) kill(n int) {
	v.t.Helper()
	v.fill()
	started := time.Now()
	v.spawn("apply").wait(time.Minute).gives(0)
	whole := time.Since(started)
	v.settled()

	hit, starts, span := 0, 0, whole
	for hit < n {
		v.fill()
		stop := v.watch()
		for {
			starts++
			if !v.killOne(span, hit < n) {
				span = span * 9 / 10 // the machine is quicker by now
				break
			}
			hit++
			span = min(span*51/50, whole)
			v.nothingIsLost()
		}
		stop()
		v.settled()
	}
	v.t.Logf("%d kills hit passes that take %s, over %d starts and %d trees of %d files", hit, whole.Round(time.Millisecond), starts, v.rounds-1, len(v.tree))
}

// killOne starts a pass, kills it some time in the span, and reports whether
// that came before its end.
func (v *victim) killOne(span time.Duration, kill bool) bool {
	v.t.Helper()
	r := v.spawn("apply")
	if kill {
		select {
		case <-time.After(time.Duration(v.random.Int64N(int64(span)))):
			r.signal(os.Kill)
		case <-r.done:
		}
	}
	o := r.wait(time.Minute)
	if o.code == -1 {
		return true
	}
	o.gives(0)
	return false
}

// fill begins a round: the tree is at the source, in a directory of its own.
func (v *victim) fill() {
	v.t.Helper()
	v.rounds++
	dir := filepath.Join(v.source, v.round())
	if err := os.CopyFS(dir, os.DirFS(v.originals)); err != nil {
		v.t.Fatal(err)
	}
	for _, f := range v.tree {
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(f.Name)), f.ModTime, f.ModTime); err != nil {
			v.t.Fatal(err)
		}
	}
}

// round is the directory of this round, at both ends.
func (v *victim) round() string { return fmt.Sprintf("round-%d", v.rounds) }

// settled checks what must hold when a pass got through: all is there once,
// and nothing else.
func (v *victim) settled() {
	v.t.Helper()
	sftptest.CompareTrees(v.t, v.originals, filepath.Join(v.dest, v.round()))
	if left := v.parts("results"); len(left) > 0 {
		v.t.Errorf("pending files are left: %v", left)
	}
	at := filepath.Join(v.source, v.round())
	switch v.afterCopy {
	case "delete":
		if left := files(v.t, at); len(left) > 0 {
			v.t.Errorf("%d originals are left, such as %s", len(left), left[0])
		}
	case "leave":
		sftptest.CompareTrees(v.t, v.originals, at)
	case "move:done":
		if left := files(v.t, at); len(left) > 0 {
			v.t.Errorf("%d originals are left, such as %s", len(left), left[0])
		}
		sftptest.CompareTrees(v.t, v.originals, filepath.Join(v.source, "done", v.round()))
	}
	rows := map[string]int{}
	query(v.t, v.site, "SELECT path FROM files", func(r *sql.Rows) error {
		var path string
		err := r.Scan(&path)
		rows[path]++
		return err
	})
	if want := v.rounds * len(v.tree); len(rows) != want {
		v.t.Errorf("the ledger has %d paths, want %d", len(rows), want)
	}
	for path, n := range rows {
		if n != 1 {
			v.t.Errorf("the ledger has %d rows of %s", n, path)
		}
	}
	for _, table := range []string{"failures", "intents", "checkpoints"} {
		query(v.t, v.site, "SELECT count(*) FROM "+table, func(r *sql.Rows) error {
			var n int
			err := r.Scan(&n)
			if n != 0 {
				v.t.Errorf("%d %s are left in the ledger", n, table)
			}
			return err
		})
	}
}

// nothingIsLost: what is not at the destination is still at the source. What
// stands at either place whole, the watcher and settled check.
func (v *victim) nothingIsLost() {
	v.t.Helper()
	for _, f := range v.tree {
		found := false
		for _, dir := range []string{v.dest, v.source, filepath.Join(v.source, "done")} {
			info, err := os.Stat(filepath.Join(dir, v.round(), filepath.FromSlash(f.Name)))
			found = found || err == nil && info.Size() == f.Size
		}
		if !found {
			v.t.Fatalf("%s is lost", f.Name)
		}
	}
}

// files gives the files below a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// watch compares whatever stands at the destination under a final name with
// its original, again and again until stop.
func (v *victim) watch() (stop func()) {
	v.t.Helper()
	at := filepath.Join(v.dest, v.round())
	end := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		again := time.NewTicker(25 * time.Millisecond)
		defer again.Stop()
		known := map[string]fs.FileInfo{} // what was compared
		for {
			v.look(at, known)
			select {
			case <-end:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(end)
		watching.Wait()
	}
}

// look goes over the destination once.
func (v *victim) look(at string, known map[string]fs.FileInfo) {
	_ = filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".part") {
			return nil // pending files come and go
		}
		info, err := d.Info()
		if err != nil {
			v.t.Errorf("what has its name went away: %v", err)
			return nil
		}
		last := known[path]
		if last != nil && os.SameFile(last, info) && last.Size() == info.Size() && last.ModTime().Equal(info.ModTime()) {
			return nil
		}
		name, _ := filepath.Rel(at, path)
		if digest(path) != v.digests[filepath.ToSlash(name)] {
			v.t.Errorf("%s stands under its name with other contents than the original", name)
		}
		known[path] = info
		return nil
	})
}

// digest is the SHA-256 of a file, or why there is none.
func digest(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
