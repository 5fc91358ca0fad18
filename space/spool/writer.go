package spool

import (
	"cmp"
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
)

// A file is written from its beginning, but pkg/sftp's server and many clients
// do several writes side by side. maxAhead bounds how far one may be ahead of the
// first gap, and with it what is lost of an upload that is cut. maxGaps bounds what
// a handle holds in memory.
const (
	maxAhead = 16 << 20 // bytes
	maxGaps  = 1024
)

// writer is a handle for writing. Its writes may come side by side.
type writer struct {
	s       uploads
	name    string // that it was opened by
	f       *file
	o       *object // f's part; nil while nothing is written of one that goes on with a received file
	file    *os.File
	named   atomic.Bool // the object's name is durable
	appends bool
	start   int64 // size when it was opened
	before  bool  // it goes on with a received file

	appending sync.Mutex   // held by a write to a file that was opened to append to it
	fileMu    sync.RWMutex // held for reading by what uses file, and for writing by what ends that

	mu        sync.Mutex
	unchanged bool            // nothing is written yet, and file is the received one
	prefix    int64           // [0, prefix) is written
	ahead     map[int64]int64 // written behind a gap: start → end
	rewrote   bool            // something before start
	noted     int64           // [0, noted) is durable, and the index says so
	flushing  int64           // a checkpoint of [0, flushing) is under way; 0: none is
	rewritten bool            // something that was noted: there are no more checkpoints
	modTime   time.Time       // that the client set; zero: none
	last      time.Time       // when it was used
	cut       error           // how the session ended with the handle open
	err       error           // what failed first; the upload is over
	closed    bool
}

var (
	_ sftp.WriterAtReaderAt = (*writer)(nil)
	_ sftp.TransferError    = (*writer)(nil)
	_ io.Closer             = (*writer)(nil)
)

// WriteAt implements io.WriterAt. After an error the upload has failed: all
// further writes do, and CLOSE removes it. A file that was opened to append to it is
// written at its end, whatever the offset (draft-ietf-secsh-filexfer-02, section 6.3):
// then the order of the writes is that of their calls.
func (w *writer) WriteAt(data []byte, off int64) (int, error) {
	if w.appends {
		w.appending.Lock()
		defer w.appending.Unlock()
		end := w.end()
		if end == 0 && off > 0 && len(data) > 0 { // its client saw a file that was imported since
			return 0, w.fail(errNoStart)
		}
		off = end
	}
	if len(data) > 0 && w.untouched() {
		if err := w.first(); err != nil {
			return 0, w.fail(w.s.refusals.answer("write", w.name, err))
		}
	}
	w.fileMu.RLock()
	defer w.fileMu.RUnlock()
	if err := w.admit(off, int64(len(data))); err != nil {
		return 0, w.fail(err)
	}
	if len(data) == 0 {
		return 0, nil
	}
	end := off + int64(len(data))
	w.s.mu.Lock()
	err := w.s.reserve(w.o, end)
	w.s.mu.Unlock()
	if err != nil {
		return 0, w.fail(err)
	}
	if err := w.beforeRewrite(off); err != nil {
		return 0, w.fail(w.s.refusals.answer("write", w.name, err))
	}
	n, err := w.file.WriteAt(data, off)
	if err != nil {
		return n, w.fail(w.s.refusals.answer("write", w.name, err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote(off, end)
	w.checkpointDue()
	return n, nil
}

// admit says whether a write may be done.
func (w *writer) admit(off, length int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return errClosed
	case off < 0 || off > math.MaxInt64-length:
		return errOffset
	case off > w.prefix && off+length-w.prefix > maxAhead:
		return w.s.tooFar(off + length)
	case off > w.prefix && len(w.ahead) >= maxGaps:
		return errOrder
	}
	return nil
}

// tooFar is why a write behind a large gap is refused. A file that would be too
// large anyway is told so.
func (s uploads) tooFar(end int64) error {
	s.mu.Lock()
	limit := s.limits.MaximumFileSize
	s.mu.Unlock()
	if limit > 0 && end > limit {
		return errTooLarge(limit)
	}
	return errOrder
}

// wrote takes a written range into account. The caller holds w.mu.
func (w *writer) wrote(start, end int64) {
	w.rewrote = w.rewrote || start < w.start
	if start > w.prefix {
		if w.ahead == nil {
			w.ahead = map[int64]int64{}
		}
		w.ahead[start] = max(end, w.ahead[start])
		return
	}
	w.prefix = max(w.prefix, end)
	for more := len(w.ahead) > 0; more; {
		more = false
		for s, e := range w.ahead {
			if s <= w.prefix {
				w.prefix = max(w.prefix, e)
				delete(w.ahead, s)
				more = true
			}
		}
	}
}

// ReadAt implements io.ReaderAt, for handles that were opened for both.
func (w *writer) ReadAt(to []byte, off int64) (int, error) {
	w.fileMu.RLock()
	defer w.fileMu.RUnlock()
	if off < 0 {
		return 0, errOffset
	}
	n, err := w.file.ReadAt(to, off)
	if errors.Is(err, os.ErrClosed) {
		return n, errClosed
	}
	return n, w.s.refusals.answer("read", w.name, err)
}

// truncate is what SETSTAT of a size does to a file that is being written. If it
// is refused the upload has failed, as clients may go on regardless: lftp does.
func (w *writer) truncate(size int64) error {
	if err := w.cutOrExtend(size); err != nil {
		return w.fail(w.s.refusals.answer("set the size of", w.name, err))
	}
	return nil
}

func (w *writer) cutOrExtend(size int64) error {
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	if err := w.beforeRewrite(size); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if size-w.prefix > maxAhead {
		return w.s.tooFar(size)
	}
	w.s.mu.Lock()
	err := w.s.reserve(w.o, size)
	w.s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := w.file.Truncate(size); err != nil {
		return err
	}
	w.last = time.Now()
	w.rewrote = w.rewrote || size < w.start
	w.prefix = min(w.prefix, size)
	for s, e := range w.ahead {
		switch {
		case s >= size:
			delete(w.ahead, s)
		case e > size:
			w.ahead[s] = size
		}
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.tree.bytes += size - w.o.size
	w.o.size = size
	return nil
}

// setTime notes the time that the file is to have once it is closed. The writes
// that were sent before may be done after it.
func (w *writer) setTime(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.modTime, w.last = t, time.Now()
}

// fail notes why the upload is over, and gives the error that was first.
func (w *writer) fail(err error) error {
	w.mu.Lock()
	first := w.err == nil
	if first {
		w.err = err
	}
	err = w.err
	w.mu.Unlock()
	if first {
		w.s.refusals.note(w.name, err)
	}
	return err
}

func (w *writer) idle() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.last)
}

// written is how much of the file is there without a gap.
func (w *writer) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.prefix
}

