package interapp

import "time"

// ConfigurationFile is the configuration file of a daemon, beside what the daemon
// has loaded of it.
type ConfigurationFile struct {
	Path         string    `json:"path" doc:"Absolute; empty where the daemon was started without a file"`
	Version      string    `json:"version" doc:"Of the file as it stands now; other bytes are another version. It goes with each change"`
	Loaded       string    `json:"loaded" doc:"The version that the daemon runs with"`
	LoadedAt     time.Time `json:"loaded_at"`
	Newer        bool      `json:"newer" doc:"The file was changed since it was loaded"`
	LastReload   *Reload   `json:"last_reload" doc:"null before the first reload"`
	ReadOnly     string    `json:"read_only" doc:"Why the file cannot be written here; empty when it can"`
	YAML         string    `json:"yaml" doc:"The file, or empty where its secrets cannot be told from the rest; a secret that stands in it is shown as [redacted], and stays as it is when the text comes back so"`
	Mistakes     []string  `json:"mistakes" doc:"What is wrong with the file as it stands, each with its line and its key; a daemon does not load a file that has any"`
	Settings     []Setting `json:"settings" doc:"What is not of a connector or a Space: the server, the data directory, the Space server"`
	NewConnector []Setting `json:"new_connector" doc:"The settings that a new connector can be given, with their defaults"`
}

// Setting is one setting with its effective value.
type Setting struct {
	Key      string   `json:"key" doc:"Path of the key, with dots: sftp.host" example:"sftp.port"`
	Value    string   `json:"value" doc:"The effective value as YAML writes a scalar; of a list, its items joined with a comma and a blank; empty for a secret"`
	Values   []string `json:"values,omitempty" doc:"The items of a list"`
	List     bool     `json:"list,omitempty" doc:"It takes a list"`
	Default  string   `json:"default" doc:"What it is without the file"`
	Written  string   `json:"written" doc:"As the file has it, with its ${NAME}; empty where the file does not have it, and for a secret that is written out"`
	Line     int      `json:"line,omitempty" doc:"Where the file has it; 0 for a default"`
	Secret   bool     `json:"secret,omitempty" doc:"It can be set, and is never shown"`
	Set      bool     `json:"set" doc:"The file has it, or its _file twin"`
	Allowed  []string `json:"allowed,omitempty" doc:"The words that it may be, if it is one of a few"`
	Doc      string   `json:"doc" doc:"What it is for, in a sentence"`
	ByAPI    string   `json:"by_api,omitempty" doc:"The value that was set over the API, and counts instead of the file's"`
	Editable bool     `json:"editable" doc:"It can be changed by its key; others only as text: what holds an anchor or an alias, or spans lines"`
}

// ConnectorConfiguration is the configuration of one connector.
type ConnectorConfiguration struct {
	Connector string    `json:"connector"`
	Version   string    `json:"version" doc:"Of the whole file; it goes with each change"`
	Settings  []Setting `json:"settings" doc:"In the order of the documentation"`
	YAML      string    `json:"yaml" doc:"The connector's part of the file; secrets as in ConfigurationFile"`
}

// ConnectorChange changes, creates or removes a connector in the configuration file.
type ConnectorChange struct {
	Version string             `json:"version" doc:"Of the file that the change was made for; if the file is another one by now, nothing is changed"`
	Set     map[string]*string `json:"set,omitempty" doc:"Values by key, as YAML writes scalars; null removes the key, so that the default counts. A list has one item a line"`
	YAML    *string            `json:"yaml,omitempty" doc:"Instead of set: the connector's whole part of the file"`
	DryRun  bool               `json:"dry_run,omitempty" doc:"Say what would change, and check it; write nothing"`
	Check   bool               `json:"check,omitempty" doc:"Test the connection with the new settings before anything is written; one that fails stops the change unless force is set"`
	Force   bool               `json:"force,omitempty" doc:"Write it although the check fails"`
}

// ConnectorChanged says what became of a ConnectorChange.
type ConnectorChanged struct {
	Connector string       `json:"connector"`
	Saved     bool         `json:"saved"`
	Version   string       `json:"version" doc:"Of the file now"`
	Changes   []DiffLine   `json:"changes" doc:"The lines of the file that change, secrets hidden"`
	Settings  []SettingNow `json:"settings" doc:"The settings that change"`
	Warnings  []string     `json:"warnings" doc:"What to think of before it is saved, each in a sentence, such as a password in a file that others can read"`
	Check     *Check       `json:"check" doc:"null if none was asked for"`
	Backup    string       `json:"backup,omitempty" doc:"Where the file before the change is kept"`
	Reload    *Reload      `json:"reload" doc:"null unless it was saved"`
}

