package smb

import (
	"cmp"
	"context"
	"net"
	"strings"
	"time"

	"sftpconnector/share"
	"sftpconnector/store/pending"
)

// Config says how to reach a share and where to write there.
type Config struct {
	Target

	// Username is user, DOMAIN\user or user@domain. Domain, where it is given,
	// is that of a plain user. A server that lets unknown users in as guests
	// ("map to guest" of Samba) does so unseen.
	Username, Domain string
	Password         string

	// Owner marks our pending files among those of other programs.
	Owner pending.Owner

	Timeouts Timeouts

	// Dial opens the TCP connection; nil: as usual.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Timeouts bound every wait; a zero one means its default.
type Timeouts struct {
	Dial      time.Duration // name resolution and TCP connection together: 20s
	Login     time.Duration // the handshake, the login and the share together: 20s
	Operation time.Duration // the server says nothing while it is waited for: 60s
}

func (c Config) withDefaults() Config {
	c.Port = cmp.Or(c.Port, share.DefaultPort)
	c.Timeouts.Dial = cmp.Or(c.Timeouts.Dial, 20*time.Second)
	c.Timeouts.Login = cmp.Or(c.Timeouts.Login, 20*time.Second)
	c.Timeouts.Operation = cmp.Or(c.Timeouts.Operation, 60*time.Second)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c
}

// login gives the user and the domain as NTLM wants them. user@domain is taken
// apart: the library cannot send it with an empty domain, as Windows does.
// Without a domain the account is one of the server itself.
func (c Config) login() (user, domain string) {
	user, domain = c.Username, c.Domain
	if d, u, ok := strings.Cut(user, `\`); ok {
		user, domain = u, d
	} else if at := strings.LastIndexByte(user, '@'); at > 0 && domain == "" {
		user, domain = user[:at], user[at+1:]
	}
	if domain == "." {
		domain = ""
	}
	return user, domain
}
