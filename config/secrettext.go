package config

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// secretText is what a file holds whose text is one secret: without the byte
// order mark that editors on Windows put before it, without the line end behind
// it, and in UTF-8 where they write UTF-16.
func secretText(data []byte) (string, error) {
	text, marked := bytes.CutPrefix(data, []byte("\xef\xbb\xbf"))
	var order binary.ByteOrder
	switch {
	case marked:
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	}
	if order != nil {
		if len(data)%2 != 0 {
			return "", errors.New("the file starts as UTF-16 and ends within a character; save it as UTF-8")
		}
		units := make([]uint16, 0, len(data)/2)
		for rest := data[2:]; len(rest) > 0; rest = rest[2:] {
			units = append(units, order.Uint16(rest))
		}
		text = []byte(string(utf16.Decode(units)))
	}
	secret, ended := strings.CutSuffix(string(text), "\n")
	if ended {
		secret = strings.TrimSuffix(secret, "\r")
	}
	return secret, nil
}
