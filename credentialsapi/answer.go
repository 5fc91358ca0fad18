package credentialsapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxAnswer   = 64 << 10 // bytes of an answer, and of its header
	maxUsername = 255      // bytes
	maxPassword = 4096     // bytes
	maxTitle    = 120      // bytes of a problem's title that are repeated
	defaultPort = 22
)

// Login is what the API gives. Printing, logging or marshalling it shows all but
// the password. Two Logins are equal (==) if they are of one fetch.
type Login struct {
	Username string `json:"username"`
	Host     string `json:"host"` // a name or an IP address, without brackets
	Port     int    `json:"port"` // 1 to 65535

	password *string // fmt shows unexported fields too, but follows no pointer in them
}

// Password gives the password itself.
func (l Login) Password() string {
	if l.password == nil {
		return ""
	}
	return *l.password
}

// String gives user@host:port.
func (l Login) String() string {
	return l.Username + "@" + net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
}

// port is a number or a string of digits; "", 0 and null stand for 22.
type port int

var errPort = errors.New("has a port that is not a number from 1 to 65535")

// UnmarshalJSON implements json.Unmarshaler.
func (p *port) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if text == "null" {
		text = ""
	}
	if len(text) > 5 || strings.Trim(text, "0123456789") != "" {
		return errPort
	}
	number, err := strconv.ParseUint("0"+text, 10, 16)
	if err != nil {
		return errPort
	}
	*p = port(number)
	return nil
}

// parseAnswer reads the body of a success. Its errors go on after "the answer",
// and repeat nothing of it.
func parseAnswer(body []byte) (Login, error) {
	var answer struct {
		Data *struct {
			Username string `json:"username"`
			Password string `json:"password"`
			Host     string `json:"host"`
			Port     port   `json:"port"`
		} `json:"data"`
	}
	if !utf8.Valid(body) { // which the decoder would mend silently, also in a password
		return Login{}, errors.New("is not UTF-8")
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		if errors.Is(err, errPort) {
			return Login{}, errPort
		}
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Login{}, errors.New(`is not {"data": {"username", "password", "host", "port"}}`)
		}
		return Login{}, errors.New("is not JSON")
	}
	d := answer.Data
	if d == nil {
		return Login{}, errors.New("has no data")
	}
	host, ok := checkHost(d.Host)
	switch {
	case !printable(d.Username) || len(d.Username) > maxUsername:
		return Login{}, errors.New("has no username that can be used")
	case d.Password == "" || len(d.Password) > maxPassword:
		return Login{}, errors.New("has no password that can be used")
	case !ok:
		return Login{}, errors.New("has no host that can be used: it has to be a name or an IP address")
	}
	if d.Port == 0 {
		d.Port = defaultPort
	}
	return Login{Username: d.Username, Host: host, Port: int(d.Port), password: &d.Password}, nil
}

// checkHost takes names of DNS and IP addresses; an IPv6 address may be in brackets.
func checkHost(host string) (string, bool) {
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil && ip.Zone() == "" && (bare == host || ip.Is6()) {
		return bare, true
	}
	if len(host) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return "", false
		}
	}
	return host, true
}

// printable reports whether there is text, and no control or other invisible character in it.
func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// problemTitle gives the title of an RFC 9457 problem, quoted and bounded, or
// "". A title that repeats the secret key is none.
func problemTitle(body []byte, secretKey string) string {
	var problem struct {
		Title string `json:"title"`
	}
	if json.Unmarshal(body, &problem) != nil || problem.Title == "" || strings.Contains(problem.Title, secretKey) {
		return ""
	}
	title := problem.Title
	if len(title) > maxTitle {
		title = strings.ToValidUTF8(title[:maxTitle], "") + "…"
	}
	return strconv.Quote(title)
}
