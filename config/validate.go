package config

import (
	"maps"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Empty reports whether there is nothing that could be delivered: the daemon runs, so
// that the first connector can be added, and the verbs say so.
func (c *Config) Empty() bool { return len(c.Connectors) == 0 && len(c.Spaces) == 0 }

// validate reports values that are well-formed and cannot be right. The paths
// are absolute by now.
func (c *Config) validate(top *place) {
	if c.DataDirectory == "" {
		top.at("data_directory").fail("empty; allowed: a directory for the ledger and known_hosts")
	}
	c.Server.validate(top.at("server"))
	connectors := top.at("connectors")
	folded := make(map[string]string)
	for _, name := range names(c.Connectors, connectors) {
		at := connectors.at(name)
		c.Connectors[name].validate(at)
		c.validateSource(name, at.at("files", "source_directory_path"))
		if f := c.Connectors[name].Files; !c.Connectors[name].Uploads() {
			c.keepOut(f.DestinationDirectoryPath, at.at("files", "destination_directory_path"))
		} else if f.AfterCopy.Action == Move && filepath.IsAbs(f.AfterCopy.MoveTo) {
			c.keepOut(f.AfterCopy.MoveTo, at.at("files", "after_copy"))
		}
		validateName("connector", name, maxName, at, folded, connectors)
	}
	c.validateSpaces(top)
	for id, space := range c.Spaces {
		c.keepOut(space.DestinationDirectoryPath, top.at("spaces", id, "destination_directory_path"))
	}
}

// keepOut refuses a local directory that the other side chooses names in, where
// these could be the ledger's or those of inboxes and passwords.
func (c *Config) keepOut(path string, at *place) {
	if path != "" && !isShare(path) && c.DataDirectory != "" && (holds(path, c.DataDirectory) || holds(c.DataDirectory, path)) {
		at.refuse("it is, holds or lies in the data_directory, whose ledger and secrets a file could then replace; allowed: another directory")
	}
}

// validateSource keeps the ledger out of uploads.
func (c *Config) validateSource(name string, at *place) {
	connector := c.Connectors[name]
	if source := connector.Files.SourceDirectoryPath; connector.Uploads() && source != "" && holds(source, c.DataDirectory) {
		at.refuse("the data_directory is in it, and with it the ledger and its secrets; allowed: another local directory")
	}
}

// names are the keys of a mapping in the order of the file, so that mistakes
// that share a line come in the same order each time.
func names[T any](items map[string]T, at *place) []string {
	return slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		if byLine := at.at(a).line - at.at(b).line; byLine != 0 {
			return byLine
		}
		return strings.Compare(a, b)
	})
}

// validate checks the server's keys.
func (s Server) validate(at *place) {
	local, err := loopback(s.Listen, "127.0.0.1:8022")
	switch {
	case err != "":
		at.at("listen").refuse("%s", err)
	case !local && len(s.Tokens) == 0:
		at.at("listen").refuse("reaches beyond this machine, which needs at least one of server.tokens; allowed without: 127.0.0.1, [::1] or localhost")
	}
	tls := at.at("tls")
	if s.TLS.Certificate != "" && s.TLS.Key == "" {
		tls.at("key").fail("required with a certificate; allowed: both or neither")
	}
	if s.TLS.Certificate == "" && s.TLS.Key != "" {
		tls.at("certificate").fail("required with a key; allowed: both or neither")
	}
	names := make(map[string]bool)
	secrets := make(map[Secret]string)
	for i, token := range s.Tokens {
		item := at.at("tokens", "["+strconv.Itoa(i)+"]")
		token.validate(item)
		if token.Name == OperatorToken {
			item.at("name").refuse("the name of the token that the daemon makes for its own machine; allowed: another")
		}
		if token.Name != "" && names[token.Name] {
			item.at("name").refuse("another token has this name; allowed: a name of its own")
		}
		names[token.Name] = true
		if other, ok := secrets[token.Token]; ok && token.Token != "" {
			item.at("token").fail("the same as the token %s; allowed: one of its own", quote(other))
		}
		secrets[token.Token] = token.Name
	}
	if problem := validatePublicURL(s.PublicURL); problem != "" {
		at.at("public_url").refuse("%s", problem)
	}
	for i, text := range s.ReplyToAllow {
		if !allowsReplies(text) {
			at.at("reply_to_allow", "["+strconv.Itoa(i)+"]").fail("not understood; allowed: http:// or https://, a host, and a port or :*, such as http://127.0.0.1:*")
		}
	}
}

// validatePublicURL says what is wrong with a public URL, or "".
func validatePublicURL(text string) string {
	u, err := url.Parse(text)
	if text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && path.Clean("/"+u.Path) == "/"+strings.Trim(u.Path, "/") {
		return ""
	}
	return "not understood; allowed: https://HOST or https://HOST/PATH, as browsers have it"
}

// minToken is the least length of a token or a secret key, in characters.
const minToken = 16

// validate checks one token by itself.
func (t Token) validate(at *place) {
	if t.Name == "" {
		at.at("name").fail("required; allowed: a name for the program that uses the token")
	}
	validateBearer(t.Token, "token", at)
	if len(t.Scopes) == 0 {
		at.at("scopes").fail("required; allowed: one or more of read, request, apply, configure")
	}
	for i, scope := range t.Scopes {
		if scope == "" {
			at.at("scopes", "["+strconv.Itoa(i)+"]").fail("empty; allowed: read, request, apply, configure")
		}
	}
}

// validateBearer checks the secret of an Authorization header.
func validateBearer(secret Secret, key string, parent *place) {
	at := parent.at(key)
	switch text := secret.Reveal(); {
	case text == "":
		at.fail("required; allowed: at least %d characters, here or in a %s", minToken, key+fileTwin)
	case len(text) < minToken:
		at.fail("too short; allowed: at least %d characters", minToken)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		at.fail(unfit)
	}
}

// loopback reports whether a listen address is reached from this machine only.
// A name other than localhost may resolve to any address.
// A problem offers the example.
func loopback(listen, example string) (local bool, problem string) {
	allowed := "allowed: HOST:PORT, such as " + example
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, "not an address to listen on; " + allowed
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(number, 10) != port {
		return false, "the port must be a number from 0 (any free one) to 65535; " + allowed
	}
	if host != "" && checkHost(host) != "" {
		return false, "not an address to listen on; " + allowed
	}
	return loopbackHost(host), ""
}

// allowsReplies reports whether text is an item of reply_to_allow: an origin
// whose port may be *.
func allowsReplies(text string) bool {
	origin, _ := strings.CutSuffix(text, ":*")
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if origin != text && u.Port() != "" {
		return false
	}
	if port := u.Port(); port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return false
		}
	}
	return u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.Contains(u.Host, "*")
}
