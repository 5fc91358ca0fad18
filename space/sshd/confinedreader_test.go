package sshd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestPathsThatLeadOut(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"": false, "/": false, ".": false, "a": false, "a/..": false, "/a/b/../..": false, "./a//../b": false, "..a": false, "...": false, "a..": false,
		"..": true, "/..": true, "../a": true, "/../a": true, "a/../..": true, "/a/../../a/b": true, "./..": true, "//..": true,
	} {
		if got := leadsOut(path); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

// text is a string as it goes over the network.
func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func TestMarkedPaths(t *testing.T) {
	t.Parallel()
	const out, in = "../etc/passwd", "/etc/passwd"
	mark := strings.Repeat("\x00", len(out))
	request := func(kind byte, fields ...[]byte) []byte {
		return packet(kind, slices.Concat(append([][]byte{{0, 0, 0, 7}}, fields...)...))
	}
	var sent, want []byte
	add := func(kind byte, fields, marked [][]byte) {
		sent = append(sent, request(kind, fields...)...)
		want = append(want, request(kind, marked...)...)
	}
	flags := []byte{0, 0, 0, 1, 0, 0, 0, 0}
	for _, kind := range []byte{packetOpen, packetLstat, packetSetstat, packetOpenDir, packetRemove, packetMkdir, packetRmdir, packetRealpath, packetStat, packetReadlink} {
		add(kind, [][]byte{text(out), flags}, [][]byte{text(mark), flags})
		add(kind, [][]byte{text(in), text(out)}, [][]byte{text(in), text(out)}) // the second one is no path
	}
	for _, kind := range []byte{packetRename, packetSymlink} {
		add(kind, [][]byte{text(in), text(out)}, [][]byte{text(in), text(mark)})
		add(kind, [][]byte{text(out), text(out)}, [][]byte{text(mark), text(mark)})
	}
	for _, name := range []string{"posix-rename@openssh.com", "hardlink@openssh.com"} {
		add(packetExtended, [][]byte{text(name), text(out), text(out)}, [][]byte{text(name), text(mark), text(mark)})
	}
	add(packetExtended, [][]byte{text("statvfs@openssh.com"), text(out)}, [][]byte{text("statvfs@openssh.com"), text(mark)})
	add(packetExtended, [][]byte{text("unknown"), text(out)}, [][]byte{text("unknown"), text(out)})
	add(packetWrite, [][]byte{text("1"), make([]byte, 8), text(out)}, [][]byte{text("1"), make([]byte, 8), text(out)})
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(sent), "byte by byte": iotest.OneByteReader(bytes.NewReader(sent)), "in halves": iotest.HalfReader(bytes.NewReader(sent)),
	} {
		if got, err := io.ReadAll(&confinedReader{from: r}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n got %q\nwant %q", name, err, got, want)
		}
	}
}

// The reader passes everything on but for marks: no byte more or less, and the error.
func FuzzConfined(f *testing.F) {
	f.Add(packet(packetOpen, append([]byte{0, 0, 0, 1}, text("/../a")...)), uint8(1))
	f.Add(packet(packetRename, append([]byte{0, 0, 0, 1}, text("/../a")...)), uint8(3))
	f.Add(packet(packetExtended, []byte{0, 0, 0, 1, 255, 255, 255, 255}), uint8(3))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 9, packetStat, 1}, uint8(9))
	f.Add([]byte{255, 255, 255, 255, packetStat, 1}, uint8(9))
	broken := errors.New("broken")
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		c := &confinedReader{from: io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))}
		var got []byte
		p := make([]byte, int(piece)+1)
		for {
			n, err := c.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				if !errors.Is(err, broken) {
					t.Errorf("ends with %v", err)
				}
				break
			}
			if n == 0 {
				t.Fatal("neither bytes nor an error")
			}
		}
		if len(got) != len(data) {
			t.Fatalf("%d bytes of %d", len(got), len(data))
		}
		for i, b := range got {
			if b != data[i] && b != 0 {
				t.Fatalf("byte %d was changed to %d", i, b)
			}
		}
	})
}

// A client that tries to leave its "/" is denied, whatever it tries.
func TestWhoLeadsOutIsDenied(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	f := files(t, r.client())
	if err := f.Mkdir("d"); err != nil {
		t.Fatal(err)
	}
	if x, err := f.Create("mine"); err != nil {
		t.Fatal(err)
	} else {
		x.Close()
	}
	for _, path := range []string{"..", "/..", "../x", "/../x", "d/../../x", "/d/../../d/x"} {
		for what, try := range map[string]func() error{
			"open":        func() error { _, err := f.Open(path); return err },
			"create":      func() error { _, err := f.Create(path); return err },
			"stat":        func() error { _, err := f.Stat(path); return err },
			"lstat":       func() error { _, err := f.Lstat(path); return err },
			"list":        func() error { _, err := f.ReadDir(path); return err },
			"mkdir":       func() error { return f.Mkdir(path) },
			"rmdir":       func() error { return f.RemoveDirectory(path) },
			"remove":      func() error { return f.Remove(path) },
			"rename":      func() error { return f.Rename(path, "y") },
			"rename onto": func() error { return f.Rename("mine", path) },
			"replace":     func() error { return f.PosixRename("mine", path) },
			"truncate":    func() error { return f.Truncate(path, 0) },
			"link":        func() error { return f.Link(path, "y") },
			"symlink":     func() error { return f.Symlink(path, "y") },
			"readlink":    func() error { _, err := f.ReadLink(path); return err },
			"realpath":    func() error { _, err := f.RealPath(path); return err },
			"statvfs":     func() error { _, err := f.StatVFS(path); return err },
		} {
			if err := try(); !errors.Is(err, os.ErrPermission) {
				t.Errorf("%s %q: %v, want permission denied", what, path, err)
			}
		}
	}
	for path, want := range map[string]string{".": "/", "": "/", "d/..": "/", "/d/./x/": "/d/x"} {
		if got, err := f.RealPath(path); err != nil || got != want {
			t.Errorf("realpath %q: %q, %v", path, got, err)
		}
	}
	if _, err := f.Stat("d/../mine"); err != nil {
		t.Error(err)
	}
}
