package spool

// After a restart nobody knows whether the machine was cut off as well: then what was
// acknowledged and never flushed may be there, be missing, or read as zeros. So the
// index has of each upload that is not complete how much of it is durable: written
// while the upload goes on, after each flush, and when a client has left it. More of
// it is never trusted. While the program runs, a client that comes back goes on behind
// all that was acknowledged.

// checkpointEvery is how many bytes of an upload are flushed together. The end of the
// program costs an upload hardly more than twice that.
const checkpointEvery = 16 << 20

// checkpointDue starts a checkpoint if enough was written since the last one. The
// caller holds w.mu and w.fileMu.
func (w *writer) checkpointDue() {
	if w.flushing > 0 || w.rewritten || w.prefix-w.noted < checkpointEvery {
		return
	}
	w.flushing = w.prefix
	go w.checkpoint(w.prefix)
}

// checkpoint flushes what was written, and has the index say that [0, prefix) is
// durable.
func (w *writer) checkpoint(prefix int64) {
	w.fileMu.RLock()
	defer w.fileMu.RUnlock()
	w.mu.Lock()
	over := w.err != nil || w.closed
	w.mu.Unlock()
	if over {
		return
	}
	err := w.s.makeDurable(w)
	if err == nil {
		err = w.note(prefix)
	}
	if err != nil {
		_ = w.fail(w.s.refusals.answer("flush", w.name, err))
	}
}

// note has the index say that [0, prefix) is durable, unless some of that was written
// again meanwhile.
func (w *writer) note(prefix int64) error {
	w.mu.Lock()
	w.flushing = 0
	if w.rewritten {
		w.mu.Unlock()
		return nil
	}
	w.noted = prefix // whoever writes to that has the index say less first
	w.say(prefix)
	w.mu.Unlock()
	return w.s.flush()
}

// say has the index say, with the next flush, how much of an upload is durable. The
// caller holds w.mu, so that nobody says otherwise meanwhile.
func (w *writer) say(durable int64) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.o.durable = durable
	w.s.tree.keep(w.o)
}

// beforeRewrite is called before something of an upload changes from off on. If the
// index says that this is durable it is not any more: the index says so first. There
// will be no other checkpoint, so that a client which writes here and there does not
// pay for each. The caller holds w.fileMu.
func (w *writer) beforeRewrite(off int64) error {
	w.mu.Lock()
	if off >= max(w.noted, w.flushing) {
		w.mu.Unlock()
		return nil
	}
	w.rewritten = true
	if off >= w.noted {
		w.mu.Unlock()
		return nil
	}
	w.say(min(off, w.o.durable))
	w.mu.Unlock()
	if err := w.s.flush(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = min(w.noted, off)
	return nil
}
