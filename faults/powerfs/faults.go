//go:build linux

package powerfs

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Op is a call to the file system, as the kernel makes it.
type Op string

const (
	OpLookup    Op = "lookup"  // of a name; precedes most calls that have a path
	OpGetattr   Op = "getattr" // stat, and before most reads
	OpSetattr   Op = "setattr" // chmod, chown, utimens
	OpTruncate  Op = "truncate"
	OpCreate    Op = "create" // open of a file that is not there, mknod
	OpOpen      Op = "open"   // open of a file that is there
	OpRead      Op = "read"
	OpWrite     Op = "write"
	OpFallocate Op = "fallocate"
	OpFlush     Op = "flush"    // close
	OpFsync     Op = "fsync"    // also fdatasync, msync
	OpFsyncdir  Op = "fsyncdir" // fsync of a directory
	OpReaddir   Op = "readdir"
	OpMkdir     Op = "mkdir"
	OpRmdir     Op = "rmdir"
	OpUnlink    Op = "unlink"
	OpRename    Op = "rename"
	OpLink      Op = "link"
	OpSymlink   Op = "symlink"
	OpReadlink  Op = "readlink"
	OpStatfs    Op = "statfs"
)

// changes says whether the call fails where nothing may be written.
func (op Op) changes() bool {
	switch op {
	case OpSetattr, OpTruncate, OpCreate, OpWrite, OpFallocate, OpMkdir, OpRmdir, OpUnlink, OpRename, OpLink, OpSymlink:
		return true
	}
	return false
}

// Fault makes calls fail or wait. A call that fails has no effect at all.
//
// A page of a mapping that cannot be read is a SIGBUS for the program; Match can
// leave such files out (the -shm of SQLite).
type Fault struct {
	Ops   []Op                   // empty: all
	Under string                 // a slash path below the mount: it and all below it; empty: all
	Match func(path string) bool // further condition; nil: none. Called with locks held: it must only look at the path

	Errno syscall.Errno // 0: the call is only delayed
	// Delay goes before the call, or before its failure. It ends early when faults are
	// replaced, at a power cut, and when the caller is killed (the call then is not made).
	Delay time.Duration

	From  int // the first of the matching calls that is hit, from 1; 0: the first
	Every int // each n-th matching call from there on; 0 or 1: each
	Limit int // how many are hit at most; 0: without bound
}

// faults are those that are in force.
type faults struct {
	mu       sync.Mutex
	set      []*activeFault
	injected map[Op]int
	readOnly map[string]bool
	released chan struct{} // closed to end all delays that have begun
	stopped  bool
}

// activeFault is a fault with the number of calls that matched it, and were hit.
type activeFault struct {
	Fault
	calls, hits int
}

func (f *faults) init() {
	f.injected = map[Op]int{}
	f.readOnly = map[string]bool{}
	f.released = make(chan struct{})
}

// Inject replaces the faults that are in force; without arguments there are none.
func (f *FS) Inject(fs ...Fault) {
	set := make([]*activeFault, len(fs))
	for n := range fs {
		set[n] = &activeFault{Fault: fs[n]}
	}
	f.faults.mu.Lock()
	f.faults.set = set
	f.faults.mu.Unlock()
	f.faults.release()
}

// Injected tells how many calls were failed or delayed so far, by operation. Calls
// that failed as room was short or as writing was off are not counted.
func (f *FS) Injected() map[Op]int {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	return maps.Clone(f.faults.injected)
}

// SetReadOnly turns writing off or on for a path below the mount and all below it;
// "" is everything. Calls that would change something fail with EROFS, through open
// handles, too.
func (f *FS) SetReadOnly(under string, on bool) {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	if on {
		f.faults.readOnly[under] = true
	} else {
		delete(f.faults.readOnly, under)
	}
}

// release ends all delays that have begun.
func (f *faults) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		close(f.released)
		f.released = make(chan struct{})
	}
}

// stop ends all delays, also of calls to come.
func (f *faults) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = nil
	if !f.stopped {
		f.stopped = true
		close(f.released)
	}
}

// verdict is what is to happen to a call.
type verdict struct {
	errno    syscall.Errno
	delay    time.Duration
	released <-chan struct{}
}

// judge decides about a call on the paths that paths gives; it is asked only if
// that matters.
func (f *faults) judge(op Op, paths func() []string) verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v verdict
	if len(f.set) == 0 && len(f.readOnly) == 0 {
		return v
	}
	named := paths()
	if op.changes() {
		for under := range f.readOnly {
			if below(named, under) {
				return verdict{errno: syscall.EROFS}
			}
		}
	}
	for _, fault := range f.set {
		if fault.hit(op, named) {
			v.delay += fault.Delay
			if v.errno == 0 {
				v.errno = fault.Errno
			}
		}
	}
	if v.errno != 0 || v.delay > 0 {
		f.injected[op]++
		v.released = f.released
	}
	return v
}

// hit counts the call if the fault matches it, and says whether it is its turn.
func (f *activeFault) hit(op Op, paths []string) bool {
	if len(f.Ops) > 0 && !slices.Contains(f.Ops, op) || !below(paths, f.Under) ||
		f.Match != nil && !slices.ContainsFunc(paths, f.Match) {
		return false
	}
	f.calls++
	turn := f.calls - max(1, f.From)
	if turn < 0 || turn%max(1, f.Every) != 0 || f.Limit > 0 && f.hits >= f.Limit {
		return false
	}
	f.hits++
	return true
}

// below says whether one of the paths is the given one or below it.
func below(paths []string, under string) bool {
	return under == "" || slices.ContainsFunc(paths, func(path string) bool {
		return path == under || len(path) > len(under) && path[len(under)] == '/' && path[:len(under)] == under
	})
}

// wait sits a delay out. It says false if the call is not to be made, because the
// thread that made it was killed.
func (v verdict) wait(interrupted <-chan struct{}, thread uint32) bool {
	timer := time.NewTimer(v.delay)
	defer timer.Stop()
	// An interruption may be any signal. Which it was, and whether a deadly one
	// follows, must be looked up.
	var look <-chan time.Time
	for {
		select {
		case <-timer.C:
			return true
		case <-v.released:
			return true
		case <-interrupted:
			interrupted = nil
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			look = ticker.C
		case <-look:
			if killed(thread) {
				return false
			}
		}
	}
}

// killed says whether SIGKILL waits for a thread, or the thread is gone.
func killed(thread uint32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return true
	}
	for line := range bytes.Lines(status) {
		if set, ok := strings.CutPrefix(string(line), "SigPnd:"); ok {
			pending, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return err == nil && pending&(1<<(syscall.SIGKILL-1)) != 0
		}
	}
	return false
}
