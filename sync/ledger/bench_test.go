package ledger_test

import (
	"fmt"
	"testing"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// benchmarked gives a connector's part of a new ledger.
func benchmarked(b *testing.B) *ledger.Connector {
	b.Helper()
	l, err := ledger.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	c, err := l.Connector(b.Context(), "c")
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkBatch is what a batch of 512 files costs: its intent, its rows, and with
// after_copy what becomes of the originals.
func BenchmarkBatch(b *testing.B) {
	for _, after := range []filesync.After{filesync.AfterNone, filesync.AfterOwed} {
		b.Run(fmt.Sprintf("after=%d", after), func(b *testing.B) {
			c := benchmarked(b)
			for i := 0; b.Loop(); i++ {
				if err := batch(b, c, i, after); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// batch delivers 512 files.
func batch(b *testing.B, c *ledger.Connector, n int, after filesync.After) error {
	files := deliveries(fmt.Sprintf("%d/", n), 512)
	for i := range files {
		files[i].After = after
	}
	intent, err := c.Intend(b.Context(), files)
	if err != nil {
		return err
	}
	rows, err := c.Commit(b.Context(), []int64{intent}, files)
	if err != nil || after == filesync.AfterNone {
		return err
	}
	read := map[int64]filesync.After{}
	for _, row := range rows {
		read[row] = after
	}
	if _, err = c.SetAfterIf(b.Context(), read, filesync.AfterTrying); err != nil {
		return err
	}
	return c.SetAfter(b.Context(), rows, filesync.AfterDone)
}

// BenchmarkFind is what it costs to look up 512 files of 50,000.
func BenchmarkFind(b *testing.B) {
	c := benchmarked(b)
	var paths []string
	for i := range 100 {
		files := deliveries(fmt.Sprintf("%d/", i), 512)
		if _, err := c.Commit(b.Context(), nil, files); err != nil {
			b.Fatal(err)
		}
		paths = append(paths, files[i].Source.Name)
		for _, f := range files[:4] {
			paths = append(paths, f.Source.Name)
		}
	}
	for b.Loop() {
		if _, err := c.Find(b.Context(), paths); err != nil {
			b.Fatal(err)
		}
	}
}
