package wire

import (
	"context"
	"encoding/binary"
	"math"
	"time"
)

// The flags of OPEN (section 6.3). A file is opened for reading or for writing,
// never for both, which some servers refuse.
const (
	flagRead  = 0x01
	flagWrite = 0x02

	Create    = 0x08 // make the file if there is none
	Truncate  = 0x10 // drop what is in it
	Exclusive = 0x20 // fail if there is one; with Create alone
)

// The extensions of OpenSSH's PROTOCOL that are known here: sections 4.3, 4.4, 4.6 and 4.8.
const (
	PosixRenameExtension = "posix-rename@openssh.com"
	StatvfsExtension     = "statvfs@openssh.com"
	FsyncExtension       = "fsync@openssh.com"
	LimitsExtension      = "limits@openssh.com"
)

const (
	// DefaultWrite is the longest WRITE that every server has to take.
	DefaultWrite = 32 << 10
	// leastWrite is what a limit has to be to be believed.
	leastWrite = 1 << 10
	// longestWrite keeps a request below OpenSSH's 256 KiB.
	longestWrite = 255 << 10
)

// OpenWrite opens a file for writing: c.Handle. flags are of Create, Truncate and
// Exclusive. Permissions are left to the server.
func (s *Session) OpenWrite(c *Call, path string, flags uint32) {
	var tail [8]byte
	binary.BigEndian.PutUint32(tail[:], flagWrite|flags)
	s.request(c, kindHandle, typeOpen, path, tail[:])
}

// maxHeld is how many bytes of requests stand in memory, until the server takes
// them, before a WRITE waits.
const maxHeld = 512 << 10

// Write writes b, at most MaxWrite bytes, at off. It waits while too much is to be
// sent before it, and sends nothing if ctx ends before that. b is the caller's
// again when Write returns.
func (s *Session) Write(ctx context.Context, c *Call, h Handle, off int64, b []byte) error {
	var tail [12]byte
	binary.BigEndian.PutUint64(tail[:], uint64(off))
	binary.BigEndian.PutUint32(tail[8:], uint32(len(b)))
	c.kind, c.on, c.Err, c.N = kindStatus, h, nil, 0
	for {
		s.mu.Lock()
		if s.calls == nil {
			err := s.err
			s.mu.Unlock()
			c.finish(err)
			return nil
		}
		if s.out.held < maxHeld {
			s.enqueue(c, typeWrite, string(h), tail[:], b)
			s.mu.Unlock()
			s.wakeUp()
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-s.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// CloseFile gives a handle back. A server may tell only here that what was written
// before has found no room.
func (s *Session) CloseFile(c *Call, h Handle) {
	s.onHandle(c, kindClose, typeClose, h, nil)
}

// Times reports whether SFTP 3 can say that time: 32 bits of seconds.
func Times(t time.Time) bool { return t.Unix() >= 0 && t.Unix() <= math.MaxUint32 }

// FsetTimes sets the times of an open file to t, to the second.
func (s *Session) FsetTimes(c *Call, h Handle, t time.Time) {
	s.onHandle(c, kindStatus, typeFsetstat, h, timesOf(t))
}

// SetTimes sets the times of a file to t, to the second.
func (s *Session) SetTimes(c *Call, path string, t time.Time) {
	s.request(c, kindStatus, typeSetstat, path, timesOf(t))
}

func timesOf(t time.Time) []byte {
	b := binary.BigEndian.AppendUint32(nil, attrTimes)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Unix())) // of access
	return binary.BigEndian.AppendUint32(b, uint32(t.Unix()))
}

// FsetSize cuts an open file, or makes it longer, to n bytes.
func (s *Session) FsetSize(c *Call, h Handle, n int64) {
	b := binary.BigEndian.AppendUint32(nil, attrSize)
	s.onHandle(c, kindStatus, typeFsetstat, h, binary.BigEndian.AppendUint64(b, uint64(n)))
}

// Remove removes a file, never a directory.
func (s *Session) Remove(c *Call, path string) {
	s.request(c, kindStatus, typeRemove, path, nil)
}

// MakeDir makes a directory, with the permissions that the server gives it.
func (s *Session) MakeDir(c *Call, path string) {
	s.request(c, kindStatus, typeMkdir, path, []byte{0, 0, 0, 0})
}

// Rename gives a file another path. By the draft (section 6.5) it is an error if
// something stands there.
func (s *Session) Rename(c *Call, from, to string) {
	s.request(c, kindStatus, typeRename, from, text(to))
}

// PosixRename gives a file another path and replaces what stands there.
func (s *Session) PosixRename(c *Call, from, to string) {
	s.request(c, kindStatus, typeExtended, PosixRenameExtension, append(text(from), text(to)...))
}

// Fsync makes the contents of an open file durable.
func (s *Session) Fsync(c *Call, h Handle) {
	s.requestOn(c, h, kindStatus, typeExtended, FsyncExtension, text(string(h)))
}

// Statvfs asks about the file system of a path: c.Space.
func (s *Session) Statvfs(c *Call, path string) {
	s.request(c, kindStatvfs, typeExtended, StatvfsExtension, text(path))
}

func text(s string) []byte {
	b := make([]byte, 0, 4+len(s))
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Space is how much room a file system has for one who is not its administrator.
type Space struct {
	Bytes int64 // what may be written still; negative when the server did not say
	Files int64 // files that may be made; negative where nothing counts them
}

// parseSpace reads the numbers of a statvfs answer: f_bsize, f_frsize, f_blocks,
// f_bfree, f_bavail, f_files, f_ffree, f_favail and more.
func parseSpace(r *reader) Space {
	var n [8]uint64
	for i := range n {
		n[i] = r.uint64()
	}
	space := Space{Bytes: -1, Files: -1}
	if unit := max(n[1], 1); n[4] <= math.MaxInt64/unit {
		space.Bytes = int64(n[4] * unit)
	}
	if n[5] > 0 && n[7] <= math.MaxInt64 {
		space.Files = int64(n[7])
	}
	return space
}

// parseLimits reads the answer to limits@openssh.com: the longest packet, READ
// and WRITE in bytes, and how many handles may be open, each 0 for no limit.
func (c *Call) parseLimits(r *reader) {
	_ = r.uint64()
	c.limits.read = r.uint64()
	c.limits.write = r.uint64()
	c.limits.handles = r.uint64()
}

// limits is what a server says that it takes.
type limits struct{ read, write, handles uint64 }

// adopt makes the session keep to the limits, as far as it can.
func (s *Session) adopt(l limits) {
	if l.read >= DefaultRead {
		s.maxRead.Store(int32(min(l.read, longestRead)))
	}
	if l.write >= leastWrite {
		s.maxWrite.Store(int32(min(l.write, longestWrite)))
	}
	s.maxHandles.Store(int32(min(l.handles, math.MaxInt32)))
}

// MaxWrite is the longest WRITE, in bytes, that the server says it takes:
// DefaultWrite until it has said so.
func (s *Session) MaxWrite() int { return int(s.maxWrite.Load()) }

// MaxHandles is how many files and directories the server says may be open on
// this channel; 0: it did not say, or knows no limit.
func (s *Session) MaxHandles() int { return int(s.maxHandles.Load()) }
