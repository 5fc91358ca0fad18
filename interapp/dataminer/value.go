package dataminer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of what is read. Newtonsoft stops at the same depth; a hundred
// messages have some 1,500 values.
const (
	maxDepth  = 64
	maxValues = 20_000
)

// value is a JSON value that is written as it was read: members keep their
// order, and names, strings and numbers their text. A nil *value is one that is
// not there; it can be asked, and not written.
type value struct {
	token   json.Token // {, [, or the scalar
	text    string     // of a scalar: as it stands in the JSON
	members []member   // of an object
	items   []*value   // of a list
}

// member is a property of an object.
type member struct {
	name  string
	text  string // the name as it stands in the JSON, quotes included
	value *value
}

// object reports whether v is one.
func (v *value) object() bool { return v != nil && v.token == json.Delim('{') }

// list reports whether v is one.
func (v *value) list() bool { return v != nil && v.token == json.Delim('[') }

// null reports whether v is null or not there.
func (v *value) null() bool { return v == nil || v.token == nil }

// str gives the text of a string.
func (v *value) str() (text string, ok bool) {
	if v != nil {
		text, ok = v.token.(string)
	}
	return text, ok
}

// get gives the property of that name, compared without case; of several the
// last, as Newtonsoft would.
func (v *value) get(name string) *value {
	var found *value
	if v != nil {
		for _, m := range v.members {
			if strings.EqualFold(m.name, name) {
				found = m.value
			}
		}
	}
	return found
}

// kind names what v is, for an error.
func (v *value) kind() string {
	if v == nil {
		return "missing"
	}
	switch token := v.token.(type) {
	case json.Delim:
		if token == '{' {
			return "an object"
		}
		return "a list"
	case string:
		return "text"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}

// append writes v behind b, without white space.
func (v *value) append(b []byte) []byte {
	switch {
	case v.object():
		b = append(b, '{')
		for i, m := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, m.text...), ':')
			b = m.value.append(b)
		}
		return append(b, '}')
	case v.list():
		b = append(b, '[')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.append(b)
		}
		return append(b, ']')
	}
	return append(b, v.text...)
}

// read reads one JSON value with nothing behind it, and gives the objects in it
// that have an $id.
func read(data []byte) (root *value, ids map[string]*value, err error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, nil, errors.New("empty; send the serialized InterApp call")
	case !utf8.Valid(data):
		return nil, nil, errors.New("not UTF-8; send the serialized InterApp call in that encoding")
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("not JSON, after %d of %d bytes: %w", wrong.Offset, len(data), err)
		}
		return nil, nil, fmt.Errorf("not JSON: %w", err)
	}
	r := reader{text: string(data), decoder: json.NewDecoder(bytes.NewReader(data)), ids: make(map[string]*value)}
	r.decoder.UseNumber()
	root, err = r.value(1)
	return root, r.ids, err
}

// reader reads text that is known to be JSON.
type reader struct {
	text    string
	decoder *json.Decoder
	values  int // so far
	ids     map[string]*value
}

// next gives the next token, and its text.
func (r *reader) next() (json.Token, string, error) {
	from := r.decoder.InputOffset()
	token, err := r.decoder.Token()
	// What stands between two tokens is white space, a colon or a comma.
	return token, strings.TrimLeft(r.text[from:r.decoder.InputOffset()], " \t\r\n:,"), err
}

// value reads a value; depth counts it and what it is in.
func (r *reader) value(depth int) (*value, error) {
	token, text, err := r.next()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return r.from(token, text, depth)
}

// from reads the rest of the value that starts with the token.
func (r *reader) from(token json.Token, text string, depth int) (*value, error) {
	if r.values++; r.values > maxValues {
		return nil, fmt.Errorf("more than %d values; send fewer messages in a call", maxValues)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := (&value{token: token}); token {
	case json.Delim('{'):
		return v, r.object(v, depth)
	case json.Delim('['):
		return v, r.list(v, depth)
	default:
		v.text = text
		return v, nil
	}
}

// object reads the members of v, up to the closing brace.
func (r *reader) object(v *value, depth int) error {
	for {
		token, text, err := r.next()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		name, more := token.(string)
		if !more {
			break
		}
		of, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		v.members = append(v.members, member{name, text, of})
	}
	if id, ok := v.get("$id").str(); ok {
		r.ids[id] = v
	}
	return nil
}

// list reads the items of v, up to the closing bracket.
func (r *reader) list(v *value, depth int) error {
	for {
		token, text, err := r.next()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		if token == json.Delim(']') {
			return nil
		}
		item, err := r.from(token, text, depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
}
