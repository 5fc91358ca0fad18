package sftptest

import (
	"os"
	"slices"
)

// extended answers the extensions of OpenSSH that VERSION offers.
func (s *session) extended(f *Faults, id uint32, in *fields) Status {
	name := in.string()
	switch {
	case f.NoExtensions || slices.Contains(f.Without, name) || in.err != nil:
		return StatusOpUnsupported
	case name == "posix-rename@openssh.com":
		from, to := s.abs(in.string()), s.abs(in.string())
		if f.Fail != nil {
			if st := f.Fail(OpExtended, from); st != StatusOK {
				return st
			}
		}
		return statusOf(renamed(f, os.Rename, from, to))
	case name == "fsync@openssh.com":
		h := s.lookup(in.string())
		if h == nil || h.file == nil {
			return StatusFailure
		}
		if f.Fail != nil {
			if st := f.Fail(OpExtended, h.path); st != StatusOK {
				return st
			}
		}
		return statusOf(h.file.Sync())
	case name == "limits@openssh.com":
		s.head(answerExtended, id)
		// Packet, READ and WRITE in bytes; then open handles, of which it says
		// nothing: MaxOpenFiles is to come as a surprise.
		write := uint64(maxPacket - 1024)
		if f.MaxWrite > 0 {
			write = uint64(f.MaxWrite)
		}
		for _, n := range []uint64{maxPacket, maxPacket - 1024, write, 0} {
			s.answer = appendUint64(s.answer, n)
		}
		return answered
	case name == "statvfs@openssh.com":
		s.head(answerExtended, id)
		room := uint64(1 << 40)
		if f.Room > 0 {
			room = uint64(max(0, f.Room-s.srv.stored.Load()))
		}
		// Blocks of one byte: size, fragment, all, free, free for us; then nodes.
		for _, n := range []uint64{1, 1, 1 << 41, room, room, 1000, 1000, 1000, 0, 0, 255} {
			s.answer = appendUint64(s.answer, n)
		}
		return answered
	}
	return StatusOpUnsupported
}
