package model

import (
	"path"
	"strings"
	"time"

	"sftpconnector/faults/schedule"
)

// Link is a symbolic link at the source, from when it was made.
type Link struct {
	To string // a path at the source
	At time.Time
}

// Facts are all that is known of a connector at the end of a run.
type Facts struct {
	Connector schedule.Connector
	Versions  []Version
	Links     map[string][]Link // what links at the source led to, by the links' paths
	Planted   map[string][]Sum  // foreign files that the suite put at the destination, by name
	Taken     map[string]bool   // names whose copies the suite removed from the destination
	Seen      []Sight           // what a reader found under final names, in the order of time
	Standing  map[string]Sum    // final names at the destination at the end
	Source    map[string]Sum    // files at the source at the end
	Archive   []Sum             // what after_copy has moved away
	Pending   []string          // temporary files that are left at the end
	Files     []File            // as the API tells them
	Passes    []Pass            // as the API tells them
	Failures  []Problem         // of the last Apply
	Outages   []Span            // when nothing could be delivered
	Requests  []Request
	Posted    []Delivery // what the subscriber of all files was told
	Ended     time.Time
	// ClockWrong: the product's wall clock was set during the run, so that the
	// times that it tells cannot be compared with others.
	ClockWrong bool
}

// Sight is the whole contents of a file under a final name.
type Sight struct {
	Name string // slash path below the destination
	Sum  Sum
	At   time.Time // when it was opened
}

// Span is from one time to another.
type Span struct {
	From, To time.Time
	Why      string
}

// File is a row of GET /api/v1/connectors/{name}/files.
type File struct {
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Size        int64      `json:"size"`
	Target      string     `json:"target"`
	Unverified  bool       `json:"unverified"`
	Gone        bool       `json:"gone"`
	DeliveredAt *time.Time `json:"delivered_at"`
	Error       string     `json:"error"`
	Reason      string     `json:"reason"`
}

// Delivered reports whether the ledger says that the file stands at the destination.
func (f File) Delivered() bool { return f.State == "delivered" || f.State == "present" }

// Pass is a pass of GET /api/v1/connectors/{name}/passes.
type Pass struct {
	Pass             string     `json:"pass"`
	Mode             string     `json:"mode"`
	State            string     `json:"state"`
	ConnectionStatus string     `json:"connection_status"`
	Error            string     `json:"error"`
	Started          time.Time  `json:"started"`
	Finished         *time.Time `json:"finished"`
	Files            Counts     `json:"files"`
	Failures         []Problem  `json:"failures"` // of an Apply that was waited for
}

// Counts are the files of a Pass.
type Counts struct {
	Seen, Copied, Present, Waiting, Failed, Conflict, Quarantined, Unverified int64
}

// Request is a request that was sent to the API, and what came of it.
type Request struct {
	ID       string
	Filter   string
	Sent     time.Time
	Accepted bool
	State    string    // at the end, as the API tells it
	Reply    *Reply    // at the end, as the API tells it
	Finished time.Time // as the API tells it
	Posted   []Reply   // what its reply address got
	ReplyTo  bool
}

// Reply is the answer to a request.
type Reply struct {
	ID        string      `json:"id"`
	Success   bool        `json:"success"`
	FileNames []string    `json:"file_names"`
	Files     []ReplyFile `json:"files"`
	Waiting   []Problem   `json:"waiting"`
	Failed    []Problem   `json:"failed"`
}

// ReplyFile is a file of a Reply.
type ReplyFile struct {
	Name       string `json:"name"`
	SourceName string `json:"source_name"`
	Size       int64  `json:"size"`
	Status     string `json:"status"`
}

// Problem is a file that a Reply or a Pass says is not there.
type Problem struct {
	Name   string `json:"name"`
	Reason string `json:"reason"` // in a Reply
	Error  string `json:"error"`  // in a Pass
}

// Delivery is a file that a subscriber was told of.
type Delivery struct {
	Sequence   int64  `json:"sequence"`
	Name       string `json:"name"`
	SourceName string `json:"source_name"`
	Size       int64  `json:"size"`
}

// Target is the name that a file of the source gets at the destination.
func Target(c schedule.Connector, name string) string {
	if c.Layout == "flat" {
		return path.Base(name)
	}
	return name
}

// Temporary reports whether a name is that of a pending file.
func Temporary(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".part")
}
