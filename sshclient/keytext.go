package sshclient

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// keyText is the text of a key file without what editors, mail programs and
// copying do to it: UTF-16, byte order marks, line ends of other systems and
// indentation.
func keyText(data []byte) string {
	text := strings.ReplaceAll(decodeUTF16(data), "\ufeff", "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	if !strings.Contains(strings.TrimSpace(text), "\n") {
		text = strings.ReplaceAll(text, `\n`, "\n") // from an environment variable
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeftFunc(line, unicode.IsSpace)
	}
	return strings.Join(lines, "\n")
}

// decodeUTF16 makes UTF-8 of UTF-16, with a byte order mark or without: keys
// start in ASCII.
func decodeUTF16(data []byte) string {
	var order binary.ByteOrder
	switch {
	case len(data) < 2:
		return string(data)
	case data[0] == 0xff && data[1] == 0xfe, data[0] != 0 && data[1] == 0:
		order = binary.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff, data[0] == 0 && data[1] != 0:
		order = binary.BigEndian
	default:
		return string(data)
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units))
}

// keyBlock is a PEM block (RFC 7468), read with more patience than that of
// package pem: it may stand anywhere in the text, and be broken anywhere.
type keyBlock struct {
	kind    string
	headers map[string]string // of RFC 1421
	data    []byte
	damaged bool // it does not end, or is no base64
}

var pemBegin = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]{1,64})-----`)

// maxKeyBlocks bounds what is read of one file; a chain of certificates has some.
const maxKeyBlocks = 64

// keyBlocks finds the PEM blocks.
func keyBlocks(text string) []keyBlock {
	var blocks []keyBlock
	for len(blocks) < maxKeyBlocks {
		at := pemBegin.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		kind := text[at[2]:at[3]]
		body, rest, ended := strings.Cut(text[at[1]:], "-----END "+kind+"-----")
		if !ended {
			rest = body
		}
		b := newKeyBlock(kind, body)
		b.damaged = b.damaged || !ended
		blocks, text = append(blocks, b), rest
	}
	return blocks
}

func newKeyBlock(kind, body string) keyBlock {
	b := keyBlock{kind: kind, headers: make(map[string]string)}
	var encoded strings.Builder
	for line := range strings.SplitSeq(body, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			b.headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
			continue
		}
		for _, r := range line {
			if !unicode.IsSpace(r) && r != '\u200b' { // U+200B has no width
				encoded.WriteRune(r)
			}
		}
	}
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded.String(), "="))
	b.data, b.damaged = data, err != nil || len(data) == 0
	return b
}
