package sftptest

import (
	"time"

	"golang.org/x/crypto/ssh"
)

// Silence is a point at which a connection falls silent: it stays open, and
// nothing more comes.
type Silence int

// The points of Silence, in the order in which a connection passes them.
const (
	Talkative         Silence = iota
	SilentFromAccept          // not even the version banner comes
	SilentInHandshake         // after the version banner
	SilentInLogin             // a login is never answered
	SilentAfterLogin          // nothing at all is answered, keepalives included
)

// EndOfListing is how the end of a directory is told.
type EndOfListing int

// The ways in which servers do that.
const (
	EndEOF   EndOfListing = iota // as the draft has it
	EndOK                        // a STATUS with OK
	EndEmpty                     // a NAME without names, however often it is asked for
)

// Faults are the switches of a Faulty server. The zero value is a server
// without faults. Fields with zero are off. Those of the connection, the login
// and the channels hold for what is opened after they are set; all others at once.
type Faults struct {
	// Of the connection.
	MaxConnections int // further ones are closed at once
	Silent         Silence
	HostKeys       []Key      // shown instead of HostKeys(tb); KnownHosts keeps the old ones
	Algorithms     ssh.Config // key exchanges, ciphers and MACs on offer; empty: the library's

	// Of the login.
	AuthMethods []string // of "password", "keyboard-interactive", "publickey"; nil: all; empty: no login succeeds
	// Rounds are the questions of keyboard-interactive, each to be answered
	// with the password; a round may have none. nil: one round, one question.
	Rounds [][]string

	// Of the channels.
	MaxChannels  int  // session channels for each connection; further ones are refused
	IgnoreFrom   int  // this and further channels of a connection are never answered
	DieAtChannel int  // so many open session channels are the end of the connection
	NoSFTP       bool // the sftp subsystem is refused

	// Of the protocol.
	NoExtensions   bool
	MaxRead        int    // bytes: an answer to READ is never longer
	RefuseReadOver int    // bytes: a longer READ fails
	MaxOpenFiles   int    // for each connection; one more OPEN fails
	MaxHandles     int    // the same, with directories
	DieAtHandles   int    // so many open files and directories of a channel are the end of that channel
	ConnectionDies bool   // with that channel
	OpenStatus     Status // of an OPEN or OPENDIR past a limit; StatusOK: StatusFailure
	// ReuseHandle reports whether a handle that is open is given out once more, where
	// open are on the channel. The older is served again when the newer is closed
	// (as by Erlang/OTP), or it is gone if ReuseReplaces is set.
	ReuseHandle     func(open int) bool
	ReuseReplaces   bool
	ShuffleReads    bool // answers to READs that are under way together come in another order
	NoAttributes    bool // READDIR gives names alone
	FullPaths       bool // READDIR gives names with the path of their directory
	EndOfListing    EndOfListing
	Version         uint32 // of the protocol; 0: 3
	Banner          string // of SSH; "": "SSH-2.0-sftptest"
	LexicalRealpath bool   // REALPATH does not look at the disk

	// Of uploads.
	Without         []string // extensions that are not offered
	MaxWrite        int      // bytes: a longer WRITE fails, and limits@openssh.com says so
	ShuffleWrites   bool     // answers to WRITEs that are under way together come in another order
	NoReadWrite     bool     // an OPEN for reading and writing is refused
	OneWriter       bool     // an OPEN for writing fails while the file is open for that already
	OwnCopies       bool     // each OPEN for writing without TRUNC begins an empty file of its own, under no name
	TruncatesAtOpen bool     // each OPEN for writing truncates the file, whatever its flags
	InSequence      bool     // a WRITE that does not follow the bytes before it fails
	RenameReplaces  bool     // RENAME overwrites what stands there
	Room            int64    // bytes that may be written, over all connections; then WRITEs fail; 0: any number

	// Of time. Delay is slept before each answer on a channel, so that requests
	// queue up behind it; for latency without that, see package relay.
	Delay     time.Duration
	Bandwidth int64 // bytes of file data a second, for each channel

	// The nth SFTP request of a connection, counted from 1, and the end of it.
	SilentAtRequest int   // it and all later ones are never answered; SSH itself goes on
	Unanswered      []Op  // these kinds of request are never answered
	FreezeAtRequest int   // the whole connection freezes, keepalives included
	DieAtRequest    int   // the TCP connection is closed instead of an answer
	DieAfterBytes   int64 // ... as soon as so many bytes of file data were sent
	DieAtWrite      int   // ... instead of the answer to the nth WRITE, which is done
	Deaths          int   // so many connections die, counted from the last Set; 0: every one

	// Of files.
	EOFAt  int64                       // READ finds the end of every file here at the latest, whatever STAT says
	OnOpen func(path string)           // called before a file is opened for reading
	OnRead func(path string, at int64) // called before each READ
	// OnWritten is called with the path of a file that was open for writing and is
	// closed, and with the new path of one that was renamed: before the answer.
	OnWritten func(path string)
	// Fail answers a request with a status of its own; StatusOK: go on. path is
	// absolute, as the client wrote it; for requests on a handle, the one opened.
	// A CLOSE that fails closes all the same.
	Fail func(op Op, path string) Status
	// FailOpen does the same for an OPEN, by its flags.
	FailOpen func(path string, flags uint32) Status

	// Attributes changes what READDIR, STAT, LSTAT and FSTAT say of a file; nil: nothing.
	// path is as for Fail; for READDIR that of the entry.
	Attributes func(op Op, path string, a *Attributes)

	// Of listings. The keys and values that are paths are directories below Root.
	Inject         map[string][]Injected // names added to the listing of a directory, which exists or is itself injected
	EndlessListing string                // this directory's listing never ends
	EndlessTree    string                // below this one, each directory has a directory "deeper" and a file "leaf.csv"
}

