package smb_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	filesync "sftpconnector/sync"
)

var then = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

// text gives n bytes of which no two stretches are alike.
func text(n int) []byte {
	var b bytes.Buffer
	b.Grow(n + 64)
	for i := 0; b.Len() < n; i++ {
		b.WriteString(time.Unix(int64(i), 0).UTC().Format("Jan _2 15:04:05 2006\n"))
	}
	return b.Bytes()[:n]
}

func file(name string, data []byte) filesync.Entry {
	return filesync.Entry{Name: name, Size: int64(len(data)), ModTime: then, Mode: 0o644}
}

// write writes a whole pending file.
func write(ctx context.Context, d *smb.Destination, name string, data []byte) (filesync.Pending, error) {
	p, err := d.Begin(ctx, file(name, data), nil)
	if err != nil {
		return nil, err
	}
	if _, err = p.WriteAt(data, 0); err == nil {
		_, err = p.Finish(ctx)
	}
	return p, err
}

func publish(ctx context.Context, d *smb.Destination, p filesync.Pending, replaces *filesync.Entry) error {
	if err := d.Sync(ctx, []filesync.Pending{p})[0]; err != nil {
		return err
	}
	return d.Publish(ctx, []filesync.Publication{{Pending: p, Replaces: replaces}})[0]
}

func deliver(t *testing.T, d *smb.Destination, name string, data []byte) {
	t.Helper()
	p, err := write(t.Context(), d, name, data)
	if err == nil {
		err = publish(t.Context(), d, p, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantThere looks at a file as another client of the server sees it.
func wantThere(t *testing.T, s *smbtest.Server, name string, data []byte) {
	t.Helper()
	name = strings.ReplaceAll(name, "/", `\`)
	got := filepath.Join(t.TempDir(), "got")
	out := s.Client(`get "` + name + `" "` + got + `"; allinfo "` + name + `"`)
	if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%s: smbclient gets %d bytes, want %d (%v)", name, len(b), len(data), err)
	}
	if want := "write_time:     " + then.Format("Mon Jan _2 15:04:05 2006"); !strings.Contains(out, want) {
		t.Errorf("%s: smbclient says %s\nwant %s", name, out, want)
	}
}

// wantFiles wants these files to be all that there are below the share, hidden
// ones included.
func wantFiles(t *testing.T, s *smbtest.Server, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(s.Dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(s.Dir, p)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("files %q, want %q (%v)", got, want, err)
	}
}
