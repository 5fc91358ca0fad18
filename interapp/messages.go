package interapp

import (
	"strings"
	"time"
)

// spaceConnectors is what the names of connectors that import Spaces begin with.
// The configuration lets no other connector have such a name.
const spaceConnectors = "spaces/"

// SpaceConnector gives the name of the connector that imports the Space.
func SpaceConnector(space string) string { return spaceConnectors + space }

// SpaceOf gives the Space that the named connector imports, or "" for a
// connector of the configuration.
func SpaceOf(connector string) string {
	space, ok := strings.CutPrefix(connector, spaceConnectors)
	if !ok {
		return ""
	}
	return space
}

// TimeOrNull gives t in UTC as messages carry it: nil, which is null in JSON, for
// the zero time.
func TimeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Connector is the state of one connector.
type Connector struct {
	Name             string     `json:"name"`
	Direction        string     `json:"direction" enum:"download,upload"`
	ConnectionStatus string     `json:"connection_status" doc:"One of the words of the Connection Status"`
	Since            time.Time  `json:"since" doc:"When the Connection Status became what it is"`
	Hint             string     `json:"hint" doc:"What to check next; empty when all is well"`
	Error            string     `json:"error" doc:"The cause; empty when all is well"`
	Schedule         string     `json:"automatic_sftp_file_sync" doc:"N/A, an interval or a cron expression"`
	NextPass         *time.Time `json:"next_pass" doc:"When the next automatic pass starts; null for never"`
	HeldUntil        *time.Time `json:"held_until" doc:"No automatic pass before then, as the server refused the login; null when it did not"`
	SkippedTicks     int64      `json:"skipped_ticks" doc:"Automatic passes that were due while one ran"`
	Running          *Running   `json:"running" doc:"The pass under way; null when none is"`
	LastPass         *Pass      `json:"last_pass" doc:"The last pass that ended; null when there was none"`
	Paused           *Pause     `json:"paused,omitempty" doc:"It does nothing until it is resumed; absent when it is not paused"`
}

// Running is a pass under way.
type Running struct {
	Pass     string    `json:"pass"`
	Mode     string    `json:"mode" enum:"automatic,apply"`
	Started  time.Time `json:"started"`
	Progress *Progress `json:"progress"`
}

// Progress is how far a pass has come.
type Progress struct {
	Seen        int64  `json:"seen"`
	FilesDone   int64  `json:"files_done"`
	FilesFound  int64  `json:"files_found" doc:"Files to copy that were found so far"`
	BytesDone   int64  `json:"bytes_done"`
	BytesFound  int64  `json:"bytes_found"`
	ListingDone bool   `json:"listing_done" doc:"No more files will be found"`
	Doing       string `json:"doing" doc:"What the pass is at"`
}

// ConnectorList is every connector, in the order of their names.
type ConnectorList struct {
	Connectors []Connector `json:"connectors" doc:"Of the failures of a last pass only the first ten"`
}

// Pass is one pass: waiting for its turn, under way, or ended.
type Pass struct {
	Connector        string        `json:"connector"`
	Space            string        `json:"space,omitempty" doc:"The Space whose import it is, if it is one"`
	Pass             string        `json:"pass" doc:"Its number in the ledger; empty while it is queued"`
	Mode             string        `json:"mode" enum:"automatic,apply,request"`
	State            string        `json:"state" enum:"queued,running,succeeded,partial,failed,cancelled"`
	ConnectionStatus string        `json:"connection_status"`
	Hint             string        `json:"hint"`
	Error            string        `json:"error" doc:"Why it failed; empty when it did not"`
	Started          time.Time     `json:"started,omitzero" doc:"Absent while it is queued"`
	Finished         *time.Time    `json:"finished" doc:"null while it runs"`
	Files            Counts        `json:"files"`
	Failures         []FileFailure `json:"failures" doc:"At most 1,000 of them"`
}

// Ended reports whether the pass is over, well or not.
func (p Pass) Ended() bool { return p.State != "queued" && p.State != "running" }

// PassList is passes, newest first.
type PassList struct {
	Passes []Pass `json:"passes" doc:"Without their failures, which the ledger keeps by file"`
}

// PassMark is a pass in short.
type PassMark struct {
	Pass    string    `json:"pass" doc:"Its number in the ledger"`
	Mode    string    `json:"mode" enum:"automatic,apply,request"`
	State   string    `json:"state" enum:"running,succeeded,partial,failed,cancelled"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds" doc:"How long it took; of one that runs, so far"`
	Files   int64     `json:"files" doc:"Copied"`
	Bytes   int64     `json:"bytes" doc:"Of the copied files"`
	Failed  int64     `json:"failed" doc:"Failed, in quarantine, in conflict or unsafe"`
}

