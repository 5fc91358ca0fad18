// Package config reads the configuration file: strictly, with every mistake
// named by file, line and key, and with what is allowed there.
package config

import (
	"reflect"
	"strings"
)

// Config is a whole configuration file, with defaults filled in, variables
// replaced, secrets read and relative paths made absolute.
type Config struct {
	DataDirectory string                `yaml:"data_directory"`
	Server        Server                `yaml:"server"`
	Connectors    map[string]*Connector `yaml:"connectors"`
	SpaceServer   SpaceServer           `yaml:"space_server"`
	Spaces        map[string]*Space     `yaml:"spaces"`
}

// Server is where the status pages, the inter-app API and the metrics are served.
type Server struct {
	Listen       string   `yaml:"listen"`
	TLS          TLS      `yaml:"tls"`
	Tokens       []Token  `yaml:"tokens"`
	ReplyToAllow []string `yaml:"reply_to_allow"`
	// PublicURL is where browsers find the pages behind a proxy: scheme, host and a
	// path below it; empty where there is no proxy.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are whose X-Forwarded-For is believed.
	TrustedProxies []Prefix `yaml:"trusted_proxies"`
}

// OperatorToken is the name of the token that the daemon makes for people on its own
// machine. No token of a file has it.
const OperatorToken = "operator"

// TLS names the files of a certificate and its key, in PEM; both or neither.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Enabled reports whether TLS is configured.
func (t TLS) Enabled() bool { return t.Certificate != "" }

// Scope is what a token allows.
type Scope string

// The scopes of a token.
const (
	ScopeRead      Scope = "read"
	ScopeRequest   Scope = "request"
	ScopeApply     Scope = "apply"
	ScopeConfigure Scope = "configure"
)

// Token lets a program use the API.
type Token struct {
	Name   string  `yaml:"name"`
	Token  Secret  `yaml:"token"` // or token_file
	Scopes []Scope `yaml:"scopes"`
}

// Direction is which way a connector copies.
type Direction string

// The directions of a connector.
const (
	Download Direction = "download"
	Upload   Direction = "upload"
)

// Connector is the configuration of one connector: where it reads, where it writes, and when.
type Connector struct {
	Name      string    `yaml:"-"` // its key in the file
	Direction Direction `yaml:"direction"`
	SFTP      SFTP      `yaml:"sftp"`
	Files     Files     `yaml:"files"`
	Sync      Schedule  `yaml:"automatic_sftp_file_sync"`
	TimeZone  TimeZone  `yaml:"time_zone"`
	InterApp  InterApp  `yaml:"interapp"`
	Retention Duration  `yaml:"retention"`

	// Space is whose uploads the connector imports; nil for a connector of the file.
	Space *Space `yaml:"-"`
}

// Uploads reports whether the connector copies from here to the server.
func (c *Connector) Uploads() bool { return c.Direction == Upload }

// Authentication is how a connector logs in.
type Authentication string

// The ways to log in.
const (
	Credentials Authentication = "credentials"
	KeyPairs    Authentication = "key-pairs"
	Both        Authentication = "both"  // a key and a password, one after the other
	Agent       Authentication = "agent" // the keys of the SSH agent
)

// The values of sftp.host_key that are not a fingerprint.
const (
	HostKeyKnownHosts = "known-hosts"
	HostKeyAcceptNew  = "accept-new"
)

// HostKey is how the server's key is checked: known-hosts, accept-new, or the
// fingerprints of the keys that are right. One stands without a list.
type HostKey []string

func (HostKey) oneOrMore() {}

// String has blanks between the items, as the store takes them.
func (k HostKey) String() string { return strings.Join(k, " ") }

// SFTP is the "SFTP Configuration" of a connector.
type SFTP struct {
	Host               string         `yaml:"host"`
	Port               int            `yaml:"port"`
	Username           string         `yaml:"username"`
	Authentication     Authentication `yaml:"authentication"`
	Password           Secret         `yaml:"password"` // or password_file
	KeyPairsPath       string         `yaml:"key_pairs_path"`
	KeyPairsPassphrase Secret         `yaml:"key_pairs_passphrase"` // or key_pairs_passphrase_file
	InteractiveAnswers Answers        `yaml:"interactive_answers"`  // each may be PROMPT_file
	HostKey            HostKey        `yaml:"host_key"`             // known-hosts, accept-new or SHA256:…
	KnownHostsPath     string         `yaml:"known_hosts_path"`
	Connections        int            `yaml:"connections"` // 0: start with one and grow where it pays
	ProxyJump          string         `yaml:"proxy_jump"`  // user@host:port
	JumpPassword       Secret         `yaml:"proxy_jump_password"`
	JumpKeyPairsPath   string         `yaml:"proxy_jump_key_pairs_path"`
	JumpPassphrase     Secret         `yaml:"proxy_jump_key_pairs_passphrase"`
	LegacyAlgorithms   bool           `yaml:"legacy_algorithms"`
	CredentialsAPI     CredentialsAPI `yaml:"credentials_api"`
}

