package sftp

import (
	"encoding/json"
	"sync"
	"time"
)

// LimitsAge is how long a document of Limits is of use. A server may be improved without
// a new version, so that what it bears is learnt again after that.
const LimitsAge = 7 * 24 * time.Hour

// documentVersion is the version of limitsDocument. A document of another version is
// not read.
const documentVersion = 1

// limitsDocument is what outlasts the program of the limits of a server: what is costly
// to learn, as it takes a refusal, a lost connection, or a file that is written as a
// trial. A zero value is unknown. Each value makes us ask less of the server than it
// may bear. So one that is wrong makes a pass slower and harms no file.
//
// These are left out as a wrong one would harm:
//   - noFstat, statDiffers, statAdds, lateSize: a change of a file, or the failure of
//     a copy, would not be seen;
//   - reopenable: a server that removes a file when it was read would lose it;
//   - parallelWrites, if it works, and handlesProbed: a file would get wrong bytes;
//   - exclusiveOpen, renameKeepsTarget, posixRename: a foreign file would be overwritten,
//     or a name would be without its file for a while;
//   - fsync: a power cut would take a file that counts as delivered;
//   - handleTimes, pathTimes: a file would not get its time;
//   - rename, remove, truncate, resumeWrite: a file would be refused, left behind or
//     sent again that the server would take by now;
//   - statvfs: a full server would be found by filling it;
//   - takenEarly, hasWritten, hasRemoved: they are of a directory and not of a server.
//
// The others are learnt with the first answers, or are of one network or one session:
// offeredRead, roundTrip, outOfOrder, refusals, and the counters.
type limitsDocument struct {
	Version int `json:"version"`
	// Server is the identification string of SSH (RFC 4253, section 4.2) of the server.
	// Another one says that another software or version may bear something else.
	Server string    `json:"server"`
	Since  time.Time `json:"since"` // when the first of them was learnt
	learntLimits
}

// learntLimits is the values of a limitsDocument.
type learntLimits struct {
	Channels         int  `json:"channels,omitempty"`        // data channels, plus one
	ChannelHandles   int  `json:"channel_handles,omitempty"` // open files and directories of a channel
	OpenFiles        int  `json:"open_files,omitempty"`      // ... of the connection
	ReadSize         int  `json:"read_size,omitempty"`       // bytes
	OneReaddir       bool `json:"one_readdir,omitempty"`
	OpenInTurn       bool `json:"open_in_turn,omitempty"`
	OneWriteChannel  bool `json:"one_write_channel,omitempty"`
	NoParallelWrites bool `json:"no_parallel_writes,omitempty"`
}

// limitsOrigin says whose limits they are, and since when they are known.
type limitsOrigin struct {
	mu       sync.Mutex
	restored limitsDocument // taken over when its server is met
	document []byte         // the same, as it was handed in
	server   string         // the identification string of the first server that was met
	several  bool           // another one was met since
	since    time.Time      // when the first of what a document holds was learnt; zero: never
}

// Restore hands in a document that was kept. It counts once a session meets the server
// that it is of, unless it is older than LimitsAge by then. One that cannot be read says
// nothing. Restore is called before the first session.
func (l *Limits) Restore(document []byte) {
	var d limitsDocument
	if json.Unmarshal(document, &d) != nil || d.Version != documentVersion || d.Server == "" {
		return
	}
	l.origin.mu.Lock()
	defer l.origin.mu.Unlock()
	l.origin.restored, l.origin.document = d, document
}

// Document gives what is worth keeping at now; nil if that is nothing. It is the same
// until something else is learnt. Before a server is met it is what was restored. A
// server that identifies itself in more than one way may be several, and has none.
func (l *Limits) Document(now time.Time) []byte {
	o := &l.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server == "" {
		return o.document
	}
	d := limitsDocument{Version: documentVersion, Server: o.server, learntLimits: l.learnt()}
	if o.several || d.learntLimits == (learntLimits{}) {
		o.since = time.Time{}
		return nil
	}
	if o.since.IsZero() {
		o.since = now.UTC().Truncate(time.Second)
	}
	d.Since = o.since
	document, err := json.Marshal(d)
	if err != nil {
		return nil // an identification string is no reason to fail
	}
	return document
}

// meet notes how a server identifies itself, and takes over what is restored of it.
func (l *Limits) meet(server string, now time.Time) {
	o := &l.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server != "" {
		o.several = o.several || server != o.server
		return
	}
	o.server = server
	d := o.restored
	if age := now.Sub(d.Since); d.Server != server || age < 0 || age >= LimitsAge {
		return
	}
	o.since = d.Since
	l.takeOver(d.learntLimits)
}

// learnt gives the values of a document.
func (l *Limits) learnt() learntLimits {
	return learntLimits{
		Channels: int(l.channels.Load()), ChannelHandles: int(l.channelHandles.Load()), OpenFiles: int(l.openFiles.shown.Load()),
		ReadSize: int(l.readSize.Load()), OneReaddir: l.oneReaddir.Load(), OpenInTurn: l.openInTurn.Load(),
		OneWriteChannel: l.oneWriteChannel.Load(), NoParallelWrites: l.parallelWrites.absent(),
	}
}

// takeOver begins with the values of a document. What is out of range is unknown.
func (l *Limits) takeOver(v learntLimits) {
	if v.Channels > 0 && v.Channels <= maxChannels+1 {
		l.setDataChannels(v.Channels - 1)
	}
	if v.ChannelHandles > 0 && v.ChannelHandles <= noLimit {
		l.setChannelHandles(v.ChannelHandles)
	}
	if v.OpenFiles > 0 && v.OpenFiles <= noLimit {
		l.openFiles.lower(v.OpenFiles)
	}
	if v.ReadSize > 0 && v.ReadSize <= maxKeptRead {
		l.shrinkReads(v.ReadSize)
	}
	l.oneReaddir.Store(v.OneReaddir)
	l.openInTurn.Store(v.OpenInTurn)
	l.oneWriteChannel.Store(v.OneWriteChannel)
	if v.NoParallelWrites {
		l.parallelWrites.learn(false)
	}
}

// maxKeptRead is more bytes than any READ asks for.
const maxKeptRead = 1 << 30
