package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that never prints itself: every way of formatting, logging
// or marshalling it gives "[redacted]", or nothing when it is empty. (fmt shows
// any value under the verb %p, which go vet refuses.)
type Secret string

// Reveal gives the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String gives "[redacted]", or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes String whatever the verb: fmt prints the bare value for a verb
// that does not suit a string.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON gives String as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText gives String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML gives String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue gives String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
