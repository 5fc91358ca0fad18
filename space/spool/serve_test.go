package spool_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
	"sftpconnector/sync/ledger"
)

// serveEnv asks the test's own program to be an SFTP server on its standard
// input and output, for the directory that it names.
const serveEnv = "SPOOL_TEST_SERVE"

// orderEnv asks it to do one request at a time.
const orderEnv = "SPOOL_TEST_IN_ORDER"

type stdio struct {
	io.Reader
	io.WriteCloser
}

// inOrder hands on a request once the one before it is answered, as package sshd does
// for those who append.
type inOrder struct {
	io.ReadWriteCloser
	in, out  int // bytes of a packet that are to come; -1: its length is
	answered chan struct{}
	first    bool
}

func newInOrder(c io.ReadWriteCloser) *inOrder {
	return &inOrder{ReadWriteCloser: c, answered: make(chan struct{}, 1), first: true}
}

// Read gives the length of a packet, or some of its rest: pkg/sftp asks for them so.
func (o *inOrder) Read(p []byte) (int, error) {
	if o.in > 0 {
		n, err := o.ReadWriteCloser.Read(p[:min(len(p), o.in)])
		o.in -= n
		return n, err
	}
	if !o.first {
		<-o.answered
	}
	o.first = false
	n, err := io.ReadFull(o.ReadWriteCloser, p[:4])
	if err == nil {
		o.in = int(binary.BigEndian.Uint32(p))
	}
	return n, err
}

func (o *inOrder) Write(p []byte) (int, error) {
	n, err := o.ReadWriteCloser.Write(p)
	for left := n; left > 0; {
		if o.out == 0 {
			o.out = 4 + int(binary.BigEndian.Uint32(p[n-left:]))
		}
		k := min(left, o.out)
		left, o.out = left-k, o.out-k
		if o.out == 0 {
			o.answered <- struct{}{}
		}
	}
	return n, err
}

func serve(dir string) {
	l, index, err := openIndex(context.Background(), dir)
	if err == nil {
		defer l.Close()
		o := spool.Options{Quiet: time.Nanosecond, Limits: spool.Limits{MaximumFileSize: 8_000_000, Quota: 100_000_000}}
		o.Directory, o.Inbox, o.Index = filepath.Join(dir, "spool"), filepath.Join(dir, "inbox"), index
		b, oerr := spool.Open(context.Background(), o)
		if err = oerr; err == nil {
			defer b.Close()
			serveTo(b)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// openIndex opens the ledger in a directory, and the index of a spool in that.
func openIndex(ctx context.Context, dir string) (*ledger.Ledger, *ledger.Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	l, err := ledger.Open(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	index, err := l.Spool(ctx, "spaces/us_sp_123")
	return l, index, err
}

// after looks into the spool that a client's server has served.
func after(t *testing.T, dir string) *bench {
	t.Helper()
	l, index, err := openIndex(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &bench{T: t, dir: filepath.Join(dir, "spool"), inbox: filepath.Join(dir, "inbox")}
	b.open(spool.Options{Quiet: time.Nanosecond, Index: index})
	t.Cleanup(func() { b.Close() })
	return b
}

func serveTo(b *spool.Spool) {
	var c io.ReadWriteCloser = stdio{os.Stdin, os.Stdout}
	if os.Getenv(orderEnv) != "" {
		c = newInOrder(c)
	}
	sftp.NewRequestServer(c, b.Handlers(), sftp.WithStartDirectory("/")).Serve()
}

// program is a script that serves dir, whatever its arguments: what real
// clients run instead of ssh.
func program(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "server")
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s'\n", serveEnv, dir, self)
	if t.Name() != "TestKilled" {
		script = strings.Replace(script, serveEnv, orderEnv+"=1 "+serveEnv, 1)
	}
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
