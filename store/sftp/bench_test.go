package sftp

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// benchSource is a Source on a real OpenSSH, some time away.
func benchSource(b *testing.B, oneWay time.Duration, fill func(root string)) *Source {
	b.Helper()
	e := sftptest.StartOpenSSH(b, sftptest.OpenSSHOptions{}).Endpoint
	fill(e.Root)
	if oneWay > 0 {
		e = e.Via(b, sftptest.StartRelay(b, e.Addr, oneWay).Addr)
	}
	s, err := Open(b.Context(), byKey(e), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// nowhere takes all bytes.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func BenchmarkList(b *testing.B) {
	const names = 10_000
	for _, oneWay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(oneWay.String(), func(b *testing.B) {
			s := benchSource(b, oneWay, func(root string) {
				for i := range names {
					if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("result-%06d.csv", i)), nil, 0o600); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for _, err := range s.List(b.Context(), "") {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != names {
					b.Fatalf("%d names", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/names, "ns/name")
		})
	}
}

func BenchmarkSmallFiles(b *testing.B) {
	const files = 500
	for _, oneWay := range []time.Duration{0, 10 * time.Millisecond} {
		b.Run(oneWay.String(), func(b *testing.B) {
			s := benchSource(b, oneWay, func(root string) {
				for i := range files {
					if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), make([]byte, 2000), 0o600); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				for worker := range 32 {
					wg.Go(func() {
						for i := worker; i < files; i += 32 {
							if _, err := s.Fetch(b.Context(), filesync.Entry{Name: fmt.Sprint(i), Size: 2000}, 0, nowhere{}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
		})
	}
}

func BenchmarkLargeFile(b *testing.B) {
	const size = 256 << 20
	for _, oneWay := range []time.Duration{0, 10 * time.Millisecond, 40 * time.Millisecond} {
		b.Run(oneWay.String(), func(b *testing.B) {
			var e filesync.Entry
			s := benchSource(b, oneWay, func(root string) {
				if err := os.WriteFile(filepath.Join(root, "large"), make([]byte, size), 0o600); err != nil {
					b.Fatal(err)
				}
				fi, err := os.Stat(filepath.Join(root, "large"))
				if err != nil {
					b.Fatal(err)
				}
				e = filesync.Entry{Name: "large", Size: size, ModTime: fi.ModTime()}
			})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Fetch(b.Context(), e, 0, nowhere{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(s.pool.all())), "channels")
		})
	}
}
