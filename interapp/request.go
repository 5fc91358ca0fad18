package interapp

import "time"

// Request asks a connector for files: those whose name and modification time
// pass both filters. Once they stand at the destination, the Reply names them.
type Request struct {
	ID             string          `json:"id,omitempty" doc:"Chosen by the caller, for idempotence: the same id gives the same answer; 1 to 200 printable ASCII characters without spaces. Empty: one is made"`
	Source         string          `json:"source,omitempty" maxLength:"200" doc:"Who asks, for people who read logs; it comes back in the reply"`
	FileNameFilter string          `json:"file_name_filter,omitempty" maxLength:"1000" doc:"A glob as in files.include, or regex: and a regular expression (RE2) for the path; empty for all files" example:"*.csv"`
	FileTimeFilter *FileTimeFilter `json:"file_time_filter,omitempty" doc:"By the modification time at the source; absent for all times"`
	ReplyTo        string          `json:"reply_to,omitempty" maxLength:"2000" doc:"Where the reply is posted; server.reply_to_allow has to allow it"`
	Timeout        string          `json:"timeout,omitempty" maxLength:"20" doc:"How long it may take, from 1s to 24h; the default is 5m" example:"5m"`
}

// FileTimeFilter is a span of modification times. A time without a zone is in
// the connector's time_zone. From is inclusive, To exclusive.
type FileTimeFilter struct {
	From      string `json:"from,omitempty" maxLength:"40" doc:"RFC 3339, or 2026-01-02T15:04:05 or 2026-01-02 in the connector's time zone; inclusive" example:"2026-01-01T00:00:00Z"`
	To        string `json:"to,omitempty" maxLength:"40" doc:"As from; exclusive"`
	NewerThan string `json:"newer_than,omitempty" maxLength:"20" doc:"Instead of from: so long before the request was accepted" example:"24h"`
}

// Reply is the final answer to a Request.
type Reply struct {
	ID          string         `json:"id"`
	Connector   string         `json:"connector"`
	Source      string         `json:"source"`
	Success     bool           `json:"success" doc:"Every file that matches is at the destination"`
	Description string         `json:"description" doc:"A sentence for people" example:"2 files copied, 1 already present"`
	Destination string         `json:"destination_directory_path"`
	FileNames   []string       `json:"file_names" doc:"Slash paths below the destination directory, in their order"`
	Files       []ReplyFile    `json:"files" doc:"The same files with what is known of them"`
	Waiting     []ReplyProblem `json:"waiting" doc:"Files that match and are not ready"`
	Failed      []ReplyProblem `json:"failed" doc:"Files that match and could not be copied, and directories that could not be read"`
}

// ReplyFile is a file that is at the destination.
type ReplyFile struct {
	Name       string     `json:"name" doc:"Slash path below the destination directory"`
	SourceName string     `json:"source_name" doc:"Slash path below the source directory"`
	Size       int64      `json:"size"`
	ModTime    *time.Time `json:"mod_time" doc:"At the source; null when the server did not say"`
	Status     string     `json:"status" enum:"copied,present" doc:"present: it was at the destination already"`
	Unverified bool       `json:"unverified,omitempty" doc:"The server did not confirm that what was read is what it listed; the original is left alone"`
}

// ReplyProblem is a file that is not at the destination, and why.
type ReplyProblem struct {
	Name   string `json:"name" doc:"Slash path below the source directory"`
	Reason string `json:"reason"`
}

// The states of a request. The last four are final.
const (
	RequestAccepted  = "accepted"
	RequestRunning   = "running"
	RequestReplied   = "replied"
	RequestFailed    = "failed"
	RequestExpired   = "expired"
	RequestCancelled = "cancelled"
)

// RequestState is a request and how far it has come.
type RequestState struct {
	ID        string     `json:"id"`
	Connector string     `json:"connector"`
	State     string     `json:"state" enum:"accepted,running,replied,failed,expired,cancelled"`
	Accepted  time.Time  `json:"accepted"`
	Deadline  time.Time  `json:"deadline" doc:"It expires then"`
	Finished  *time.Time `json:"finished" doc:"null while it is accepted or running"`
	Request   Request    `json:"request"`
	Progress  *Progress  `json:"progress" doc:"null unless it is running and connected"`
	Reply     *Reply     `json:"reply" doc:"null until it is finished"`
	Posting   *Posting   `json:"posting" doc:"How the posting to reply_to goes; null without reply_to, or before there is a reply"`
}

// Ended reports whether the state is final.
func (s RequestState) Ended() bool { return s.State != RequestAccepted && s.State != RequestRunning }

// Posting is what becomes of something that is posted to a receiver.
type Posting struct {
	Done    bool       `json:"done" doc:"The receiver has it"`
	Tries   int        `json:"tries"`
	NextTry *time.Time `json:"next_try" doc:"null when there will be none"`
	Error   string     `json:"error" doc:"Of the last try; empty when it went well"`
}

// Subscription asks to be told of every file that a connector delivers from
// now on and that passes both filters.
type Subscription struct {
	ID             string    `json:"id,omitempty" readOnly:"true"`
	Connector      string    `json:"connector,omitempty" readOnly:"true"`
	Space          string    `json:"space,omitempty" readOnly:"true" doc:"Whose imports it is about; absent for those of a connector"`
	Created        time.Time `json:"created,omitzero" readOnly:"true"`
	Source         string    `json:"source,omitempty" maxLength:"200" doc:"Who asks, for people who read logs"`
	FileNameFilter string    `json:"file_name_filter,omitempty" maxLength:"1000" doc:"As in a request" example:"*.csv"`
	From           string    `json:"from,omitempty" maxLength:"40" doc:"Files modified at that time or later; as in a request's file_time_filter"`
	To             string    `json:"to,omitempty" maxLength:"40" doc:"Files modified before that time"`
	ReplyTo        string    `json:"reply_to" maxLength:"2000" doc:"Where deliveries are posted; server.reply_to_allow has to allow it"`
	Pending        int64     `json:"pending" readOnly:"true" doc:"Deliveries that the receiver was not told of yet"`
	Posting        *Posting  `json:"posting,omitempty" readOnly:"true" doc:"How the posting of the first of them goes"`
}

// SubscriptionList is every subscription of a connector.
type SubscriptionList struct {
	Subscriptions []Subscription `json:"subscriptions"`
}

// Deliveries is what is posted to a subscriber: files in the order of their
// delivery. One that was posted before and not acknowledged comes again.
type Deliveries struct {
	Subscription string         `json:"subscription"`
	Connector    string         `json:"connector"`
	Space        string         `json:"space,omitempty" doc:"The Space that the files were uploaded to; absent for those of a connector"`
	Destination  string         `json:"destination_directory_path"`
	Files        []DeliveryFile `json:"files"`
}

// DeliveryFile is one delivered file.
type DeliveryFile struct {
	Sequence    int64     `json:"sequence" doc:"Grows from delivery to delivery; the same delivery has the same again"`
	DeliveredAt time.Time `json:"delivered_at"`
	ReplyFile
}
