package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// validateServer checks where the SFTP server is and who logs in there: as
// written, or as fetched from credentials_api.
func (s SFTP) validateServer(at *place) {
	if s.CredentialsAPI != (CredentialsAPI{}) {
		s.CredentialsAPI.validate(at.at("credentials_api"))
		s.validateFetched(at)
		return
	}
	if s.Host == "" {
		at.at("host").fail("required; allowed: the name or the address of the SFTP server")
	} else if problem := checkHost(s.Host); problem != "" {
		at.at("host").fail("%s", problem)
	}
	if s.Port < 1 || s.Port > 65535 {
		at.at("port").refuse("out of range; allowed: 1 to 65535")
	}
	if s.Username == "" {
		at.at("username").fail("required; allowed: the name to log in with")
	}
	s.validateLogin(at)
}

// validateFetched checks that nothing is given that is fetched.
func (s SFTP) validateFetched(at *place) {
	for _, given := range []struct {
		key string
		is  bool
	}{
		{"host", s.Host != ""}, {"port", at.at("port").given}, {"username", s.Username != ""}, {"password", s.Password != ""},
	} {
		if given.is {
			at.at(given.key).fail("fetched from credentials_api: remove it")
		}
	}
	if s.Authentication != Credentials && s.Authentication != Both {
		at.at("authentication").refuse("credentials_api fetches a password; allowed: %s, %s", Credentials, Both)
	}
	switch {
	case s.Authentication == Both && s.KeyPairsPath == "":
		at.at("key_pairs_path").fail("required with authentication: %s; allowed: the path of a private key", Both)
	case s.Authentication != Both && s.KeyPairsPath != "":
		at.at("key_pairs_path").fail(noKey)
	}
	if s.Authentication != Both && s.KeyPairsPassphrase != "" {
		at.at("key_pairs_passphrase").fail(noKey)
	}
}

// noKey is said of a key that goes with no fetched login.
const noKey = "not used: credentials_api fetches a password; remove it, or write authentication: both"

// validate checks that all of it is there. Errors repeat nothing of the URL:
// somebody may have put the key into it.
func (a CredentialsAPI) validate(at *place) {
	if a.URL == "" {
		at.at("url").fail("required with credentials_api; allowed: the https address that answers with the credentials")
	} else if problem := checkAPI(a.URL); problem != "" {
		at.at("url").fail("%s", problem)
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if key := a.SecretKey.Reveal(); key == "" {
		at.at("secret_key").fail("required with credentials_api; allowed: the secret key, here or in a secret_key_file")
	} else if strings.ContainsFunc(key, odd) {
		at.at("secret_key").fail(unfit)
	}
	if a.SpaceID == "" {
		at.at("space_id").fail("required with credentials_api; allowed: the id of the Space, such as us_sp_123")
	} else if strings.ContainsFunc(a.SpaceID, odd) {
		at.at("space_id").fail("not the id of a Space; allowed: visible ASCII without spaces, such as us_sp_123")
	}
}

// unfit is said of a secret that goes into a header.
const unfit = "has characters that an HTTP header cannot carry; allowed: visible ASCII without spaces"

// checkAPI gives what is wrong with the URL that a secret key is sent to, or "".
func checkAPI(text string) string {
	const allowed = "; allowed: https://HOST/PATH, or http:// to 127.0.0.1, [::1] or localhost"
	u, err := url.Parse(text)
	switch {
	case err != nil || checkHost(u.Hostname()) != "":
		return "not a URL" + allowed
	case !validPort(u):
		return "the port must be a number from 1 to 65535" + allowed
	case u.User != nil:
		return "has a user in it; the key secret_key takes what is secret" + allowed
	case strings.Contains(text, "#"):
		return "has a fragment (#)" + allowed
	case u.Query().Has("spaceId"):
		return "has a spaceId in it; the key space_id takes it" + allowed
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return "would send the secret key unencrypted" + allowed
	case u.Scheme != "https" && u.Scheme != "http":
		return "not a web address" + allowed
	}
	return ""
}

// validPort reports whether a URL's port is one, or not written.
func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	number, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && number > 0 && strconv.FormatUint(number, 10) == u.Port()
}

// loopbackHost reports whether a host is this machine for certain.
func loopbackHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || strings.EqualFold(host, "localhost")
}
