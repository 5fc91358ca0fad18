package config

import "reflect"

// SpaceServer is where uploads to Spaces are received.
type SpaceServer struct {
	Listen            string      `yaml:"listen"`            // empty: there is none
	PublicHost        string      `yaml:"public_host"`       // what clients are told; empty: the host of listen
	PublicPort        int         `yaml:"public_port"`       // 0: the port of listen
	MaximumFileSize   Size        `yaml:"maximum_file_size"` // of each file; a Space may differ
	InboxQuota        Size        `yaml:"inbox_quota"`       // of what one Space has received and not imported yet
	Connections       int         `yaml:"connections"`       // at a time, in all
	ConnectionsSpace  int         `yaml:"connections_per_space"`
	IdleTimeout       Duration    `yaml:"idle_timeout"`
	CredentialsExpiry Duration    `yaml:"credentials_expiry"` // 0: never
	SecretKeys        []SecretKey `yaml:"secret_keys"`
}

// Enabled reports whether uploads are received.
func (s SpaceServer) Enabled() bool { return s.Listen != "" }

// SecretKey lets a program ask for the credentials of Spaces.
type SecretKey struct {
	Name   string   `yaml:"name"`
	Key    Secret   `yaml:"key"` // or key_file
	Spaces []string `yaml:"spaces"`
}

// SameName says what happens to the imported file when one of the same name is
// uploaded again.
type SameName string

// The treatments of a second upload.
const (
	ReplaceSameName SameName = "replace"
	KeepBoth        SameName = "keep-both"
)

// Space is one receiver of uploads. Its name is what its clients log in with.
type Space struct {
	Name                     string   `yaml:"-"` // its key in the file
	DestinationDirectoryPath string   `yaml:"destination_directory_path"`
	SystemUsername           string   `yaml:"system_username"`
	SystemPassword           Secret   `yaml:"system_password"`   // or system_password_file
	MaximumFileSize          Size     `yaml:"maximum_file_size"` // 0: the server's
	InboxQuota               Size     `yaml:"inbox_quota"`       // 0: the server's
	SameName                 SameName `yaml:"same_name"`
	PublicKeys               []string `yaml:"public_keys"` // lines as of authorized_keys
	Retention                Duration `yaml:"retention"`
}

// Equal reports whether both have the same settings, as Connector.Equal does.
func (s SpaceServer) Equal(o SpaceServer) bool { return reflect.DeepEqual(s, o) }

// Equal reports whether both have the same settings, as Connector.Equal does.
// What the server's settings give a Space is not among them.
func (s *Space) Equal(o *Space) bool { return reflect.DeepEqual(s, o) }
