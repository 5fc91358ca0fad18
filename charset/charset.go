// Package charset turns the names of servers that do not speak UTF-8 into UTF-8 and
// back. An encoding is found by its name in the IANA's register or on the web; it
// has to hold ASCII as it is, so that paths are paths in it.
package charset

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// UTF8 is the name of the encoding that needs no translation.
const UTF8 = "utf-8"

// Encoding is one encoding of names. The nil Encoding is UTF-8. It may be used
// concurrently.
type Encoding struct {
	name string
	enc  encoding.Encoding
}

// errUnknown is what is said of a name that is none of an encoding that can be used.
var errUnknown = errors.New("not an encoding of names; allowed: utf-8, latin1, cp1252, shift-jis, or another one of the IANA that holds ASCII")

// Find gives the encoding of that name, nil for UTF-8 and "".
func Find(name string) (*Encoding, error) {
	name = strings.TrimSpace(name)
	if name == "" || strings.EqualFold(name, UTF8) {
		return nil, nil
	}
	enc := lookUp(strings.ToLower(name))
	if canonical, err := htmlindex.Name(enc); enc != nil && err == nil && canonical == UTF8 {
		return nil, nil
	}
	if enc == nil || !holdsASCII(enc) {
		return nil, errUnknown
	}
	return &Encoding{name: name, enc: enc}, nil
}

// lookUp asks the IANA first: on the web, "latin1" means another encoding.
func lookUp(name string) encoding.Encoding {
	windows := strings.Replace(name, "cp", "windows-", 1)
	for _, name := range []string{name, aliases()[name]} {
		if enc, err := ianaindex.IANA.Encoding(name); err == nil && enc != nil {
			return enc
		}
	}
	for _, name := range []string{name, windows} {
		if enc, err := htmlindex.Get(name); err == nil {
			return enc
		}
	}
	return nil
}

// aliases are Microsoft's numbers for what has a name.
func aliases() map[string]string {
	return map[string]string{"cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "latin-1": "latin1", "latin9": "iso-8859-15"}
}

// holdsASCII reports whether ASCII is itself in an encoding, and nothing but that:
// UTF-16 has a NUL in each letter, EBCDIC another slash, and ISO 2022 switches.
func holdsASCII(enc encoding.Encoding) bool {
	for _, text := range []string{ascii(), "a\x1b$B0!\x1b(Bz"} {
		decoded, err := enc.NewDecoder().String(text)
		if err != nil || decoded != text {
			return false
		}
		encoded, err := enc.NewEncoder().String(text)
		if err != nil || encoded != text {
			return false
		}
	}
	return true
}

// ascii is all of it that one can see.
func ascii() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// String is the name under which the encoding was found.
func (e *Encoding) String() string {
	if e == nil {
		return UTF8
	}
	return e.name
}

// Decode gives a name of a server in UTF-8. Of one that is not in the encoding, or
// would be another one when it is encoded again, the answer is not UTF-8, and Encode
// gives the same name for it.
func (e *Encoding) Decode(raw string) string {
	if e == nil || isASCII(raw) {
		return raw
	}
	name, err := e.enc.NewDecoder().String(raw)
	if err == nil && !strings.ContainsRune(name, utf8.RuneError) {
		if again, err := e.enc.NewEncoder().String(name); err == nil && again == raw {
			return name
		}
	}
	return escape(raw)
}

// Encode gives a name in UTF-8 as the server has it. The error, which is
// fs.ErrInvalid, says that it cannot have it.
func (e *Encoding) Encode(name string) (string, error) {
	if e == nil || isASCII(name) {
		return name, nil
	}
	if raw, ok := unescape(name); ok {
		return raw, nil
	}
	raw, err := e.enc.NewEncoder().String(name)
	if err == nil {
		if again, err := e.enc.NewDecoder().String(raw); err == nil && again == name {
			return raw, nil
		}
	}
	return "", &nameError{e.name}
}

// nameError is one of a name that has no form in an encoding.
type nameError struct{ encoding string }

func (e *nameError) Error() string {
	return fmt.Sprintf("the name has characters that %s lacks, the encoding of files.name_encoding", e.encoding)
}

func (e *nameError) Is(target error) bool { return target == fs.ErrInvalid }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// escape writes each byte beyond ASCII as a lone surrogate, which UTF-8 does not
// have: no name is taken for one of these.
func escape(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		if c := raw[i]; c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			b.Write([]byte{0xed, 0xb0 | c>>6, 0x80 | c&0x3f})
		}
	}
	return b.String()
}

// unescape gives what escape was given; false when the name is not of escape.
func unescape(name string) (string, bool) {
	if strings.IndexByte(name, 0xed) < 0 || utf8.ValidString(name) {
		return "", false
	}
	var raw []byte
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= utf8.RuneSelf {
			if len(name)-i < 3 || c != 0xed || name[i+1]&^3 != 0xb0 || name[i+2]&^0x3f != 0x80 {
				return "", false
			}
			c = name[i+1]<<6 | name[i+2]&0x3f
			i += 2
		}
		raw = append(raw, c)
	}
	return string(raw), true
}
