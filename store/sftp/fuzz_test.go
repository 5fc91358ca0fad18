package sftp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// readable reports whether a text is fit for an error or a log: one line of
// bounded length.
func readable(text string) bool {
	return utf8.ValidString(text) && len(text) < 4096 && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// FuzzShellText: what a channel begins with is SFTP, and comes whole, or is told as
// the text that it is.
func FuzzShellText(f *testing.F) {
	for _, text := range []string{"\x00\x00\x00\x05\x02\x00\x00\x00\x03", "Last login: today\r\n", "\x1b[2J\u009bJ", "bash: x: command not found\n\x00\x00\x00\x05\x02", "\x00\x00", "abc", "\x00\x10\x00\x01aaaaaaaaa"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		if len(says) == 0 {
			return // waits for the reason
		}
		got, err := io.ReadAll(&startChecker{subsystem: &saidChannel{Reader: bytes.NewReader(says)}})
		if err != nil {
			e, ok := errors.AsType[*startError](err)
			if !ok || len(got) > 0 || !readable(e.Error()) || !readable(e.Hint()) {
				t.Errorf("%q: %q, %v", says, got, err)
			}
			return
		}
		if !bytes.Equal(got, says) {
			t.Errorf("%q comes as %q", says, got)
		}
	})
}

// saidChannel is a channel of which only the stream is of interest.
type saidChannel struct {
	subsystem
	io.Reader
}

func (c *saidChannel) Read(p []byte) (int, error) { return c.Reader.Read(p) }
func (c *saidChannel) Close() error               { return nil }

// FuzzLongNames: of a line as of "ls -l" no more is believed than its mode, and only
// if it looks like one.
func FuzzLongNames(f *testing.F) {
	for _, line := range []string{"drwxr-xr-x 2 me me 4096 Jan 1 00:00 x", "-rw-r--r--+ 1", "lrwxrwxrwx 1 me me 1 x -> y", "01-01-20 10:00AM <DIR> x", "?---------", "d", "", "srwxrwxrwx ", "total 17 of drwx"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		letter := typeLetter(line)
		if letter != 0 && (len(line) <= 10 || letter != line[0]) {
			t.Errorf("%q is of type %q", line, letter)
		}
		if mode := typeOf(letter); mode.IsRegular() && letter != '-' {
			t.Errorf("%q, which is no type, is a regular file", letter)
		}
	})
}
