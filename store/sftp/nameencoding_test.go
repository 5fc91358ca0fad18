package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"sftpconnector/charset"
	"sftpconnector/store/sftp/sftptest"
)

// scripted is a channel that reads from one buffer and writes to another, some bytes
// at a time.
type scripted struct {
	in   []byte
	out  bytes.Buffer
	step int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *scripted) Close() error                { return nil }

// framed makes a packet of a type, an id, and strings and other parts.
func framed(typ byte, parts ...any) []byte {
	body := []byte{typ, 0, 0, 0, 7}
	for _, part := range parts {
		switch v := part.(type) {
		case string:
			body = appendString(body, v)
		case uint32:
			body = binary.BigEndian.AppendUint32(body, v)
		case []byte:
			body = append(body, v...)
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestNamesInPackets(t *testing.T) {
	latin, err := charset.Find("latin1")
	if err != nil {
		t.Fatal(err)
	}
	attrs := []byte{0, 0, 0, 0}
	full := append(binary.BigEndian.AppendUint32(nil, 0x8000000f), make([]byte, 28)...)
	full = append(appendString(appendString(binary.BigEndian.AppendUint32(full, 1), "x@y"), "z\xfc"), []byte{}...)
	for _, test := range []struct {
		name      string
		utf8, raw []byte
	}{
		{"open", framed(typeOpen, "ü", uint32(1), attrs), framed(typeOpen, "\xfc", uint32(1), attrs)},
		{"rename", framed(typeRename, "ü/é", "é"), framed(typeRename, "\xfc/\xe9", "\xe9")},
		{"posix-rename", framed(typeExtended, "posix-rename@openssh.com", "ü", "é"), framed(typeExtended, "posix-rename@openssh.com", "\xfc", "\xe9")},
		{"fsync", framed(typeExtended, "fsync@openssh.com", "\xfc\xe9"), framed(typeExtended, "fsync@openssh.com", "\xfc\xe9")},
		{"a handle", framed(12, "ü"), framed(12, "ü")},
		{"data", framed(6, "h", uint32(0), uint32(0), "ü, and more"), framed(6, "h", uint32(0), uint32(0), "ü, and more")},
		{"no form", framed(typeStat, "日"), framed(typeStat, "日")},
		{"cut off", framed(typeStat, uint32(99)), framed(typeStat, uint32(99))},
	} {
		for step := range 12 {
			s := &scripted{step: step + 1}
			ch := translateNames(s, latin)
			for sent := test.utf8; len(sent) > 0; {
				n := min(step+1, len(sent))
				if got, err := ch.Write(sent[:n]); got != n || err != nil {
					t.Fatalf("%s: wrote %d, %v", test.name, got, err)
				}
				sent = sent[n:]
			}
			if !bytes.Equal(s.out.Bytes(), test.raw) {
				t.Errorf("%s: sent %q, want %q", test.name, s.out.Bytes(), test.raw)
			}
		}
	}
	for name, test := range map[string]struct{ sent, want []byte }{
		"names":     {framed(typeName, uint32(2), "\xfc", "-rw-r--r-- 1 \xfc", full, "a", "", attrs), framed(typeName, uint32(2), "ü", "-rw-r--r--", full, "a", "", attrs)},
		"the end":   {framed(101, uint32(1), "\xfc", ""), framed(101, uint32(1), "\xfc", "")},
		"data":      {framed(103, "\xfc\xfc\xfc"), framed(103, "\xfc\xfc\xfc")},
		"cut off":   {framed(typeName, uint32(3), "\xfc", "x", attrs), framed(typeName, uint32(3), "\xfc", "x", attrs)},
		"nothing":   {[]byte{0, 0, 0, 0, 0}, []byte{0, 0, 0, 0, 0}},
		"no length": {framed(typeName, uint32(1), uint32(1<<31)), framed(typeName, uint32(1), uint32(1<<31))},
	} {
		after := framed(103, "behind it")
		for step := range 12 {
			s := &scripted{step: step + 1, in: append(bytes.Clone(test.sent), after...)}
			got, err := io.ReadAll(translateNames(s, latin))
			if err != nil || !bytes.Equal(got, append(bytes.Clone(test.want), after...)) {
				t.Errorf("%s: arrives as %q, want %q, %v", name, got, test.want, err)
			}
		}
	}
}

// A packet of names may become longer in UTF-8 than a server may send one. The other
// names of the directory are listed.
func TestNamesThatGrow(t *testing.T) {
	thai, err := charset.Find("windows-874")
	if err != nil {
		t.Fatal(err)
	}
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, server.Endpoint, "plain", nil)
	server.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{server.Root: sftptest.InjectNames("before", strings.Repeat("\xa1", 90_000), "after")}
	})
	cfg := byKey(server.Endpoint)
	cfg.NameEncoding = thai
	found := allOf(t, openSource(t, cfg), "")
	for _, name := range []string{"plain", "before", "after"} {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is not listed", name)
		}
	}
}

// Whatever a server sends, the packets stay packets.
func FuzzNamesInPackets(f *testing.F) {
	f.Add(framed(typeName, uint32(1), "\xfc", "long", []byte{0, 0, 0, 0}), 3)
	f.Add(framed(typeName, uint32(1<<31), "\xfc", "long", []byte{0x80, 0, 0, 15}), 9)
	latin, err := charset.Find("shift-jis")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte, step int) {
		after := framed(103, "behind it")
		if len(sent) < 5 || int64(binary.BigEndian.Uint32(sent)) != int64(len(sent)-4) {
			return
		}
		s := &scripted{step: max(1, step%64), in: append(bytes.Clone(sent), after...)}
		got, err := io.ReadAll(translateNames(s, latin))
		if err != nil || len(got) < 4 {
			t.Fatalf("%q: %v", got, err)
		}
		if n := binary.BigEndian.Uint32(got); !bytes.Equal(got[4+n:], after) {
			t.Errorf("%q: behind the packet comes %q", sent, got[4+n:])
		}
	})
}