// CredentialsAPI is where host, port, username and password are fetched from.
type CredentialsAPI struct {
	URL       string `yaml:"url"`
	SecretKey Secret `yaml:"secret_key"` // or secret_key_file
	SpaceID   string `yaml:"space_id"`
}

// Enabled reports whether the login is fetched.
func (a CredentialsAPI) Enabled() bool { return a.URL != "" }

// Symlinks says what happens to symbolic links of the source.
type Symlinks string

// The treatments of symbolic links.
const (
	FollowSymlinks Symlinks = "follow"
	SkipSymlinks   Symlinks = "skip"
)

// OnConflict says what happens to a destination file that is not ours.
type OnConflict string

// The treatments of a conflict.
const (
	FailOnConflict      OnConflict = "fail"
	OverwriteOnConflict OnConflict = "overwrite"
)

// Layout says how names at the destination are made.
type Layout string

// The layouts of a destination.
const (
	Tree Layout = "tree"
	Flat Layout = "flat"
)

// UploadName says under which name an upload is written.
type UploadName string

// The names of uploads.
const (
	UploadPending UploadName = "pending" // a temporary name, then a rename
	UploadDirect  UploadName = "direct"  // its own name from the start
)

// Files is the "File Handling Overview" of a connector. In direction upload the
// source is a local directory, and the destination is on the server.
type Files struct {
	SourceDirectoryPath      string       `yaml:"source_directory_path"`
	DestinationDirectoryPath string       `yaml:"destination_directory_path"`
	SystemUsername           string       `yaml:"system_username"`
	SystemPassword           Secret       `yaml:"system_password"` // or system_password_file
	Include                  []string     `yaml:"include"`
	Exclude                  []string     `yaml:"exclude"`
	MinimumAge               Duration     `yaml:"minimum_age"`
	Settle                   Duration     `yaml:"settle"`
	MaximumFileSize          Size         `yaml:"maximum_file_size"` // 0: none
	Symlinks                 Symlinks     `yaml:"symlinks"`
	AfterCopy                AfterCopy    `yaml:"after_copy"`
	OnConflict               OnConflict   `yaml:"on_conflict"`
	UploadName               UploadName   `yaml:"upload_name"`
	Layout                   Layout       `yaml:"layout"`
	NameEncoding             NameEncoding `yaml:"name_encoding"`   // of the names on the server
	BandwidthLimit           Rate         `yaml:"bandwidth_limit"` // bytes a second; 0: none
}

// InterApp names the classes of DataMiner messages, and their properties.
type InterApp struct {
	RequestClass string             `yaml:"request_class"`
	ReplyClass   string             `yaml:"reply_class"`
	Properties   InterAppProperties `yaml:"properties"`
}

// InterAppProperties names the properties of DataMiner messages: four of a
// request, then four of its reply.
type InterAppProperties struct {
	FileNameFilter           string `yaml:"file_name_filter"`
	FileTimeFrom             string `yaml:"file_time_from"`
	FileTimeTo               string `yaml:"file_time_to"`
	Timeout                  string `yaml:"timeout"`
	Success                  string `yaml:"success"`
	Description              string `yaml:"description"`
	FileNames                string `yaml:"file_names"`
	DestinationDirectoryPath string `yaml:"destination_directory_path"`
}

// Equal reports whether both have the same settings, the secrets from files
// and from the environment included; a reload leaves an equal connector alone.
// What stands in a key pair's file or in known_hosts is not a setting.
func (c *Connector) Equal(o *Connector) bool {
	if c == nil || o == nil {
		return c == o
	}
	a, b := *c, *o
	// A zone is loaded anew with each file and keeps a cache: its name decides.
	if a.TimeZone.String() != b.TimeZone.String() {
		return false
	}
	a.TimeZone, b.TimeZone = TimeZone{}, TimeZone{}
	return reflect.DeepEqual(a, b)
}
