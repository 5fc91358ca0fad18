package sftpd

// Op is an operation of SFTP, as clients ask for it.
type Op string

// The operations of Fault.Ops and Change.Op.
const (
	Open     Op = "open"
	Close    Op = "close"
	Read     Op = "read"
	Write    Op = "write"
	Lstat    Op = "lstat"
	Fstat    Op = "fstat"
	Setstat  Op = "setstat"
	Fsetstat Op = "fsetstat"
	Opendir  Op = "opendir"
	Readdir  Op = "readdir"
	Remove   Op = "remove"
	Mkdir    Op = "mkdir"
	Rmdir    Op = "rmdir"
	Realpath Op = "realpath"
	Stat     Op = "stat"
	Rename   Op = "rename" // posix-rename@openssh.com, too
	Readlink Op = "readlink"
	Extended Op = "extended" // any other extension
)

// Extensions of OpenSSH, for Options.Without.
const (
	PosixRename = "posix-rename@openssh.com"
	Fsync       = "fsync@openssh.com"
	StatVFS     = "statvfs@openssh.com"
	Limits      = "limits@openssh.com"
)

// opOf is the operation that a packet type asks for, or "".
func opOf(kind byte) Op {
	switch kind {
	case typeOpen:
		return Open
	case typeClose:
		return Close
	case typeRead:
		return Read
	case typeWrite:
		return Write
	case typeLstat:
		return Lstat
	case typeFstat:
		return Fstat
	case typeSetstat:
		return Setstat
	case typeFsetstat:
		return Fsetstat
	case typeOpendir:
		return Opendir
	case typeReaddir:
		return Readdir
	case typeRemove:
		return Remove
	case typeMkdir:
		return Mkdir
	case typeRmdir:
		return Rmdir
	case typeRealpath:
		return Realpath
	case typeStat:
		return Stat
	case typeRename:
		return Rename
	case typeReadlink:
		return Readlink
	case typeExtended:
		return Extended
	}
	return ""
}

// byHandle says whether the operation names its file by a handle.
func (o Op) byHandle() bool {
	switch o {
	case Close, Read, Write, Fstat, Fsetstat, Readdir:
		return true
	}
	return false
}

// request is what a client asks.
type request struct {
	op    Op
	id    uint32
	name  string   // of an extension
	first string   // the path or handle that it names first
	more  body     // what follows
	paths []string // of the files that it is about, for faults
}

// parse reads a request up to its first string.
func parse(p []byte) (request, error) {
	b := body{rest: p[1:]}
	r := request{op: opOf(p[0]), id: b.uint32()}
	if r.op == Extended {
		r.name = b.string()
		if r.name == PosixRename {
			r.op = Rename
		}
	}
	if r.op != "" && r.name != Limits {
		r.first = b.string()
	}
	r.more = b
	if b.bad {
		return r, errMalformed
	}
	return r, nil
}
