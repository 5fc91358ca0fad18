package sftptest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"
)

// channel opens the subsystem sftp for a test that speaks it by hand.
func channel(t *testing.T, s *Faulty) ssh.Channel {
	t.Helper()
	c, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.Password(s.Password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	ch, requests, err := c.OpenChannel("session", nil)
	must(t, err)
	go ssh.DiscardRequests(requests)
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
		t.Fatalf("subsystem: %v, %v", ok, err)
	}
	return ch
}

func request(op Op, id uint32, rest []byte) []byte {
	body := append(appendUint32([]byte{byte(op)}, id), rest...)
	return append(appendUint32(nil, uint32(len(body))), body...)
}

func exchange(t *testing.T, ch ssh.Channel, p []byte) []byte {
	t.Helper()
	_, err := ch.Write(p)
	must(t, err)
	answer, err := readPacket(ch)
	must(t, err)
	return answer
}

func TestShuffledReadsComeInAnotherOrder(t *testing.T) {
	s := StartFaulty(t, Faults{})
	content := []byte("abcdefgh")
	path := filepath.Join(s.Root, "f.csv")
	must(t, os.WriteFile(path, content, 0o600))
	ch := channel(t, s)
	if v := exchange(t, ch, request(OpInit, 3, nil)); v[0] != answerVersion {
		t.Fatalf("version: %q", v)
	}
	in := &fields{b: exchange(t, ch, request(OpOpen, 1, appendUint32(appendUint32(appendString(nil, path), openRead), 0)))}
	in.take(5)
	handle := in.string()

	order := func() []uint32 {
		var all []byte
		for i := range content {
			all = append(all, request(OpRead, uint32(i), appendUint32(appendUint64(appendString(nil, handle), uint64(i)), 1))...)
		}
		_, err := ch.Write(all)
		must(t, err)
		var ids []uint32
		for range content {
			p, err := readPacket(ch)
			must(t, err)
			in := &fields{b: p}
			kind, id, data := in.byte(), in.uint32(), in.string()
			if kind != answerData || data != string(content[id]) {
				t.Fatalf("answer %d to READ %d: %q", kind, id, data)
			}
			ids = append(ids, id)
		}
		return ids
	}
	if ids := order(); !slices.IsSorted(ids) {
		t.Errorf("without shuffling: %v", ids)
	}
	s.Set(func(f *Faults) { f.ShuffleReads = true })
	shuffled := false
	for range 20 { // each leaves 8 answers as they were once in 40,320 times
		shuffled = shuffled || !slices.IsSorted(order())
	}
	if !shuffled {
		t.Error("the answers came in the order of the requests")
	}
}

// Names must leave as they are: a client library that cleans them up would
// hide a fault of the server.
func TestHostileNamesOnTheWire(t *testing.T) {
	s := StartFaulty(t, Faults{})
	s.Set(func(f *Faults) { f.Inject = map[string][]Injected{s.Root: InjectNames(HostileNames()...)} })
	ch := channel(t, s)
	exchange(t, ch, request(OpInit, 3, nil))
	in := &fields{b: exchange(t, ch, request(OpOpendir, 1, appendString(nil, s.Root)))}
	in.take(5)
	in = &fields{b: exchange(t, ch, request(OpReaddir, 2, appendString(nil, in.string())))}
	if kind := in.byte(); kind != answerName {
		t.Fatalf("answer %d", kind)
	}
	in.uint32()
	var names []string
	for range in.uint32() {
		names = append(names, in.string())
		in.string()
		in.attrs()
	}
	if want := append([]string{".", ".."}, HostileNames()...); in.err != nil || !slices.Equal(names, want) {
		t.Errorf("%d names, %v", len(names), in.err)
	}
}

// Whatever a client sends, the server answers or hangs up.
func FuzzSession(f *testing.F) {
	f.Add(request(OpStat, 1, appendString(nil, "/")))
	f.Add(request(OpRead, 1, appendString(nil, "h1")))
	f.Add(request(OpExtended, 1, appendString(nil, "posix-rename@openssh.com")))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		s := &Faulty{Endpoint: Endpoint{Root: t.TempDir()}, counts: Counts{Ops: map[Op]int{}}}
		// Nothing of the machine is touched: only what needs no disk goes on.
		s.faults.Store(&Faults{Fail: func(Op, string) Status { return StatusPermissionDenied }})
		ch := &memoryChannel{in: bytes.NewReader(sent)}
		newSession(&conn{srv: s, closed: make(chan struct{})}, ch).serve()
		for ch.out.Len() > 0 {
			if _, err := readPacket(&ch.out); err != nil {
				t.Fatalf("an answer is malformed: %v", err)
			}
		}
	})
}

// memoryChannel is an ssh.Channel without a connection.
type memoryChannel struct {
	ssh.Channel
	in  io.Reader
	out bytes.Buffer
}

func (c *memoryChannel) Read(p []byte) (int, error)                     { return c.in.Read(p) }
func (c *memoryChannel) Write(p []byte) (int, error)                    { return c.out.Write(p) }
func (c *memoryChannel) Close() error                                   { return nil }
func (c *memoryChannel) SendRequest(string, bool, []byte) (bool, error) { return true, nil }
