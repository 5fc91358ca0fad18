package ledger_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// FuzzGarbage: a file that is no ledger is told of by its name, left as it is, and never
// taken for an empty one: what was delivered would come again. Of a ledger that was damaged
// nothing is invented: what it tells of a delivery is what was written, or an error.
func FuzzGarbage(f *testing.F) {
	real := realLedger(f)
	f.Add([]byte("x"), false, uint32(0))
	f.Add([]byte("SQLite format 3\x00"), false, uint32(0))
	f.Add(bytes.Repeat([]byte{0}, 4096), false, uint32(0))
	f.Add([]byte("\x7fELF and more"), false, uint32(0))
	f.Add([]byte{0}, true, uint32(60))          // the version of the schema
	f.Add([]byte{0xff, 0xff}, true, uint32(16)) // the size of a page
	f.Add([]byte("garbage"), true, uint32(100))
	f.Add([]byte("garbage"), true, uint32(4096))
	f.Add([]byte{}, true, uint32(5000)) // cut off
	f.Add([]byte{}, true, uint32(1))
	top := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, within bool, at uint32) {
		if within { // a ledger that was damaged: overwritten, or, with nothing, cut off
			changed := bytes.Clone(real)
			if from := int(at) % len(changed); len(data) == 0 {
				changed = changed[:from]
			} else {
				copy(changed[from:], data)
			}
			data = changed
		}
		dir, err := os.MkdirTemp(top, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "ledger.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		l, err := ledger.Open(t.Context(), dir)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%d bytes take %v to open", len(data), took)
		}
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			if left, rerr := os.ReadFile(path); rerr != nil || !within && !bytes.Equal(left, data) {
				t.Errorf("the file that is no ledger was changed, or %v", rerr)
			}
			return
		}
		defer l.Close()
		if !within && !bytes.HasPrefix(data, []byte("SQLite format 3\x00")) {
			t.Fatalf("%.100q is taken for a ledger", data)
		}
		c, err := l.Connector(t.Context(), "results")
		if err != nil {
			return
		}
		found, err := c.Find(t.Context(), []string{"a.csv", "b.csv"})
		if err == nil && len(data) != len(real) && within && found[0].ID == 0 {
			t.Errorf("%d of %d bytes of a ledger have nothing of what was delivered", len(data), len(real))
		}
		_, _ = c.Intents(t.Context())
		_, _ = c.Passes(t.Context(), 10)
	})
}

// Programs that start at the same time on a new directory all find a ledger.
func TestManyBeginALedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			l, err := ledger.Open(t.Context(), dir)
			if err != nil {
				return err
			}
			return l.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// realLedger is the file of a ledger in which something was delivered.
func realLedger(f *testing.F) []byte {
	dir := f.TempDir()
	l, err := ledger.Open(f.Context(), dir)
	if err != nil {
		f.Fatal(err)
	}
	c, err := l.Connector(f.Context(), "results")
	if err == nil {
		_, err = c.Commit(f.Context(), nil, []filesync.Delivery{delivery("a.csv", 1), delivery("b.csv", 2)})
	}
	if err = errors.Join(err, l.Close()); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "ledger.db"))
	if err != nil || len(data) < 8192 {
		f.Fatalf("%d bytes, %v", len(data), err)
	}
	return data
}
