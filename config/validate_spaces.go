package config

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The bounds of the numbers of Spaces.
const (
	maxSpaceName        = 64 // bytes
	maxSpaceConnections = 10_000
	minIdle, maxIdle    = 10 * time.Second, 24 * time.Hour
	minExpiry           = time.Second
	minRSA              = 2048 // bits
)

// validateSpaces checks the server of uploads, the Spaces, and how they fit the
// rest of the file.
func (c *Config) validateSpaces(top *place) {
	at, spaces := top.at("space_server"), top.at("spaces")
	switch {
	case len(c.Spaces) > 0 && !c.SpaceServer.Enabled():
		at.at("listen").fail("required with spaces; allowed: HOST:PORT, such as 127.0.0.1:2022")
	case len(c.Spaces) == 0 && c.SpaceServer.Enabled():
		spaces.fail("at least one Space is required with space_server.listen")
	}
	c.SpaceServer.validate(at)
	if sameAddress(c.Server.Listen, c.SpaceServer.Listen) {
		at.at("listen").refuse("taken by server.listen; allowed: a port of its own")
	}
	c.validateSecretKeys(at.at("secret_keys"))
	folded := make(map[string]string)
	var earlier []*Space // those with a directory
	for _, name := range names(c.Spaces, spaces) {
		space, at := c.Spaces[name], spaces.at(name)
		space.validate(c.SpaceServer, at)
		if directory := at.at("destination_directory_path"); !directory.bad {
			space.validateApart(earlier, directory)
			earlier = append(earlier, space)
		}
		validateName("Space", name, maxSpaceName, at, folded, spaces)
	}
}

// validateApart keeps Spaces from overwriting each other's files.
func (s *Space) validateApart(others []*Space, at *place) {
	for _, other := range others {
		a, b := s.DestinationDirectoryPath, other.DestinationDirectoryPath
		switch {
		case plainPath(a) == plainPath(b):
			at.fail("the same as that of the Space %s; allowed: a directory of its own", quote(other.Name))
		case holds(a, b) || holds(b, a):
			at.fail("inside that of the Space %s, or around it; allowed: a directory of its own", quote(other.Name))
		}
	}
}

