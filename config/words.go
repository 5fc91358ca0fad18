package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sftpconnector/charset"
)

// choose sets dst to the one of its words that text is.
func choose[T interface {
	~string
	Words() []string
}](dst *T, text []byte) error {
	names := (*dst).Words()
	if slices.Contains(names, string(text)) {
		*dst = T(text)
		return nil
	}
	all := strings.Join(names, ", ")
	if near := nearest(string(text), names); near != "" {
		return fmt.Errorf("not known; did you mean %q? (allowed: %s)", near, all)
	}
	return fmt.Errorf("not known; allowed: %s", all)
}

// UnmarshalText reads one of the scopes.
func (s *Scope) UnmarshalText(text []byte) error {
	return choose(s, text)
}

// Words are all there are.
func (Scope) Words() []string {
	return []string{string(ScopeRead), string(ScopeRequest), string(ScopeApply), string(ScopeConfigure)}
}

// UnmarshalText reads one of the directions.
func (d *Direction) UnmarshalText(text []byte) error {
	return choose(d, text)
}

// Words are all there are.
func (Direction) Words() []string { return []string{string(Download), string(Upload)} }

// UnmarshalText reads one of the ways to log in.
func (a *Authentication) UnmarshalText(text []byte) error {
	return choose(a, text)
}

// Words are all there are.
func (Authentication) Words() []string {
	return []string{string(Credentials), string(KeyPairs), string(Both), string(Agent)}
}

// UnmarshalText reads one of the treatments of symbolic links.
func (s *Symlinks) UnmarshalText(text []byte) error {
	return choose(s, text)
}

// Words are all there are.
func (Symlinks) Words() []string { return []string{string(FollowSymlinks), string(SkipSymlinks)} }

// UnmarshalText reads one of the treatments of a conflict.
func (o *OnConflict) UnmarshalText(text []byte) error {
	return choose(o, text)
}

// Words are all there are.
func (OnConflict) Words() []string {
	return []string{string(FailOnConflict), string(OverwriteOnConflict)}
}

// UnmarshalText reads one of the layouts.
func (l *Layout) UnmarshalText(text []byte) error {
	return choose(l, text)
}

// Words are all there are.
func (Layout) Words() []string { return []string{string(Tree), string(Flat)} }

// UnmarshalText reads one of the names of uploads.
func (u *UploadName) UnmarshalText(text []byte) error {
	return choose(u, text)
}

// Words are all there are.
func (UploadName) Words() []string { return []string{string(UploadPending), string(UploadDirect)} }

// UnmarshalText reads one of the treatments of a second upload.
func (s *SameName) UnmarshalText(text []byte) error {
	return choose(s, text)
}

// Words are all there are.
func (SameName) Words() []string { return []string{string(ReplaceSameName), string(KeepBoth)} }

// NameEncoding is the encoding of names on a server, as package charset finds it.
type NameEncoding string

// UTF8 is the encoding of most servers.
const UTF8 NameEncoding = charset.UTF8

// UnmarshalText reads the name of an encoding.
func (n *NameEncoding) UnmarshalText(text []byte) error {
	if _, err := charset.Find(string(text)); err != nil || len(text) == 0 {
		return errors.New("not a known encoding; allowed: utf-8, latin1, cp1252, shift-jis, or another of the IANA that holds ASCII")
	}
	*n = NameEncoding(text)
	return nil
}

// Charset is the encoding itself.
func (n NameEncoding) Charset() *charset.Encoding {
	e, _ := charset.Find(string(n)) // UnmarshalText has found it
	return e
}

// AfterCopy is what becomes of an original once its copy is safe, written
// leave, delete or move:DIRECTORY.
type AfterCopy struct {
	Action AfterAction
	MoveTo string // the directory, on the source's side, for Move
}

// AfterAction is the first word of after_copy.
type AfterAction string

// The actions after a copy.
const (
	Leave  AfterAction = "leave"
	Delete AfterAction = "delete"
	Move   AfterAction = "move"
)

// String is the value as a file has it.
func (a AfterCopy) String() string {
	if a.Action == Move {
		return string(Move) + ":" + a.MoveTo
	}
	return string(a.Action)
}

// MarshalText is String.
func (a AfterCopy) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads leave, delete or move:DIRECTORY.
func (a *AfterCopy) UnmarshalText(text []byte) error {
	dir, move := strings.CutPrefix(string(text), string(Move)+":")
	switch {
	case string(text) == string(Leave), string(text) == string(Delete):
		*a = AfterCopy{Action: AfterAction(text)}
	case !move:
		return errors.New("not known; allowed: leave, delete, move:/a/directory")
	case dir == "" || strings.HasPrefix(dir, "~") || strings.ContainsRune(dir, 0):
		return errors.New("needs a directory, with ~ written out; allowed: move:/archive or the like")
	default:
		*a = AfterCopy{Action: Move, MoveTo: dir}
	}
	return nil
}

// TimeZone is a named zone of the tz database; the zero TimeZone is UTC.
type TimeZone struct{ *time.Location }

// MarshalText gives the zone's name.
func (z TimeZone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// UnmarshalText looks a zone up by its name; "Local" is the machine's own.
func (z *TimeZone) UnmarshalText(text []byte) error {
	location, err := time.LoadLocation(string(text))
	if err != nil || len(text) == 0 {
		return errors.New("not a known time zone; allowed: UTC, Local, or a name such as Europe/Brussels")
	}
	z.Location = location
	return nil
}

// Prefix is an IP address, or a range of them in CIDR notation.
type Prefix struct{ netip.Prefix }

// MarshalText gives the notation.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads an address or a range.
func (p *Prefix) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		p.Prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	parsed, err := netip.ParsePrefix(string(text))
	if err != nil {
		return errors.New("not an address or a range of them; allowed: 10.0.0.7, 10.0.0.0/8, 2001:db8::/32 or the like")
	}
	p.Prefix = parsed.Masked()
	return nil
}
