package sftp

import (
	"errors"
	"sync/atomic"
	"time"

	"sftpconnector/store/sftp/wire"
)

// Limits is what was learnt about what a server can do, so that the next pass does not
// have to learn it again. All Sources and Destinations of one server may share one,
// also concurrently. The zero Limits knows nothing.
type Limits struct {
	channels    atomic.Int32 // data channels beside the control channel, plus one; 0: unknown
	lostOpening atomic.Int32 // how often in a row opening one more ended the connection, or was not answered
	openFiles   handleLimit  // files and directories open at once
	refusals    refusalStats // the statuses that OPENs were refused with
	readSize    atomic.Int32 // bytes that a READ is answered with; 0: unknown
	noFstat     atomic.Bool  // FSTAT is refused
	fstatFailed atomic.Int32 // how often in a row FSTAT failed, without saying that it always does
	statDiffers atomic.Bool  // STAT tells other times than a listing
	statAdds    feature      // STAT tells what a listing leaves out
	reopenable  feature      // a file still exists after it was read and closed, and may be opened again
	oneReaddir  atomic.Bool  // a READDIR fails while another is in flight
	outOfOrder  atomic.Bool  // requests are answered in another order than they were sent
	openInTurn  atomic.Bool  // two channels could not be opened at the same time
	// channelHandles is how many handles one channel bears. With more, its session
	// dies, or the server gives one handle out twice. 0: unknown.
	channelHandles  atomic.Int32
	failedSweeps    failedSweeps // which sweeps could not list a directory
	lostWithHandles atomic.Int32 // how often in a row the connection was lost while many handles were open
	offeredRead     atomic.Int32 // bytes: the longest READ that the server offered on any channel; 0: unknown
	roundTrip       atomic.Int64 // nanoseconds: the shortest that an OPEN or OPENDIR took; 0: unknown

	// For uploads.
	oneWriteChannel   atomic.Bool // the server stopped answering while files were written on several channels
	parallelWrites    feature     // a file may be written through several handles, in any order
	resumeWrite       feature     // OPEN of a file that was begun, to resume it
	exclusiveOpen     feature     // OPEN with EXCL
	hasWritten        atomic.Bool // a file was opened for writing
	handlesProbed     atomic.Bool // several open handles were tried
	hasRemoved        atomic.Bool // a file was removed: a refusal is not for want of rights
	takenEarly        atomic.Bool // a receiver takes files before they are renamed
	rename            feature     // RENAME
	lateSize          feature     // the size of a file shows some time after it was written
	renameKeepsTarget feature     // RENAME refuses to overwrite
	handleTimes       feature     // FSETSTAT of times
	pathTimes         feature     // SETSTAT of times
	truncate          feature     // FSETSTAT of the size
	fsync             feature
	posixRename       feature
	statvfs           feature
	remove            feature
}

// feature is what was learnt about something that a server may do or not.
type feature struct{ state atomic.Int32 }

const (
	featureWorks int32 = iota + 1
	featureAbsent
)

// absent reports whether the server is known not to do it.
func (f *feature) absent() bool { return f.state.Load() == featureAbsent }

// fstatRefused learns from an FSTAT that was refused of a file that is in order. A
// failure without a reason counts as the server's way from the third one on.
func (l *Limits) fstatRefused(err error) {
	e, _ := errors.AsType[*wire.StatusError](err)
	always := e != nil && (e.Code == wire.CodeUnsupported || e.Code == wire.CodePermissionDenied)
	if always || l.fstatFailed.Add(1) >= 3 {
		l.noFstat.Store(true)
	}
}

// known reports whether anything was learnt.
func (f *feature) known() bool { return f.state.Load() != 0 }

// learn remembers what a server does, unless that is known.
func (f *feature) learn(works bool) {
	state := featureAbsent
	if works {
		state = featureWorks
	}
	f.state.CompareAndSwap(0, state)
}

// works reports whether the server is known to do it.
func (f *feature) works() bool { return f.state.Load() == featureWorks }

// refused learns from an answer, nil for success, and reports whether the server is now
// known not to do it. A refusal without a reason says so only where it never worked
// before.
func (f *feature) refused(err error) bool {
	if err == nil {
		f.state.CompareAndSwap(0, featureWorks)
		return false
	}
	e, ok := errors.AsType[*wire.StatusError](err)
	if !ok || e.Code == wire.CodeNoSuchFile {
		return false
	}
	if e.Code == wire.CodeUnsupported {
		f.state.Store(featureAbsent)
	} else {
		f.state.CompareAndSwap(0, featureAbsent)
	}
	return f.absent()
}

// fsyncRefused is refused for fsync. Its failure without a reason is that of a disk,
// which loses what was written, and never means that there is no fsync.
func (l *Limits) fsyncRefused(err error) bool {
	if e, ok := errors.AsType[*wire.StatusError](err); ok {
		switch e.Code {
		case wire.CodeUnsupported, wire.CodePermissionDenied, wire.CodeBadMessage: // OpenSSH's word for EINVAL
		default:
			return false
		}
	}
	return l.fsync.refused(err)
}

// dataChannels is how many data channels the server takes; ok is false while
// that is unknown.
func (l *Limits) dataChannels() (n int, ok bool) {
	v := l.channels.Load()
	return int(v) - 1, v > 0
}

// setDataChannels remembers that the server takes no more than n.
func (l *Limits) setDataChannels(n int) { l.channels.Store(int32(n) + 1) }

// shrinkReads remembers that the server answered a READ with n bytes where the file had
// more.
func (l *Limits) shrinkReads(n int) { lower(&l.readSize, n) }

// lower sets a limit to n if it is unknown or more than that.
func lower(limit *atomic.Int32, n int) {
	for {
		old := limit.Load()
		if old != 0 && int(old) <= n || limit.CompareAndSwap(old, int32(n)) {
			return
		}
	}
}

// readSizeFor is the size of READs on a channel that offers n bytes. A channel may not
// know yet what others were offered.
func (l *Limits) readSizeFor(n int) int {
	if offered := int(l.offeredRead.Load()); offered < n {
		l.offeredRead.Store(int32(n))
	} else {
		n = offered
	}
	if shown := int(l.readSize.Load()); shown > 0 && shown < n {
		return shown
	}
	return n
}

// noteRoundTrip notes how long an OPEN or OPENDIR took.
func (l *Limits) noteRoundTrip(d time.Duration) {
	for {
		old := l.roundTrip.Load()
		if old != 0 && old <= int64(d) || l.roundTrip.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// far reports whether a round trip takes longer than the processors take for a window
// of data.
func (l *Limits) far() bool { return time.Duration(l.roundTrip.Load()) >= farAway }

// farAway is 2 MiB at 250 MB/s, about what one connection's decryption gives.
const farAway = 8 * time.Millisecond
