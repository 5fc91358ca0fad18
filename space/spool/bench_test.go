package spool_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
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
