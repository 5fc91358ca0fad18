package sshclient

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

// Config says how to reach a server, how to know that it is the right one, and how
// to log in.
type Config struct {
	Host     string // a name or an IP address
	Port     int    // 22 when zero
	Username string

	KeyPairs      bool   // log in with the key; false: with the password
	Both          bool   // log in with the key and the password, one after the other as the server wants them
	Agent         bool   // log in with the keys of the SSH agent
	Password      string // for password and keyboard-interactive
	KeyPath       string // an OpenSSH, PEM or PuTTY private key
	KeyPassphrase string
	// Answers are those to other prompts of keyboard-interactive than for the
	// password, by pattern: a part of the prompt, or a glob for all of it.
	Answers map[string]string

	HostKey    string     // PolicyKnownHosts (also ""), PolicyAcceptNew, or fingerprints "SHA256:…" with blanks between them
	KnownHosts KnownHosts // nil: no host is known
	Jump       *Jump      // the host to go through; nil: none

	LegacyAlgorithms bool // offer algorithms with known weaknesses too

	Timeouts Timeouts

	// Prompt is asked whether an unknown key shall be trusted and remembered;
	// nil: it is refused. It is called from another goroutine, must obey its
	// context, and may take its time: no deadline runs meanwhile.
	Prompt func(context.Context, HostKey) (bool, error)

	hop    bool // it is the jump host's own, made of Jump
	hopKey bool // and so is its key
}

// usesKey and usesPassword are what the login takes.
func (c Config) usesKey() bool { return c.KeyPairs || c.Both || c.Agent }

func (c Config) usesPassword() bool { return c.Both || !c.KeyPairs && !c.Agent }

// setting is the name of a setting of the login, for people.
func (c Config) setting(name string) string {
	if c.hop {
		return "sftp.proxy_jump_" + name
	}
	return "sftp." + name
}

// Jump is an SSH server that forwards the connection. Its key is checked
// against the known_hosts file, also where the target's is pinned. It gets its
// own password and key alone, but for the key or agent of the target where it
// has none: a key shows nothing to who sees it used.
type Jump struct {
	Username string
	Host     string
	Port     int // 22 when zero

	Password      string // "": none
	KeyPath       string // "": the target's key or agent, if it logs in with one
	KeyPassphrase string // of KeyPath
}

// Timeouts bound every wait; a zero one means its default.
type Timeouts struct {
	Dial      time.Duration // name resolution, and then the TCP connection: 20s each
	Handshake time.Duration // SSH handshake and login together: 20s
	Operation time.Duration // an answer of the server, or a write that it takes: 60s
	Keepalive time.Duration // between two questions whether the server is alive: 15s
}

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
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
func (c Config) Addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// viaJump is the configuration for the login on the jump host itself.
func (c Config) viaJump() Config {
	hop, j := c, c.Jump
	hop.Host, hop.Port, hop.Username, hop.Jump, hop.hop = j.Host, j.Port, j.Username, nil, true
	hop.Password, hop.Answers = j.Password, nil
	if j.KeyPath != "" {
		hop.KeyPath, hop.KeyPassphrase, hop.Agent, hop.hopKey = j.KeyPath, j.KeyPassphrase, false, true
	}
	key := j.KeyPath != "" || c.usesKey()
	hop.KeyPairs, hop.Both = key, key && j.Password != ""
	if hop.HostKey != PolicyAcceptNew {
		hop.HostKey = PolicyKnownHosts // a pinned fingerprint is the target's
	}
	return hop
}
