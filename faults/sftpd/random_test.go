package sftpd_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"sftpconnector/faults/sftpd"
)

// The server stands whatever a client sends: it answers each request once, or
// ends the session.
func TestRandomPacketsAreAnsweredOrEndTheSession(t *testing.T) {
	t.Parallel()
	s, _ := files(t)
	random := rand.New(rand.NewPCG(7, 7))
	for range 20 {
		r := rawClient(t, s)
		r.open("/in/a", 1|2)
		for range 200 {
			if _, err := r.in.Write(randomPacket(random)); err != nil {
				break // the session ended
			}
			select {
			case <-r.packets:
			case <-time.After(deadline):
				t.Fatal("neither an answer nor the end")
			}
		}
		r.conn.Close()
	}
	if h := rawClient(t, s).open("/in/b", 1); h == "" {
		t.Error("the server is not well")
	}
}

// randomPacket is a request that is mostly well formed up to its path or handle.
func randomPacket(random *rand.Rand) []byte {
	kinds := []byte{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 17, 18, 19, 200, 99}
	firsts := []string{"1", "2", "/in/a", "/in", "..", "", "x/../../y", "\x00", sftpd.PosixRename, sftpd.Fsync, sftpd.Limits, sftpd.StatVFS}
	p := binary.BigEndian.AppendUint32([]byte{kinds[random.IntN(len(kinds))]}, random.Uint32())
	first := firsts[random.IntN(len(firsts))]
	p = append(binary.BigEndian.AppendUint32(p, uint32(len(first))), first...)
	for range random.IntN(30) {
		p = append(p, byte(random.IntN(256)>>random.IntN(9))) // mostly small numbers
	}
	if random.IntN(50) == 0 {
		p = p[:1+random.IntN(len(p)-1)]
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}
