// Package sftp is a Source and a Destination over SFTP. The connection comes first: dial.go
// reaches the server, handshake.go makes an SSH connection of it with the help
// of hostkeys.go and auth.go, connection.go watches over it, and classify.go
// finds the word for what fails. Source (source.go) is what is read through it,
// Destination (destination.go) what is written.
package sftp

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"time"
)

// The values of Config.HostKey that are not a fingerprint.
const (
	PolicyKnownHosts = "known-hosts" // the key must be in the known_hosts file
	PolicyAcceptNew  = "accept-new"  // the key of a host that has none there is remembered
)

// Config says how to reach a server and what to read there.
type Config struct {
	Host     string // a name or an IP address
	Port     int    // 22 when zero
	Username string

	KeyPairs      bool   // log in with the key; false: with the password
	Password      string // for password and keyboard-interactive
	KeyPath       string // an OpenSSH, PEM or PuTTY private key
	KeyPassphrase string

	HostKey        string // PolicyKnownHosts (also ""), PolicyAcceptNew, or a fingerprint "SHA256:…"
	KnownHostsPath string // a missing file is an empty one
	Jump           *Jump  // the host to go through; nil: none

	LegacyAlgorithms bool // offer algorithms with known weaknesses too

	Root        string // the directory on the server that the names of entries start from
	Connections int    // how many channels at most; 0: as many as pay

	Owner  string // of a Destination: marks our pending files, 8 hexadecimal digits
	Direct bool   // of a Destination: files are written under their own names
	// Overwrite, of a Destination: where the server does not let us see what stands
	// under a name, that may be overwritten.
	Overwrite bool

	Timeouts Timeouts

	// Limits keeps what is learnt about the server from one Source to the next;
	// nil: it is forgotten.
	Limits *Limits

	// Prompt is asked whether an unknown key shall be trusted and remembered;
	// nil: it is refused. It is called from another goroutine, must obey its
	// context, and may take its time: no deadline runs meanwhile.
	Prompt func(context.Context, HostKey) (bool, error)
}

// Jump is an SSH server that forwards the connection. Its key is checked
// against the known_hosts file, also where the target's is pinned; the login is
// the one of the target, under Username.
type Jump struct {
	Username string
	Host     string
	Port     int // 22 when zero
}

// Timeouts bound every wait; a zero one means its default.
type Timeouts struct {
	Dial      time.Duration // name resolution, and then the TCP connection: 20s each
	Handshake time.Duration // SSH handshake and login together: 20s
	Operation time.Duration // an answer of the server, or a write that it takes: 60s
	Keepalive time.Duration // between two questions whether the server is alive: 15s
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.Port = cmp.Or(c.Port, 22)
	c.HostKey = cmp.Or(c.HostKey, PolicyKnownHosts)
	c.Timeouts.Dial = cmp.Or(c.Timeouts.Dial, 20*time.Second)
	c.Timeouts.Handshake = cmp.Or(c.Timeouts.Handshake, 20*time.Second)
	c.Timeouts.Operation = cmp.Or(c.Timeouts.Operation, 60*time.Second)
	c.Timeouts.Keepalive = cmp.Or(c.Timeouts.Keepalive, 15*time.Second)
	if c.Jump != nil {
		j := *c.Jump
		j.Port = cmp.Or(j.Port, 22)
		c.Jump = &j
	}
	return c
}

// addr is the target as host:port.
func (c Config) addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// viaJump is the configuration for the login on the jump host itself.
func (c Config) viaJump() Config {
	hop := c
	hop.Host, hop.Port, hop.Username, hop.Jump = c.Jump.Host, c.Jump.Port, c.Jump.Username, nil
	if hop.HostKey != PolicyAcceptNew {
		hop.HostKey = PolicyKnownHosts // a pinned fingerprint is the target's
	}
	return hop
}