// DiffLine is a line of the file that goes or comes.
type DiffLine struct {
	Line int    `json:"line" doc:"Its number: in the file before, if it goes; after, if it comes"`
	Op   string `json:"op" enum:"-,+"`
	Text string `json:"text"`
}

// SettingNow is a setting before and after a change; secrets are hidden.
type SettingNow struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Reload says what came of reading the configuration file anew.
type Reload struct {
	At      time.Time `json:"at"`
	Error   string    `json:"error" doc:"Why the file was refused, and the old configuration is kept; empty when it is in force"`
	Added   []string  `json:"added" doc:"Connectors, and Spaces as spaces/ID"`
	Changed []string  `json:"changed"`
	Removed []string  `json:"removed"`
	Refused []string  `json:"refused" doc:"Settings that take effect at the next start, and what could not be gone over to"`
}

// AuditEntry says that somebody changed something, or fetched credentials.
type AuditEntry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Who       string    `json:"who" doc:"The name of the token; operator for the local operator"`
	From      string    `json:"from" doc:"The address that it came from"`
	Action    string    `json:"action" enum:"apply,check,retry,pause,resume,trust,schedule,configure,create,remove,reload,request,cancel,send,subscribe,unsubscribe,drop,credentials,revoke,upload,sign-in,sign-out"`
	Connector string    `json:"connector" doc:"Or a Space as spaces/ID; empty for what concerns neither"`
	Detail    string    `json:"detail" doc:"What exactly; never a secret"`
	OK        bool      `json:"ok" doc:"It was done; a change of the configuration that a failed check stopped was not, although its status is 200"`
	Status    int       `json:"status" doc:"The HTTP status of the answer"`
}

// AuditPage is a page of the audit, newest first.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Cursor  string       `json:"cursor" doc:"For the next page; empty on the last"`
}

// RequestPage is a page of requests, newest first.
type RequestPage struct {
	Requests []RequestState `json:"requests" doc:"Without the files of their replies"`
	Cursor   string         `json:"cursor" doc:"For the next page; empty on the last"`
}

// ServerHostKey is the key that a server shows, and what is remembered of it.
type ServerHostKey struct {
	Connector   string   `json:"connector"`
	Host        string   `json:"host" doc:"host:port as known_hosts has it"`
	Type        string   `json:"type" example:"ssh-ed25519"`
	Fingerprint string   `json:"fingerprint" doc:"SHA256:…"`
	Trusted     bool     `json:"trusted" doc:"It is the one that is remembered or configured"`
	Changed     bool     `json:"changed" doc:"Another one is trusted: to trust this one replaces it. Either the server was set up anew, or somebody sits between"`
	Pinned      []string `json:"pinned,omitempty" doc:"The fingerprints of sftp.host_key, if it has some: known_hosts does not count then"`
	KnownHosts  string   `json:"known_hosts" doc:"The file in which keys are remembered"`
	Remembered  []string `json:"remembered" doc:"Fingerprints that known_hosts has for the host"`
}

// TrustRequest remembers a host key. The fingerprint is the one that was looked at:
// if the server shows another one by now, nothing is remembered.
type TrustRequest struct {
	Fingerprint string `json:"fingerprint" pattern:"^SHA256:[A-Za-z0-9+/]{43}$" patternDescription:"a fingerprint, SHA256:…"`
	Replace     bool   `json:"replace,omitempty" doc:"Forget the keys of the host that are remembered"`
}

// Listing is what a pass would see: each file of the source with its state.
type Listing struct {
	Connector string    `json:"connector"`
	At        time.Time `json:"at"`
	Files     []File    `json:"files" doc:"The first ones by their names, at most as many as the limit"`
	Counts    Counts    `json:"counts" doc:"Of all files"`
	ToCopy    int64     `json:"to_copy" doc:"Files that a pass would copy"`
	More      bool      `json:"more" doc:"There are more files than the limit"`

	Failures []FileFailure `json:"failures" doc:"Files and directories that a pass could not do, with what to check next; at most 1,000"`
	Error    string        `json:"error" doc:"Why it is incomplete; empty when it is not"`
}

// Pause is a connector that does nothing until it is resumed.
type Pause struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason" maxLength:"500"`
}

// PauseRequest says why a connector is paused.
type PauseRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"500"`
}
