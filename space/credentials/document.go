package credentials

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// This file is the format of the credentials file: strict, as what it says
// opens doors, and a part of it must not be taken for the whole.

const (
	version  = 1
	maxFile  = 16 << 20 // bytes: some 50,000 passwords
	maxSpace = 128      // bytes of a Space's id
	idLength = 10       // characters of a password's id
)

// document is the file.
type document struct {
	Version     int      `json:"version"`
	Key         string   `json:"key"`         // keyMark of the key that it was made with
	Credentials []record `json:"credentials"` // as they were created
}

// record is what is kept of a password.
type record struct {
	Space string `json:"space"`
	Info
	HMAC digest `json:"hmac"`
}

// digest is the HMAC-SHA-256 of a password, in JSON as hexadecimal digits.
type digest [32]byte

// MarshalText implements encoding.TextMarshaler.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It repeats nothing of the text.
func (d *digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return errors.New("an HMAC has not 64 digits")
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return errors.New("an HMAC is not hexadecimal")
	}
	return nil
}

// parse reads a whole document. Only what encode writes is one, whatever its white space.
func parse(data []byte) (document, error) {
	if len(data) > maxFile {
		return document{}, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	var only struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &only); err != nil {
		return document{}, fmt.Errorf("is damaged: %w", err)
	}
	if only.Version != version {
		return document{}, fmt.Errorf("has version %d, this program knows version %d", only.Version, version)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return document{}, fmt.Errorf("is damaged: %w", err)
	}
	ids := make(map[string]bool, len(d.Credentials))
	for i, r := range d.Credentials {
		if err := checkSpace(r.Space); err != nil {
			return document{}, fmt.Errorf("is damaged: entry %d: %w", i+1, err)
		}
		if !validID(r.ID) || ids[r.ID] || r.Created.IsZero() {
			return document{}, fmt.Errorf("is damaged: entry %d has not an id of its own and a time", i+1)
		}
		ids[r.ID] = true
	}
	// Unknown and doubled keys, other spellings and missing parts: all at once.
	again, err := json.Marshal(d)
	var compact bytes.Buffer
	if err = errors.Join(err, json.Compact(&compact, data)); err != nil || !bytes.Equal(again, compact.Bytes()) {
		return document{}, errors.New("is damaged: it has not the form in which this program writes it")
	}
	return d, nil
}

// encode is the opposite of parse.
func (d document) encode() ([]byte, error) {
	data, err := json.MarshalIndent(d, "", " ")
	if err == nil && len(data) >= maxFile {
		err = fmt.Errorf("it would grow beyond %d bytes: revoke credentials that nobody uses", maxFile)
	}
	return append(data, '\n'), err
}

// checkSpace takes names as connectors have them.
func checkSpace(space string) error {
	if space == "" || len(space) > maxSpace || strings.ContainsFunc(space, func(r rune) bool {
		return !alphanumeric(r) && r != '-' && r != '_' && r != '.'
	}) {
		return fmt.Errorf("%.*q is not the id of a Space: it has 1 to %d letters, digits, '-', '_' and '.'", maxSpace, space, maxSpace)
	}
	return nil
}

func validID(id string) bool {
	return len(id) == idLength && !strings.ContainsFunc(id, func(r rune) bool { return !alphanumeric(r) })
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