// Attributes are what an answer says of a file, and what it leaves out.
type Attributes struct {
	Size    int64
	ModTime time.Time
	Dir     bool // it is of a directory
	// NoMode leaves out permissions and type, NoType only the type.
	NoSize, NoTime, NoMode, NoType bool
}

// OfFiles makes a Faults.Attributes that changes what STAT, LSTAT and FSTAT say of files.
func OfFiles(change func(op Op, path string, a *Attributes)) func(Op, string, *Attributes) {
	return func(op Op, path string, a *Attributes) {
		if op != OpReaddir && !a.Dir {
			change(op, path, a)
		}
	}
}

// Injected is a file or directory that a listing claims to hold, under any name
// whatever: it is sent as it is. Opening it works too, by that name, by its
// last element, and by the path that a careless client makes of both.
type Injected struct {
	Name    string
	Dir     bool
	Content []byte
	Size    int64     // what attributes say; 0: the length of Content
	ModTime time.Time // zero: 2020-01-01
}

// HostileNames are names that no client may use as they are.
func HostileNames() []string {
	long := make([]byte, 10<<10)
	for i := range long {
		long[i] = 'n'
	}
	return []string{
		"..", "/", "", ".", "/etc/passwd", "../outside.csv", "a/b.csv", "a/../../outside.csv", "/outside.csv",
		"nul\x00.csv", `back\slash.csv`, `..\outside.csv`, `C:\outside.csv`, "invalid\xff\xfe.csv", string(long) + ".csv",
	}
}

// InjectNames makes a file of each name, for Faults.Inject.
func InjectNames(names ...string) []Injected {
	var in []Injected
	for _, n := range names {
		in = append(in, Injected{Name: n, Content: []byte("hostile")})
	}
	return in
}

// Op is the type of a request (draft-ietf-secsh-filexfer-02, section 3).
type Op byte

// The requests that a Faulty server answers.
const (
	OpInit     Op = 1
	OpOpen     Op = 3
	OpClose    Op = 4
	OpRead     Op = 5
	OpWrite    Op = 6
	OpLstat    Op = 7
	OpFstat    Op = 8
	OpSetstat  Op = 9
	OpFsetstat Op = 10
	OpOpendir  Op = 11
	OpReaddir  Op = 12
	OpRemove   Op = 13
	OpMkdir    Op = 14
	OpRmdir    Op = 15
	OpRealpath Op = 16
	OpStat     Op = 17
	OpRename   Op = 18
	OpReadlink Op = 19
	OpSymlink  Op = 20
	OpExtended Op = 200
)

// Status is the code of an SSH_FXP_STATUS answer (section 7 of the same draft).
type Status uint32

// The codes of SFTP 3.
const (
	StatusOK               Status = 0
	StatusEOF              Status = 1
	StatusNoSuchFile       Status = 2
	StatusPermissionDenied Status = 3
	StatusFailure          Status = 4
	StatusBadMessage       Status = 5
	StatusOpUnsupported    Status = 8
)

// Deny makes a Fail that refuses permission for the paths, whatever the request.
func Deny(paths ...string) func(Op, string) Status {
	return func(_ Op, path string) Status {
		for _, p := range paths {
			if p == path {
				return StatusPermissionDenied
			}
		}
		return StatusOK
	}
}

// Refuse makes a Fail that answers s to the given kinds of request.
func Refuse(s Status, ops ...Op) func(Op, string) Status {
	return func(op Op, _ string) Status {
		for _, o := range ops {
			if o == op {
				return s
			}
		}
		return StatusOK
	}
}
