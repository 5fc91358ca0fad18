package inbox

import (
	"os"
	"time"
)

// After a restart nobody knows whether the machine was cut off as well: then what
// was acknowledged and never flushed may be there, be missing, or read as zeros.
// So the disk says of each part how much of it is durable, in one of two ways:
//
//   - A mark (the modification time cutTime) says that all of it is. It is set when a
//     client has left the part, and taken away, durably, before the part is written on.
//   - A note (an extended attribute) says how long the durable prefix is. It is
//     written while the upload goes on, after each flush.
//
// At Open a part is cut back to what is known to be durable. Where the file system
// takes no notes, that is nothing for a part without a mark. While the program
// runs, a client that comes back goes on behind all that was acknowledged.

// note is a number that stands beside a file or directory, by the name of its
// extended attribute.
type note string

const (
	durableNote note = "user.sftp-connector.durable"  // bytes of a part
	timeSetNote note = "user.sftp-connector.time-set" // when a client set the time of a directory, in Unix seconds
)

// checkpointEvery is how many bytes of an upload are flushed together. The end of the
// program costs an upload hardly more than twice that.
const checkpointEvery = 16 << 20

// cutTime marks a part that is durable to its end. A client cannot give a file this
// time: SFTP has none before 1970. Whatever is written gives a part another one.
var cutTime = time.Unix(-1, 0)

// durablePrefix is how much of a part is known to be on the disk.
func durablePrefix(dir *os.Root, base string) (int64, error) {
	f, err := dir.Open(base)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.ModTime().Equal(cutTime) {
		return info.Size(), nil
	}
	return min(info.Size(), readNote(f, durableNote)), nil
}

// settle makes a part durable that its client has left, and marks it. It closes the
// part, and goes through the descriptor that wrote it: another one need not be told
// that a write to the disk has failed.
func settle(dir *os.Root, base string, f *os.File, size int64) error {
	err := f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return dir.Chtimes(base, cutTime, cutTime)
}

// cutAt ends a part at size, which must be durable so far, and marks it.
func cutAt(dir *os.Root, base string, size int64) error {
	f, err := dir.OpenFile(base, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return settle(dir, base, f, size)
}

// reopen takes the mark away from a part that is to be written on, and notes what is
// durable of it instead. noted is the prefix that a restart will find.
func reopen(dir *os.Root, base string, f *os.File, prefix int64, now time.Time) (noted int64, err error) {
	if writeNote(f, durableNote, prefix) == nil {
		noted = prefix
	}
	if err := dir.Chtimes(base, now, now); err != nil {
		return 0, err
	}
	return noted, f.Sync()
}

// checkpointDue starts a checkpoint if enough was written since the last one. The
// caller holds w.mu and w.gate.
func (w *writer) checkpointDue() {
	if w.flushing > 0 || w.rewritten || w.prefix-w.noted < checkpointEvery {
		return
	}
	w.flushing = w.prefix
	go w.checkpoint(w.prefix)
}

// checkpoint flushes what was written, and notes that [0, prefix) is durable.
func (w *writer) checkpoint(prefix int64) {
	w.gate.RLock()
	defer w.gate.RUnlock()
	w.mu.Lock()
	over := w.err != nil || w.closed
	w.mu.Unlock()
	if over {
		return
	}
	if err := w.file.Sync(); err != nil {
		_ = w.fail(w.b.answer("flush", w.name, err))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushing = 0
	if w.rewritten {
		return
	}
	if writeNote(w.file, durableNote, prefix) != nil {
		w.rewritten = true // the file system takes no notes
		return
	}
	w.noted = prefix
}

// beforeRewrite is called before something of a part changes from off on. If that is
// noted to be durable it is not any more: the note goes first. There will be no
// other one, so that a client which writes here and there does not pay for each.
// The caller holds w.gate.
func (w *writer) beforeRewrite(off int64) error {
	w.mu.Lock()
	if off >= max(w.noted, w.flushing) {
		w.mu.Unlock()
		return nil
	}
	w.rewritten = true
	noted := w.noted > 0
	w.mu.Unlock()
	if !noted {
		return nil
	}
	if err := writeNote(w.file, durableNote, 0); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = 0
	return nil
}
