package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// beginning is what every file of SQLite starts with (https://sqlite.org/fileformat.html).
const beginning = "SQLite format 3\x00"

// beginPatience is how long another process may take from making the file to
// writing the beginning of it.
const beginPatience = 2 * time.Second

// makeFile makes the file if there is none. One that is there must begin as a ledger
// does: SQLite takes a file of less than a page for a new one, and all that was
// delivered would come again. The file holds names and times of files, which are
// nobody else's business.
func makeFile(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	late := time.After(beginPatience)
	for {
		switch head, err := headOf(path); {
		case err != nil:
			return err
		case head == beginning:
			return nil
		case head != "":
			return errors.New("it is no ledger, or a damaged one: put back a copy of it. Without one, remove it, and what was delivered may come again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return errors.New("it is empty, as if it had been cut off: put back a copy of it. If it never held anything, or there is no copy, remove it")
		case <-time.After(10 * time.Millisecond):
		}
	}
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