// untouched reports whether the upload is still nothing but the received file
// that it is to go on with.
func (w *writer) untouched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unchanged
}

// first makes the upload, as something is to be written.
func (w *writer) first() error {
	w.fileMu.Lock() // a client may read meanwhile
	defer w.fileMu.Unlock()
	return w.begin()
}

// addsNothing reports whether the upload, cut at prefix, is the complete file that it
// went on with, and nothing else.
func (w *writer) addsNothing(prefix int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.before && !w.rewrote && prefix == w.start
}

// release gives up a file of which nothing was written: it is what it was.
func (w *writer) release() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.f.writer == w {
		w.s.writerGone(w.f)
	}
}

// stop waits for the writes under way; all later ones fail with err.
func (w *writer) stop(err error) {
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	w.fail(err)
}

// TransferError implements sftp.TransferError: the session ended with the
// handle open, so that this is no CLOSE. pkg/sftp tells it for clients that
// disconnect properly as well.
func (w *writer) TransferError(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = err
}

// Close implements io.Closer: the client's CLOSE, or the end of its session.
func (w *writer) Close() error {
	w.fileMu.Lock()
	w.mu.Lock()
	again, cut, failed := w.closed, w.cut, w.err
	w.closed = true
	w.mu.Unlock()
	w.fileMu.Unlock()
	if again {
		return errClosed
	}
	switch {
	case !w.owns():
		w.file.Close()
		return cmp.Or(failed, errTaken)
	case w.untouched():
		w.release()
		w.file.Close()
		return failed
	case failed == nil && cut != nil:
		return w.s.refusals.answer("leave", w.name, w.s.leavePart(w))
	case failed == nil && w.gap():
		failed = w.fail(errGap)
	}
	if failed == nil {
		return w.s.refusals.answer("publish", w.name, w.s.accept(w))
	}
	if err := w.s.discardPart(w); err != nil {
		w.s.o.Log.Warn("spool: upload not removed", "name", w.name, "error", err)
	}
	return failed
}

// owns reports whether the part is still this writer's.
func (w *writer) owns() bool {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.f.writer == w
}

// end is where the next byte goes that is appended.
func (w *writer) end() int64 {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.o == nil { // nothing is written yet
		return w.start
	}
	return w.o.size
}

// gap reports whether something of the file was never written.
func (w *writer) gap() bool {
	w.s.mu.Lock()
	size := w.o.size
	w.s.mu.Unlock()
	return w.written() < size
}
