package interapp

import "time"

// Space is the state of one Space: what its clients have uploaded, how the
// import of that goes, and who may log in.
type Space struct {
	ID               string            `json:"id" doc:"What its clients log in with as their user name"`
	ConnectionStatus string            `json:"connection_status" doc:"Of the destination, as the last import found it"`
	Since            time.Time         `json:"since" doc:"When the Connection Status became what it is"`
	Hint             string            `json:"hint" doc:"What to check next; empty when all is well"`
	Error            string            `json:"error" doc:"The cause; empty when all is well"`
	Destination      string            `json:"destination_directory_path" doc:"Where files are imported to"`
	Inbox            Inbox             `json:"inbox"`
	Importing        *Running          `json:"importing" doc:"The import under way; null when none is"`
	LastImport       *Pass             `json:"last_import" doc:"The last import that ended; null when there was none"`
	Sessions         []SpaceSession    `json:"sessions" doc:"Who is logged in, the longest first"`
	Credentials      []SpaceCredential `json:"credentials" doc:"The passwords that work, oldest first"`
	PublicHost       string            `json:"public_host" doc:"Where clients find the server"`
	PublicPort       int               `json:"public_port"`
	HostKeys         []HostKey         `json:"host_keys" doc:"What clients are shown when they connect"`
}

// Inbox is what the clients of a Space have uploaded and what is not imported yet.
type Inbox struct {
	Bytes           int64  `json:"bytes" doc:"Uploads under way included"`
	Files           int    `json:"files"`
	Entries         int    `json:"entries" doc:"Files and directories, which take up names"`
	MaximumEntries  int    `json:"maximum_entries" doc:"How many there may be; uploads of new names that would pass it fail"`
	Full            string `json:"full" doc:"Why it takes no more uploads; empty when it does"`
	Quota           int64  `json:"quota_bytes" doc:"Uploads that would pass it fail"`
	MaximumFileSize int64  `json:"maximum_file_size_bytes"`
}

// SpaceSession is a client that is logged in.
type SpaceSession struct {
	Address string    `json:"address" doc:"The client's IP"`
	Client  string    `json:"client" doc:"The name and version that it gives"`
	Since   time.Time `json:"since"`
	Bytes   int64     `json:"bytes" doc:"That it has uploaded"`
}

// SpaceCredential is what may be told of a password of a Space.
type SpaceCredential struct {
	ID       string     `json:"id"`
	Created  time.Time  `json:"created"`
	By       string     `json:"by" doc:"The name of the secret key that fetched it; empty for an operator"`
	LastUsed *time.Time `json:"last_used" doc:"null when it was not used yet"`
	Expires  *time.Time `json:"expires" doc:"null when it works until it is revoked"`
}

// HostKey is a public key of the server.
type HostKey struct {
	Type        string `json:"type" example:"ssh-ed25519"`
	Fingerprint string `json:"fingerprint" doc:"As ssh shows it" example:"SHA256:…"`
}

// SpaceList is every Space, in the order of their ids.
type SpaceList struct {
	Spaces []Space `json:"spaces" doc:"Of the failures of a last import only the first ten"`
}

// SpaceFiles is what is in the inbox of a Space, and a page of what was
// imported from it.
type SpaceFiles struct {
	Space  string      `json:"space"`
	Inbox  []InboxFile `json:"inbox" doc:"By name, no more than limit; on the first page only"`
	More   int         `json:"inbox_more" doc:"Files of the inbox that match and are left out"`
	Files  []File      `json:"files" doc:"First those that could not be imported, then those that were, the newest first"`
	Cursor string      `json:"cursor" doc:"For the next page of files; empty on the last"`
}

// InboxFile is one file in the inbox of a Space.
type InboxFile struct {
	Name    string     `json:"name"`
	State   string     `json:"state" enum:"uploading,interrupted,waiting,ready,temporary,unsafe" doc:"uploading: a client writes it; interrupted: its connection was lost; waiting: it was touched a moment ago; ready: to be imported; temporary: waits for its final name; unsafe: no destination takes the name"`
	Since   time.Time  `json:"since" doc:"When it became so"`
	Size    int64      `json:"size"`
	ModTime *time.Time `json:"mod_time" doc:"null while it is being uploaded"`
}

// SFTPLogin is what a client needs to upload. The password is secret.
type SFTPLogin struct {
	Username string `json:"username" doc:"The Space"`
	Password string `json:"password"`
	Host     string `json:"host"`
	Port     string `json:"port" doc:"A string of digits" example:"22"`
}

// SFTPCredentials is the answer of /v1/auth/sftp-credentials.
type SFTPCredentials struct {
	Data SFTPLogin `json:"data"`
}

// NewCredentials is a password that was just made, with the login that it
// belongs to: nothing shows it again.
type NewCredentials struct {
	Space string `json:"space"`
	SpaceCredential
	Login   SFTPLogin         `json:"login"`
	Dropped []SpaceCredential `json:"dropped" doc:"Those that had to go for it, and work no more"`
}

// RevokedCredentials are passwords that work no more.
type RevokedCredentials struct {
	Space   string            `json:"space"`
	Revoked []SpaceCredential `json:"revoked"`
}
