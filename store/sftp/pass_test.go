package sftp

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// downloader runs passes from a server to a directory.
type downloader struct {
	*testing.T
	cfg    Config
	dir    string
	memory *ledger.Connector
	passes int
}

func newDownloader(t *testing.T, cfg Config) *downloader {
	t.Helper()
	cfg.Limits = new(Limits)
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return &downloader{T: t, cfg: cfg, dir: t.TempDir(), memory: m}
}

// pass runs a pass that is to deliver everything.
func (d *downloader) pass(change func(o *pass.Options)) filesync.Result {
	d.Helper()
	dst, err := local.Open(d.dir, pending.NewOwner("test", "c", 0))
	if err != nil {
		d.Fatal(err)
	}
	defer dst.Close()
	open := func(ctx context.Context) (filesync.Source, error) { return Open(ctx, d.cfg, nil) }
	src, err := open(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		d.Fatal(err)
	}
	d.passes++
	o := pass.Options{ID: fmt.Sprint(d.passes), Mode: filesync.Apply, Filter: filter}
	if change != nil {
		change(&o)
	}
	r := pass.New(src, open, dst, d.memory, pass.NewShared(0), o).Run(d.Context())
	if r.Outcome != filesync.Succeeded {
		d.Errorf("%s, %v: %+v; %v", r.Outcome, r.Err, r.Files, r.Failures)
	}
	return r
}

// wantFiles compares a directory with what is to be in it.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if maps.Equal(found, want) {
		return
	}
	wrong := 0
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, there := found[name]; !there || got != want[name] {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: there %v, with %.40q", name, there, got)
			}
		}
	}
	t.Errorf("%d files of %d, and %d of them are missing or wrong", len(found), len(want), wrong)
}
