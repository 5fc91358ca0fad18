package smb_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	filesync "sftpconnector/sync"
)

const (
	copiers   = 32 // as many as a pass has
	batchSize = 512
)

// BenchmarkSmallFiles delivers 2,000 files of 4 KiB as a pass does, in batches,
// and has smbclient put the same files.
func BenchmarkSmallFiles(b *testing.B) {
	const files, size = 2000, 4 << 10
	s := smbtest.Start(b, smbtest.Options{})
	b.Run("connector", func(b *testing.B) {
		for i := range b.N {
			d, err := smb.Open(b.Context(), config(s, fmt.Sprintf("ours%d", i)))
			if err != nil {
				b.Fatal(err)
			}
			for from := 0; from < files; from += batchSize {
				deliverAll(b, d, from, min(files, from+batchSize), bytes.Repeat([]byte("x"), size))
			}
			d.Close()
		}
	})
	b.Run("smbclient", func(b *testing.B) {
		from := b.TempDir()
		for i := range files {
			if err := os.WriteFile(filepath.Join(from, fmt.Sprintf("f%04d", i)), bytes.Repeat([]byte("x"), size), 0o666); err != nil {
				b.Fatal(err)
			}
		}
		for i := range b.N {
			s.Client(fmt.Sprintf("mkdir theirs%d; cd theirs%d; lcd %s; prompt off; mput *", i, i, from))
		}
	})
}

func deliverAll(b *testing.B, d *smb.Destination, from, to int, data []byte) {
	b.Helper()
	pendings := make([]filesync.Pending, to-from)
	batch := make([]filesync.Publication, to-from)
	var g errgroup.Group
	g.SetLimit(copiers)
	for i := range pendings {
		g.Go(func() error {
			e := filesync.Entry{Name: fmt.Sprintf("sub/f%04d", from+i), Size: int64(len(data)), ModTime: time.Unix(1e9, 0)}
			p, err := d.Begin(b.Context(), e, nil)
			if err != nil {
				return err
			}
			pendings[i], batch[i].Pending = p, p
			if _, err = p.WriteAt(data, 0); err == nil {
				_, err = p.Finish(b.Context())
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	for _, err := range append(d.Sync(b.Context(), pendings), d.Publish(b.Context(), batch)...) {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLargeFile delivers a file of 500 MB, written in the pieces that
// SFTP brings, and has smbclient put one of that size.
func BenchmarkLargeFile(b *testing.B) {
	const size, piece = 500_000_000, 256 << 10
	for _, o := range []smbtest.Options{{}, {Signing: "mandatory"}, {Encryption: "required"}} {
		s := smbtest.Start(b, o)
		name := "signing " + o.Signing + " encryption " + o.Encryption
		b.Run("connector "+name, func(b *testing.B) {
			data := make([]byte, piece)
			for i := range b.N {
				d, err := smb.Open(b.Context(), config(s, ""))
				if err != nil {
					b.Fatal(err)
				}
				p, err := d.Begin(b.Context(), filesync.Entry{Name: fmt.Sprintf("ours%d", i), Size: size, ModTime: time.Unix(1e9, 0)}, nil)
				for off := int64(0); err == nil && off < size; off += piece {
					_, err = p.WriteAt(data[:min(piece, size-off)], off)
				}
				if err == nil {
					_, err = p.Finish(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
				d.Sync(b.Context(), []filesync.Pending{p})
				if err := d.Publish(b.Context(), []filesync.Publication{{Pending: p}})[0]; err != nil {
					b.Fatal(err)
				}
				d.Close()
			}
			b.SetBytes(size)
		})
		b.Run("smbclient "+name, func(b *testing.B) {
			from := filepath.Join(b.TempDir(), "large")
			if err := os.WriteFile(from, make([]byte, size), 0o666); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				s.Client(fmt.Sprintf("put %s theirs%d", from, i))
			}
			b.SetBytes(size)
		})
		s.Stop()
		os.RemoveAll(s.Dir)
	}
}
