package sftp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// Uploads to a real OpenSSH, some time away, beside what its own client takes
// for the same. They are for -benchtime 1x.

// benchUpload gives a Destination and the endpoint as clients see it.
func benchUpload(b *testing.B, oneWay time.Duration) (*Destination, sftptest.Endpoint) {
	b.Helper()
	e := sftptest.StartOpenSSH(b, sftptest.OpenSSHOptions{}).Endpoint
	if oneWay > 0 {
		e = e.Via(b, sftptest.StartRelay(b, e.Addr, oneWay).Addr)
	}
	return openDestination(b, byKey(e)), e
}

// sftpPut has OpenSSH's client do a batch of commands.
func sftpPut(b *testing.B, e sftptest.Endpoint, batch string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(batch), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "sftp", "-q", "-b", file, "-P", strconv.Itoa(e.Port), "-i", e.PrivateKeyPath,
		"-o", "UserKnownHostsFile="+e.KnownHosts, "-o", "BatchMode=yes", e.User+"@"+e.Host)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
}

// uploadAll uploads files as a pass does: many copiers, and batches that are published.
func uploadAll(ctx context.Context, d *Destination, entries []filesync.Entry, data []byte) error {
	work := make(chan filesync.Entry, len(entries))
	for _, e := range entries {
		work <- e
	}
	close(work)
	done := make(chan filesync.Pending, len(entries))
	var failed error
	var mu sync.Mutex
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
	}
	var copiers sync.WaitGroup
	for range min(256, len(entries)) {
		copiers.Go(func() {
			for e := range work {
				p, err := upload(ctx, d, e, data)
				if err != nil {
					fail(err)
					continue
				}
				done <- p
			}
		})
	}
	go func() { copiers.Wait(); close(done) }()
	for p := range done {
		batch := []filesync.Publication{{Pending: p}}
		for more := time.After(20 * time.Millisecond); len(batch) < len(entries); {
			select {
			case p, ok := <-done:
				if ok {
					batch = append(batch, filesync.Publication{Pending: p})
					continue
				}
			case <-more:
			}
			break
		}
		fail(errors.Join(d.Publish(ctx, batch)...))
	}
	return failed
}

// upload writes a file and finishes it. data is written over and over.
func upload(ctx context.Context, d *Destination, e filesync.Entry, data []byte) (filesync.Pending, error) {
	p, err := d.Begin(ctx, e, nil)
	if err != nil {
		return nil, err
	}
	for off := int64(0); off < e.Size; off += int64(len(data)) {
		if _, err := p.WriteAt(data[:min(int64(len(data)), e.Size-off)], off); err != nil {
			return nil, err
		}
	}
	_, err = p.Finish(ctx)
	return p, err
}

func BenchmarkUploadSmallFiles(b *testing.B) {
	const files, size = 500, 4 << 10
	for _, oneWay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(oneWay.String(), func(b *testing.B) {
			d, _ := benchUpload(b, oneWay)
			for n := 0; b.Loop(); n++ {
				var entries []filesync.Entry
				for i := range files {
					entries = append(entries, filesync.Entry{Name: fmt.Sprintf("%d/%d", n, i), Size: size, ModTime: old})
				}
				if err := uploadAll(b.Context(), d, entries, make([]byte, size)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
		})
		b.Run(oneWay.String()+" sftp put", func(b *testing.B) {
			_, e := benchUpload(b, oneWay)
			local := b.TempDir()
			const fewer = files / 10
			for i := range fewer {
				if err := os.WriteFile(filepath.Join(local, fmt.Sprint(i)), make([]byte, size), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				sftpPut(b, e, fmt.Sprintf("put -p %s/* %s/\n", local, e.Root))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/fewer, "ns/file")
		})
	}
}

func BenchmarkUploadLargeFile(b *testing.B) {
	const size = 256 << 20
	for _, oneWay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(oneWay.String(), func(b *testing.B) {
			d, _ := benchUpload(b, oneWay)
			b.SetBytes(size)
			for n := 0; b.Loop(); n++ {
				e := filesync.Entry{Name: fmt.Sprintf("large %d", n), Size: size, ModTime: old}
				if err := uploadAll(b.Context(), d, []filesync.Entry{e}, make([]byte, 256<<10)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(d.pool.all())), "channels")
		})
		b.Run(oneWay.String()+" sftp put", func(b *testing.B) {
			_, e := benchUpload(b, oneWay)
			local := filepath.Join(b.TempDir(), "large")
			if err := os.WriteFile(local, make([]byte, size), 0o600); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			for b.Loop() {
				sftpPut(b, e, fmt.Sprintf("put -p %s %s/large\n", local, e.Root))
			}
		})
	}
}
