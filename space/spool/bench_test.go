package spool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// What a small upload costs, for one client and for many at a time, with a ledger on
// the disk.
func BenchmarkUploadSmallFiles(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			dir := b.TempDir()
			l, index, err := openIndex(b.Context(), dir)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			o := spool.Options{Directory: filepath.Join(dir, "spool"), Index: index, Quiet: time.Hour, MaximumEntries: 1 << 30}
			s, err := spool.Open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			uploadSmall(b, s, clients)
		})
	}
}

func uploadSmall(b *testing.B, s *spool.Spool, clients int) {
	var sessions []*sftp.Client
	for range clients {
		sessions = append(sessions, connectTo(b, s))
	}
	var next atomic.Int64
	data := make([]byte, 4<<10)
	done := make(chan error, clients)
	b.ResetTimer()
	for _, c := range sessions {
		go func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					done <- nil
					return
				}
				f, err := c.OpenFile(fmt.Sprintf("f%d", n), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
				if err == nil {
					_, err = f.Write(data)
				}
				if err == nil {
					err = f.Close()
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range sessions {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
}

func connectTo(b *testing.B, s *spool.Spool) *sftp.Client {
	near, far := net.Pipe()
	server := sftp.NewRequestServer(far, s.Handlers(), sftp.WithStartDirectory("/"))
	go func() {
		server.Serve()
		far.Close()
	}()
	c, err := sftp.NewClientPipe(near, near)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); near.Close() })
	return c
}

// What the import of an upload of 1 GiB costs, and of 1,000 of 4 KiB, where the spool and
// the destination share a file system, and where they do not.
func BenchmarkImport(b *testing.B) {
	for _, c := range []struct {
		files int
		size  int64
	}{{1, 1 << 30}, {1000, 4 << 10}} {
		for _, linked := range []bool{true, false} {
			b.Run(fmt.Sprintf("files=%d,linked=%v", c.files, linked), func(b *testing.B) { importFiles(b, c.files, c.size, linked) })
		}
	}
}

func importFiles(b *testing.B, files int, size int64, linked bool) {
	dir := b.TempDir()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	l, index, err := openIndex(b.Context(), dir)
	must(err)
	defer l.Close()
	records, err := l.Connector(b.Context(), "space")
	must(err)
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	must(err)
	inbox := filepath.Join(dir, "inbox")
	must(os.Mkdir(inbox, 0o700))
	b.SetBytes(size * int64(files))
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		for i := range files {
			name := filepath.Join(inbox, fmt.Sprint(n, "-", i))
			must(os.WriteFile(name, nil, 0o600))
			must(os.Truncate(name, size)) // its holes read as zeros, so that the disk is only written to
		}
		s, err := spool.Open(b.Context(), spool.Options{Directory: filepath.Join(dir, "spool"), Inbox: inbox, Index: index, Quiet: time.Nanosecond})
		must(err)
		to, err := local.Open(filepath.Join(dir, "to"), pending.NewOwner(l.Owner(), "c", 0))
		must(err)
		var src filesync.Source = s.Source()
		if !linked {
			src = copied{s.Source()}
		}
		open := func(context.Context) (filesync.Source, error) { return src, nil }
		b.StartTimer()
		r := pass.New(src, open, to, records, pass.NewShared(0), pass.Options{
			ID: fmt.Sprint(n), Mode: filesync.Automatic, Filter: filter, Overwrite: true, AfterCopy: filesync.AfterCopy{Remove: true}, Once: true,
		}).Run(b.Context())
		b.StopTimer()
		if r.Files.Copied != int64(files) {
			b.Fatalf("%s: %+v %v", r.Outcome, r.Files, r.Err)
		}
		must(errors.Join(s.Close(), to.Close(), os.RemoveAll(filepath.Join(dir, "to"))))
		b.StartTimer()
	}
}

// copied is a source of which nothing is linked.
type copied struct{ *spool.Source }

func (copied) Link(context.Context, filesync.Entry, func(string) error) (filesync.Entry, error) {
	return filesync.Entry{}, errors.ErrUnsupported
}
