// Package schedule says what a run of the fault suite does: which connectors
// and Spaces there are, what happens to their files, and which faults hit them
// when. A schedule is drawn from a seed, is kept as JSON, and can be shrunk.
//
// Nothing here touches a file or a process.
package schedule

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Schedule is one run. Two runs of a schedule do the same things at the same
// times; what the product does meanwhile is its own business.
type Schedule struct {
	Seed       uint64      `json:"seed"`
	Connectors []Connector `json:"connectors"`
	Spaces     []Space     `json:"spaces,omitempty"`
	Steps      []Step      `json:"steps"` // in the order of their times
}

// Connector is a connector of the configuration, with the server and the
// destination that it works with.
type Connector struct {
	Name           string        `json:"name"`
	Direction      string        `json:"direction"`   // download | upload
	Server         string        `json:"server"`      // openssh | sftpd (the suite's own)
	Destination    string        `json:"destination"` // power (forgets what was not synced) | smb; of downloads only
	AfterCopy      string        `json:"after_copy"`  // leave | delete | move
	OnConflict     string        `json:"on_conflict"` // fail | overwrite
	Layout         string        `json:"layout"`      // tree | flat
	UploadName     string        `json:"upload_name"` // pending | direct
	Connections    int           `json:"connections"`
	Authentication string        `json:"authentication"` // key-pairs | credentials
	Settle         time.Duration `json:"settle"`
	Interval       time.Duration `json:"interval"`
}

// Takes reports whether originals go after they were delivered.
func (c Connector) Takes() bool { return c.AfterCopy != "leave" }

// Space is a Space of the configuration.
type Space struct {
	ID       string `json:"id"`
	SameName string `json:"same_name"` // replace | keep-both
	// Where its files come to: "spool" is the disk of the data directory, where an
	// import is a link; empty is another disk.
	Destination string `json:"destination,omitempty"`
}

// Step is something that happens at a time of the run. What the fields mean
// depends on Do.
type Step struct {
	At   time.Duration `json:"at"`
	On   string        `json:"on,omitempty"` // the connector or Space; empty: the daemon and its disks
	Do   Action        `json:"do"`
	Path string        `json:"path,omitempty"` // slash path of a file below the source
	To   string        `json:"to,omitempty"`
	Size int64         `json:"size,omitempty"`  // in bytes
	Part int           `json:"parts,omitempty"` // of a file that grows
	For  time.Duration `json:"for,omitempty"`   // how long a fault lasts
	Op   string        `json:"op,omitempty"`    // of the file system, or of SFTP
	Code int           `json:"code,omitempty"`  // an errno, or a status of SFTP
	Each int           `json:"each,omitempty"`  // each how manieth call
	Done bool          `json:"done,omitempty"`  // the server does what it then answers an error to
}

// Action is what a Step does.
type Action string

// What happens to files at a source.
const (
	Write     Action = "write"     // Path gets new contents of Size bytes, under its own name
	Publish   Action = "publish"   // the same, by a rename from another name
	Grow      Action = "grow"      // the same, in Part parts over For
	Remove    Action = "remove"    // Path goes
	Rename    Action = "rename"    // Path becomes To
	Directory Action = "directory" // a directory takes the place of Path
	Link      Action = "link"      // a link to To takes the place of Path
)

// What happens to files at a destination.
const (
	Take  Action = "take"  // its reader removes the copy of Path
	Plant Action = "plant" // a foreign file of Size bytes stands where Path would go
)

// What clients ask of the product.
const (
	Request Action = "request" // for the glob Path, with a reply address
	Apply   Action = "apply"
	Upload  Action = "upload" // of Path to a Space, Size bytes; Part > 0: cut before its end
)

// Faults of the daemon.
const (
	Kill   Action = "kill"   // SIGKILL, and a start after For
	Stop   Action = "stop"   // SIGSTOP for For
	Term   Action = "term"   // SIGTERM, and a start after For
	Reload Action = "reload" // SIGHUP
	Clock  Action = "clock"  // its wall clock goes by For from then on, forwards or backwards
)

// Faults of the line to a server.
const (
	Reset      Action = "reset"       // connections end at once
	ResetAfter Action = "reset-after" // they end when Size more bytes came from the server
	HalfOpen   Action = "half-open"   // for For, nothing arrives any more
	Stall      Action = "stall"       // for For, nothing moves
	OneByte    Action = "one-byte"    // for For, one byte at a time
	Refuse     Action = "refuse"      // for For, no connection is taken
)

// Faults of a server.
const (
	Restart        Action = "restart"         // it is away for For
	ChangeKey      Action = "change-key"      // another host key for For
	ChangePassword Action = "change-password" // another password for For
	RefuseLogins   Action = "refuse-logins"
	RefuseSessions Action = "refuse-sessions"
	Misbehave      Action = "misbehave" // Op is the kind of fault, as in package sftpd; each Each-th for For
)

// Faults of disks. On is the connector whose destination it is, or empty for
// the data directory.
const (
	PowerCut Action = "power-cut" // of all disks and the daemon at once
	Full     Action = "full"      // for For
	ReadOnly Action = "read-only" // for For
	Away     Action = "away"      // for For, each call about a destination answers Code, as for a mount whose server is gone
	DiskFail Action = "disk-fail" // each Each-th call of Op answers Code, for For
	DiskSlow Action = "disk-slow" // each Each-th call of Op takes 200 ms longer, for For
)

// Faults of the ledger and of receivers.
const (
	LockLedger    Action = "lock-ledger"    // another process has it for For
	GarbleLedger  Action = "garble-ledger"  // the daemon is ended, must not start with a broken ledger, and gets it back
	ReceiverFails Action = "receiver-fails" // for For, replies and deliveries are not taken
	RestartShare  Action = "restart-share"  // the SMB server is away for For
)

// Faults are the actions that are faults; the others are work.
func Faults() []Action {
	return []Action{
		Kill, Stop, Term, Reload, Clock,
		Reset, ResetAfter, HalfOpen, Stall, OneByte, Refuse,
		Restart, ChangeKey, ChangePassword, RefuseLogins, RefuseSessions, Misbehave,
		PowerCut, Full, ReadOnly, Away, DiskFail, DiskSlow,
		LockLedger, GarbleLedger, ReceiverFails, RestartShare,
		Take, Plant, Remove, Rename, Directory, Link,
	}
}

// Load reads a schedule that was kept.
func Load(file string) (Schedule, error) {
	var s Schedule
	data, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Save keeps a schedule.
func (s Schedule) Save(file string) error {
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// End is when the last step, and the last fault, is over.
func (s Schedule) End() time.Duration {
	var end time.Duration
	for _, step := range s.Steps {
		end = max(end, step.At+max(step.For, 0))
	}
	return end
}