// RecentPasses is the last passes of connectors, newest first, by the names of these.
type RecentPasses struct {
	Connectors map[string][]PassMark `json:"connectors" doc:"Each that was asked for; Spaces as spaces/ID"`
}

// Counts are the files of a pass by what became of them.
type Counts struct {
	Seen        int64 `json:"seen" doc:"Files in the source directory"`
	Copied      int64 `json:"copied"`
	Present     int64 `json:"present" doc:"Delivered before, or found at the destination"`
	Waiting     int64 `json:"waiting" doc:"Not ready: they still change, or are too young"`
	Excluded    int64 `json:"excluded"`
	Failed      int64 `json:"failed" doc:"Files that could not be copied, and directories that could not be read"`
	Conflict    int64 `json:"conflict" doc:"A file that is not ours stands at the destination"`
	Quarantined int64 `json:"quarantined" doc:"Failed five times; released by retry"`
	Unsafe      int64 `json:"unsafe" doc:"Names and links that lead out of the directory"`
	Unverified  int64 `json:"unverified" doc:"Of the copied ones: the server did not confirm that what was read is what it listed; their originals are left alone"`
	Bytes       int64 `json:"bytes" doc:"Bytes of the copied files"`
}

// FileFailure is a file, or a directory, that a pass could not do.
type FileFailure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

// Check is the outcome of a staged connection test.
type Check struct {
	Connector        string  `json:"connector"`
	ConnectionStatus string  `json:"connection_status"`
	Hint             string  `json:"hint"`
	Error            string  `json:"error"`
	Stages           []Stage `json:"stages"`
	Paused           *Pause  `json:"paused,omitempty" doc:"It copies nothing until it is resumed, whatever the check says; absent when it is not paused"`
}

// Stage is one step of a Check.
type Stage struct {
	Stage  string `json:"stage" enum:"credentials,resolve,connect,handshake,host-key,authenticate,sftp,list,destination,inbox"`
	OK     bool   `json:"ok"`
	MS     int64  `json:"ms" doc:"How long it took, in milliseconds"`
	Detail string `json:"detail" doc:"What was found, or why it failed"`
}

// StageBegun says that a step of a Check begins.
type StageBegun struct {
	Stage string `json:"stage" enum:"credentials,resolve,connect,handshake,host-key,authenticate,sftp,list,destination"`
}

// File is one file as the ledger knows it.
type File struct {
	Name        string     `json:"name" doc:"Path below the source directory"`
	State       string     `json:"state" enum:"new,changed,waiting,copying,delivered,present,failed,quarantined,conflict,excluded,unsafe"`
	Size        int64      `json:"size" doc:"In bytes; negative when the server did not say"`
	ModTime     *time.Time `json:"mod_time" doc:"null when the server did not say"`
	Target      string     `json:"target,omitempty" doc:"Path below the destination directory"`
	Pass        string     `json:"pass,omitempty"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty" doc:"When it was delivered, or found at the destination"`
	Unverified  bool       `json:"unverified,omitempty" doc:"The server did not confirm that what was read is what it listed; the original is left alone"`
	Gone        bool       `json:"gone,omitempty" doc:"The source does not have it any more"`
	Tries       int        `json:"tries,omitempty" doc:"How often it failed"`
	NextTry     *time.Time `json:"next_try,omitempty" doc:"An automatic pass leaves it alone until then"`
	Error       string     `json:"error,omitempty"`
	Reason      string     `json:"reason,omitempty" doc:"Why it is in this state"`
}

// FilePage is a page of files.
type FilePage struct {
	Files  []File `json:"files"`
	Cursor string `json:"cursor" doc:"For the next page; empty on the last"`
}

// RetryRequest names quarantined files to release; none means all.
type RetryRequest struct {
	Paths []string `json:"paths,omitempty"`
}

// RetryReply names the files that were released.
type RetryReply struct {
	Connector string   `json:"connector"`
	Released  []string `json:"released"`
}

// Schedule is a connector's automatic_sftp_file_sync.
type Schedule struct {
	AutomaticSFTPFileSync string `json:"automatic_sftp_file_sync" doc:"N/A, an interval such as 15m, or a cron expression"`

	InFile string      `json:"in_file,omitempty" readOnly:"true" doc:"What the configuration file says, where that is something else"`
	Next   []time.Time `json:"next,omitempty" readOnly:"true" doc:"The next five runs, in the connector's time zone"`
}

// MaxListing is how long a listing may take that comes as it goes.
const MaxListing = time.Hour

// MaxWait is how long the outcome of an Apply or a request may be waited for.
const MaxWait = 10 * time.Minute

// Problem is an error of the API, as in RFC 9457.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Error gives the detail.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}
