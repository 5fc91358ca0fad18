package ledger_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/sync/ledger"
)

// A file that is no ledger any more is never taken for a new one, and stays as it is.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{
		"empty":          nil,
		"not a database": bytes.Repeat([]byte("text\n"), 1000),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ledger.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ledger.Open(t.Context(), dir)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "the file is damaged") || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: it was changed: %v", name, err)
		}
	}
}

// A ledger that is gone without its write-ahead log is not begun anew beside that.
func TestGoneBesideItsLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ledger.db-wal"), []byte("frames"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), dir)
	if err == nil {
		l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "it is gone, and its -wal is there") {
		t.Error(err)
	}
}

// A new ledger leaves nothing else behind, and can be read by its owner alone.
func TestNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "ledger.db" {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
