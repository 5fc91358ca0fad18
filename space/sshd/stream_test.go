package sshd

import (
	"encoding/binary"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// slowCommands are files of zeros, with commands that wait.
type slowCommands struct {
	hold  chan struct{}
	reads *atomic.Int64
}

func (s slowCommands) Filecmd(*sftp.Request) error                 { <-s.hold; return nil }
func (s slowCommands) Fileread(*sftp.Request) (io.ReaderAt, error) { return s, nil }
func (s slowCommands) ReadAt(p []byte, _ int64) (int, error) {
	s.reads.Add(1)
	return len(p), nil
}
func (s slowCommands) Filewrite(*sftp.Request) (io.WriterAt, error) { return s, nil }
func (s slowCommands) WriteAt(p []byte, _ int64) (int, error) {
	s.reads.Add(1)
	return len(p), nil
}

// What is asked behind a slow request is not worked on without end: its answers
// would have to be kept.
func TestUnansweredRequestsAreBounded(t *testing.T) {
	handle := []byte("\x00\x00\x00\x02\x00\x00\x00\x011\x00\x00\x00\x00\x00\x00\x00\x00") // and offset 0
	for name, c := range map[string]struct {
		flags, most int64
		request     []byte
	}{
		"READ":  {1, maxUnanswered, packet(packetRead, binary.BigEndian.AppendUint32(slices.Clone(handle), 32<<10))},
		"WRITE": {2, 2 * maxUnansweredBytes / (200 << 10), packet(packetWrite, append(binary.BigEndian.AppendUint32(slices.Clone(handle), 200<<10), make([]byte, 200<<10)...))},
	} {
		t.Run(name, func(t *testing.T) {
			slow := slowCommands{reads: new(atomic.Int64)}
			o := Options{Handlers: func(string) (sftp.Handlers, error) {
				return sftp.Handlers{FileGet: slow, FilePut: slow, FileCmd: slow}, nil
			}}
			bubble(t, o, func(t *testing.T, r *running, l *pipeListener) {
				slow.hold = make(chan struct{}) // of the bubble
				channel, _, err := enter(t, r, l).OpenChannel("session", nil)
				if err != nil {
					t.Fatal(err)
				}
				if ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); err != nil || !ok {
					t.Fatal(ok, err)
				}
				go io.Copy(io.Discard, channel)
				hello := packet(1, []byte{0, 0, 0, 3})
				hello = append(hello, packet(packetOpen, []byte{0, 0, 0, 1, 0, 0, 0, 2, '/', 'x', 0, 0, 0, byte(c.flags), 0, 0, 0, 0})...)
				if _, err := channel.Write(hello); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if _, err := channel.Write(packet(14, []byte{0, 0, 0, 2, 0, 0, 0, 2, '/', 'd', 0, 0, 0, 0})); err != nil { // MKDIR
					t.Fatal(err)
				}
				sent := make(chan error, 1)
				const asked = 300
				go func() {
					_, err := channel.Write(slices.Repeat(c.request, asked))
					sent <- err
				}()
				synctest.Wait()
				time.Sleep(time.Second)
				if n := slow.reads.Load(); n == 0 || n > c.most {
					t.Errorf("%d requests were worked on behind a slow one, want 1 to %d", n, c.most)
				}
				close(slow.hold)
				if err := <-sent; err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if n := slow.reads.Load(); n != asked {
					t.Errorf("%d of %d requests were worked on in the end", n, asked)
				}
			})
		})
	}
}
