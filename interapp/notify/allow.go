package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Allow says where may be posted: server.reply_to_allow, compiled. The zero
// Allow allows nothing.
type Allow struct{ origins []origin }

// origin is what an item of the list names, or where a URL leads. An IP address
// has one form only; the port of an item may be *.
type origin struct{ scheme, host, port string }

// NewAllow compiles what config has validated: http:// or https://, a host, and
// a port, :* for any or none for the scheme's own.
func NewAllow(items []string) (Allow, error) {
	var a Allow
	for _, item := range items {
		bare, anyPort := strings.CutSuffix(item, ":*")
		u, o, err := parse(bare)
		if err == nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || anyPort && u.Port() != "" || strings.Contains(o.host, "*")) {
			err = errors.New("has more than a scheme, a host and a port")
		}
		if err != nil {
			return Allow{}, fmt.Errorf("server.reply_to_allow: %q %w", item, err)
		}
		if anyPort {
			o.port = "*"
		}
		a.origins = append(a.origins, o)
	}
	return a, nil
}

// Check gives an error, a sentence for the caller who sent the URL as a
// reply_to, unless the list has its scheme, host and port. It looks nothing up:
// where a name leads is checked when it is connected to.
func (a Allow) Check(rawURL string) error {
	_, o, err := parse(rawURL)
	if err != nil {
		return fmt.Errorf("reply_to %w; server.reply_to_allow lists where replies may be posted", err)
	}
	if !slices.ContainsFunc(a.origins, o.matches) {
		return fmt.Errorf("reply_to leads to %q, which server.reply_to_allow does not have: add it there, or use another reply_to", o)
	}
	return nil
}

func (o origin) matches(item origin) bool {
	return o.scheme == item.scheme && o.host == item.host && (o.port == item.port || item.port == "*")
}

func (o origin) String() string { return o.scheme + "://" + net.JoinHostPort(o.host, o.port) }

// parse takes a URL that can be posted to. Its errors go on after the URL's
// name, and repeat nothing of it.
func parse(rawURL string) (*url.URL, origin, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return nil, origin{}, errors.New("is not a URL such as http://127.0.0.1:9000/replies")
	}
	o := origin{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if ip, err := netip.ParseAddr(o.host); err == nil {
		o.host = ip.String()
	}
	if o.port == "" {
		o.port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	number, err := strconv.ParseUint(o.port, 10, 16)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, origin{}, errors.New("does not begin with http:// or https://")
	case u.User != nil:
		return nil, origin{}, errors.New("has a user name or password in it")
	case strings.Contains(rawURL, "#"):
		return nil, origin{}, errors.New("has a fragment, the part after #")
	case err != nil || number == 0:
		return nil, origin{}, errors.New("has a port that is not from 1 to 65535")
	}
	return u, o, nil
}

// control checks the address that a connection to host is about to be made to,
// which is the only moment at which it is certain: DNS may answer differently
// each time, and resolvers take 127.1, 2130706433 or 0x7f.1 for an address. A
// name of the list does not open this machine, nor its neighbours on the link
// (where clouds keep their credentials); only their own address does, as a
// list with it means it, and localhost for loopback.
func control(host string) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if _, err := netip.ParseAddr(host); err == nil {
			return nil // no name, and the list has it
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		ip := to.Addr().Unmap()
		if ip.IsLoopback() && strings.EqualFold(host, "localhost") {
			return nil
		}
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return fmt.Errorf("the name leads to %s, which server.reply_to_allow has to list by that address", ip)
		}
		return nil
	}
}
