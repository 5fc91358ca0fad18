package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sftpconnector/durable"
)

// beginning is what every file of SQLite starts with (https://sqlite.org/fileformat.html).
const beginning = "SQLite format 3\x00"

// What is wrong with a file that is there. SQLite takes a file of less than a page for
// a new one, and all that was delivered would come again.
var (
	errEmpty      = errors.New("it is empty, which a ledger never is")
	errNotALedger = errors.New("file is not a database")
	errGone       = errors.New("it is gone, and its -wal is there")
)

// makeFile makes the file if there is none. It gets its name when it is whole and
// durable, so that one that is there and does not begin as a ledger does was
// damaged. The file holds names and times of files, which are nobody else's business.
func makeFile(ctx context.Context, path string) error {
	head, err := headOf(path)
	switch {
	case err == nil && head == "":
		return errEmpty
	case err == nil && head != beginning:
		return errNotALedger
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// SQLite would take what an older ledger had not written back for the new one's.
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return errGone
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "ledger-*.new") // mode 0600
	if err != nil {
		return err
	}
	fresh := f.Name()
	defer os.Remove(fresh)
	if err := f.Close(); err != nil {
		return err
	}
	l, err := openFile(ctx, fresh)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil { // which takes all into the one file
		return err
	}
	// Another process may have made it meanwhile. Where there are no links, the
	// later of two that start for the first time at the same moment wins.
	if err := os.Link(fresh, path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(fresh, path); err != nil {
			return err
		}
	}
	return durable.SyncDirectory(dir)
}

// headOf gives the beginning of a file, as far as it goes.
func headOf(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // a ledger is written to
	if err != nil {
		return "", err
	}
	head := make([]byte, len(beginning))
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read its beginning: %w", err)
	}
	return string(head[:n]), nil
}
