package sftpd

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults. Unless it is said otherwise the operation is carried out,
// and a kind fits every operation.
const (
	// Fail answers Fault.Status with Fault.Text. The operation is carried out
	// only if Fault.Done says so. StatusOK is a lie, then; WRITE is not answered
	// so, as a hole in a file is what nobody could tell. That READDIR or READ ends
	// too early (StatusEOF) can only be told from the size of a file.
	Fail Kind = "fail"
	// Hang never answers. The operation is carried out only if Fault.Done says so.
	Hang Kind = "hang"
	// Delay answers after Fault.Delay; requests behind it wait, too. Another
	// fault may come on top.
	Delay Kind = "delay"
	// ShortRead answers READ with fewer bytes than there are, and one at least.
	ShortRead Kind = "short read"
	// LongRead answers READ with more bytes than were asked for.
	LongRead Kind = "long read"
	// EmptyRead answers READ with no bytes where there are some.
	EmptyRead Kind = "empty read"
	// WrongID answers an id that nobody asked for.
	WrongID Kind = "wrong id"
	// WrongType answers with a packet of a type that does not fit.
	WrongType Kind = "wrong type"
	// Double answers twice.
	Double Kind = "double"
	// OutOfOrder holds the answer, and those to the requests that are under way
	// behind it, and gives them in the opposite order.
	OutOfOrder Kind = "out of order"
	// SameHandle answers OPEN or OPENDIR with a handle that is open already; it is
	// the new file's from then on.
	SameHandle Kind = "same handle"
	// Garbage sends a packet of random bytes instead of the answer.
	Garbage Kind = "garbage"
	// HugeLength sends a packet that is said to have 4 GiB less one byte.
	HugeLength Kind = "huge length"
	// CloseChannel closes the channel in the middle of the answer.
	CloseChannel Kind = "close channel"
	// CloseConnection closes the connection in the middle of the answer.
	CloseConnection Kind = "close connection"
	// DropWrite answers WRITE with OK and writes nothing; CLOSE of the handle
	// answers Fault.Status.
	DropWrite Kind = "drop write"
	// Attributes lies about a file as Fault.Lie says: to STAT, LSTAT, FSTAT, and
	// READDIR for each name by itself. Other faults may come on top.
	Attributes Kind = "attributes"
)

// Fault is what goes wrong, with what, and how often.
type Fault struct {
	Kind Kind
	// Ops are the operations; none are all that the kind fits.
	Ops []Op
	// Under is a path from the top of what is served ("/in"), with all below it, or
	// a glob of path.Match for the path, or without a slash for the base name.
	// Empty is any.
	Under string
	// Every lets only each so manieth operation that fits go wrong; 0 is each.
	Every int
	// Times ends the fault after so many; 0 never does.
	Times int
	// Status is for Fail and DropWrite; DropWrite takes StatusFailure for StatusOK.
	Status uint32
	// Text is what Fail tells beside the status; empty is the usual one.
	Text string
	// Done: the operation is carried out although Fail or Hang do not tell.
	Done bool
	// Delay is for Delay.
	Delay time.Duration
	// Lie is for Attributes.
	Lie Lie
}

// Lie says how what is told of a file differs from what it is.
type Lie struct {
	SizeDelta int64         // added to the size
	TimeDelta time.Duration // added to the times; whole seconds
	NoSize    bool
	NoTime    bool
	NoType    bool   // no permissions, which have the type
	Mode      uint32 // in place of type and permissions, unless 0
	// Random: each look is told the lie or not, by chance.
	Random bool
}

// fits says whether an operation can go wrong in this way.
func (k Kind) fits(op Op) bool {
	switch k {
	case ShortRead, LongRead, EmptyRead:
		return op == Read
	case SameHandle:
		return op == Open || op == Opendir
	case DropWrite:
		return op == Write
	case Attributes:
		return op == Stat || op == Lstat || op == Fstat || op == Readdir
	}
	return true
}

func (f *Fault) fits(op Op, paths []string) bool {
	if f.Kind == Fail && op == Write && f.Status == StatusOK && !f.Done {
		return false
	}
	if !f.Kind.fits(op) || len(f.Ops) > 0 && !slices.Contains(f.Ops, op) {
		return false
	}
	return f.Under == "" || slices.ContainsFunc(paths, f.under)
}

func (f *Fault) under(name string) bool {
	if name == f.Under || strings.HasPrefix(name, strings.TrimSuffix(f.Under, "/")+"/") {
		return true
	}
	if !strings.Contains(f.Under, "/") {
		name = path.Base(name)
	}
	matched, err := path.Match(f.Under, name)
	return err == nil && matched
}