// everyAddress reports whether a host is none that a client can connect to, but
// stands for all addresses of a machine.
func everyAddress(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// validate checks the server's keys, which hold for Spaces that have none of their own.
func (s SpaceServer) validate(at *place) {
	if s.Listen != "" {
		if _, problem := loopback(s.Listen, "127.0.0.1:2022"); problem != "" {
			at.at("listen").refuse("%s", problem)
		} else if host, _, _ := net.SplitHostPort(s.Listen); everyAddress(cmp.Or(s.PublicHost, host)) {
			at.at("public_host").fail("required, since listen is every address of this machine; allowed: the name or the address that clients connect to")
		}
	}
	if s.PublicHost != "" {
		if problem := checkHost(s.PublicHost); problem != "" {
			at.at("public_host").fail("%s", problem)
		}
	}
	if s.PublicPort < 0 || s.PublicPort > 65535 {
		at.at("public_port").refuse("out of range; allowed: 1 to 65535, or 0 for the port of listen")
	}
	if s.MaximumFileSize == 0 {
		at.at("maximum_file_size").refuse("required; allowed: a size such as 100MB")
	}
	if s.InboxQuota < s.MaximumFileSize {
		at.at("inbox_quota").refuse("less than maximum_file_size, which is %v; allowed: as much and more", s.MaximumFileSize)
	}
	validateConnections(s.Connections, at.at("connections"))
	validateConnections(s.ConnectionsSpace, at.at("connections_per_space"))
	if idle := s.IdleTimeout.Std(); idle < minIdle || idle > maxIdle {
		at.at("idle_timeout").refuse("out of range; allowed: 10s to 24h")
	}
	if expiry := s.CredentialsExpiry.Std(); expiry != 0 && expiry < minExpiry {
		at.at("credentials_expiry").refuse("too short; allowed: 1s and more, or 0s for never")
	}
}

func validateConnections(number int, at *place) {
	if number < 1 || number > maxSpaceConnections {
		at.refuse("out of range; allowed: 1 to %d", maxSpaceConnections)
	}
}

// validate checks one Space. What it does not say is as the server has it.
func (s *Space) validate(server SpaceServer, at *place) {
	validateTarget(s.DestinationDirectoryPath, s.SystemUsername, s.SystemPassword, at)
	s.validateSizes(server, at)
	if s.Retention.Std() < minRetention {
		at.at("retention").refuse("too short; allowed: 1h and more")
	}
	for i, line := range s.PublicKeys {
		if problem := checkPublicKey(line); problem != "" {
			at.at("public_keys", "["+strconv.Itoa(i)+"]").fail("%s", problem)
		}
	}
}

// validateSizes checks that the largest file fits the inbox.
func (s *Space) validateSizes(server SpaceServer, at *place) {
	size, quota := s.MaximumFileSize, s.InboxQuota
	if size == 0 {
		size = server.MaximumFileSize
	}
	if quota == 0 {
		quota = server.InboxQuota
	}
	switch {
	case quota >= size:
	case s.InboxQuota != 0:
		at.at("inbox_quota").refuse("less than the maximum_file_size of %v; allowed: as much and more", size)
	case s.MaximumFileSize != 0:
		at.at("maximum_file_size").refuse("more than space_server.inbox_quota, which is %v; allowed: as much and less, or an inbox_quota of the Space's own", quota)
	}
}

// validateSecretKeys checks who may ask for credentials.
func (c *Config) validateSecretKeys(at *place) {
	names, secrets := make(map[string]bool), make(map[Secret]string)
	for _, token := range c.Server.Tokens {
		secrets[token.Token] = "the token " + quote(token.Name)
	}
	for i, key := range c.SpaceServer.SecretKeys {
		item := at.at("[" + strconv.Itoa(i) + "]")
		switch {
		case key.Name == "":
			item.at("name").fail("required; allowed: a name for the program that uses the key")
		case names[key.Name]:
			item.at("name").refuse("another secret key has this name; allowed: a name of its own")
		}
		names[key.Name] = true
		validateBearer(key.Key, "key", item)
		if other, taken := secrets[key.Key]; taken && key.Key != "" {
			item.at("key").fail("the same as %s; allowed: one of its own", other)
		}
		secrets[key.Key] = "the secret key " + quote(key.Name)
		spaces := item.at("spaces")
		if len(key.Spaces) == 0 {
			spaces.fail(`required; allowed: the names of Spaces, or "*" for all`)
		}
		for j, name := range key.Spaces {
			if _, there := c.Spaces[name]; !there && name != "*" {
				spaces.at("[" + strconv.Itoa(j) + "]").refuse(`there is no such Space; allowed: a name below spaces, or "*" for all`)
			}
		}
	}
}

// checkPublicKey gives what is wrong with a line of authorized_keys, or "". The
// line is not repeated: it may be the private key.
func checkPublicKey(line string) string {
	const allowed = "; allowed: a line of a .pub file, such as ssh-ed25519 AAAA… comment"
	if strings.Contains(line, "PRIVATE KEY") {
		return "a private key, which belongs to its owner alone" + allowed
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return "not a public key" + allowed
	case len(options) > 0:
		return "has options in front of the key, which are not obeyed here" + allowed
	case len(bytes.TrimSpace(rest)) > 0:
		return "more than one line" + allowed
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256:
		return ""
	case ssh.KeyAlgoRSA:
		if wrapped, ok := key.(ssh.CryptoPublicKey); ok {
			if public, ok := wrapped.CryptoPublicKey().(*rsa.PublicKey); ok && public.N.BitLen() >= minRSA {
				return ""
			}
		}
		return "an RSA key of too few bits; allowed: RSA from 2048 bits, or ssh-ed25519"
	}
	return "a kind of key that is not taken; allowed: ssh-ed25519, ECDSA, RSA from 2048 bits"
}

// sameAddress reports whether two listen addresses cannot both be listened on.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	plain := func(host string) string {
		switch host = strings.ToLower(host); host {
		case "localhost":
			return "127.0.0.1"
		case "0.0.0.0", "::":
			return ""
		}
		return host
	}
	hostA, hostB = plain(hostA), plain(hostB)
	return hostA == hostB || hostA == "" || hostB == ""
}
