package sshd

import (
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/pkg/sftp"
)

// offsets is a file that notes where it is written, in the order of the calls.
type offsets struct {
	sftp.FileReader
	sftp.FileCmder
	sftp.FileLister

	mu  sync.Mutex
	all []int64
}

func (o *offsets) Filewrite(*sftp.Request) (io.WriterAt, error) { return o, nil }

func (o *offsets) WriteAt(p []byte, off int64) (int, error) {
	for range off % 7 {
		runtime.Gosched() // so that calls side by side change their order
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, off)
	return len(p), nil
}

// Where a file is appended to, the order in which a client sends its WRITEs is kept,
// also if it does not wait for the answers.
func TestAppendingWritesComeInOrder(t *testing.T) {
	t.Parallel()
	written := &offsets{}
	r := start(t, Options{Handlers: func(string) (sftp.Handlers, error) {
		return sftp.Handlers{FileGet: written, FilePut: written, FileCmd: written, FileList: written}, nil
	}})
	c, err := sftp.NewClient(r.client(), sftp.MaxPacket(1<<10), sftp.UseConcurrentWrites(true))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.OpenFile("x", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFromWithConcurrency(io.LimitReader(zeros{}, 1<<20), 64); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	written.mu.Lock()
	defer written.mu.Unlock()
	if len(written.all) != 1<<10 || !slices.IsSorted(written.all) {
		t.Errorf("%d writes, in another order than they were sent: %v", len(written.all), written.all[:min(20, len(written.all))])
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
