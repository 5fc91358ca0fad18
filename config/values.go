package config

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as in Go (1h30m) or in days (90d, 1d12h).
// A file never holds a negative one.
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads a Duration; a day is 24 hours.
func ParseDuration(text string) (Duration, error) {
	wrong := errors.New("not a duration; allowed: a number and a unit, such as 90s, 15m, 1h30m or 90d")
	if strings.ContainsAny(text, "+-") {
		return 0, wrong
	}
	var days time.Duration
	rest := text
	if number, after, found := strings.Cut(text, "d"); found {
		if strings.Trim(number, "0123456789.") != "" {
			return 0, wrong
		}
		hours, err := time.ParseDuration(number + "h")
		if err != nil || hours > math.MaxInt64/24 {
			return 0, wrong
		}
		days, rest = 24*hours, after
		if rest == "" {
			return Duration(days), nil
		}
	}
	short, err := time.ParseDuration(rest)
	if err != nil || short > math.MaxInt64-days {
		return 0, wrong
	}
	return Duration(days + short), nil
}

// Std is the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives a text that ParseDuration reads back, in days and shorter units.
func (d Duration) String() string {
	std := d.Std()
	days := std / day
	if days <= 0 {
		return trimZeros(std.String())
	}
	text := strconv.FormatInt(int64(days), 10) + "d"
	if rest := std % day; rest > 0 {
		text += trimZeros(rest.String())
	}
	return text
}

// trimZeros turns 15m0s into 15m and 1h0m0s into 1h.
func trimZeros(text string) string {
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Size is a number of bytes, written 100MB (10⁶), 100MiB (2²⁰) or 4096.
// The zero Size means "no limit" wherever a Size is a limit.
type Size int64

// unit is a name for a number of bytes.
type unit struct {
	name  string
	bytes int64
}

// units are the units of a Size, the largest first.
func units() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
		{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}, {"", 1},
	}
}

// ParseSize reads a Size; the empty text is 0. A fraction of a byte is dropped.
func ParseSize(text string) (Size, error) {
	wrong := errors.New("not a size; allowed: a number and a unit, such as 4096, 500kB, 100MB or 1.5GiB")
	if text == "" {
		return 0, nil
	}
	end := len(text) - len(strings.TrimLeft(text, "0123456789."))
	number, name := text[:end], strings.TrimSpace(text[end:])
	if end > 40 || strings.HasPrefix(number, ".") || strings.HasSuffix(number, ".") {
		return 0, wrong
	}
	amount, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, wrong
	}
	for _, u := range units() {
		if u.name != name {
			continue
		}
		bytes := amount.Mul(amount, new(big.Rat).SetInt64(u.bytes))
		whole := new(big.Int).Quo(bytes.Num(), bytes.Denom())
		switch {
		case !whole.IsInt64():
			return 0, errors.New("too large; allowed: up to 8388607TiB")
		case whole.Sign() == 0 && bytes.Sign() != 0:
			return 0, errors.New("less than one byte; allowed: 1 and more, or 0 for none")
		}
		return Size(whole.Int64()), nil
	}
	return 0, wrong
}

// String gives a text that ParseSize reads back, in the unit that needs the fewest digits.
func (s Size) String() string {
	best := strconv.FormatInt(int64(s), 10) + "B"
	if s == 0 {
		return best
	}
	for _, u := range units() {
		if u.name == "" || int64(s)%u.bytes != 0 {
			continue
		}
		if text := strconv.FormatInt(int64(s)/u.bytes, 10) + u.name; len(text) < len(best) {
			best = text
		}
	}
	return best
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// Rate is a number of bytes a second, written 20MB/s; 0 is no limit.
type Rate int64

// ParseRate reads a Rate; the empty text and 0 are no limit.
func ParseRate(text string) (Rate, error) {
	wrong := errors.New("not a rate; allowed: a size per second, such as 500kB/s or 20MB/s")
	amount, perSecond := strings.CutSuffix(text, "/s")
	if !perSecond && text != "" && text != "0" || perSecond && amount == "" {
		return 0, wrong
	}
	size, err := ParseSize(strings.TrimSpace(amount))
	if err != nil {
		return 0, wrong
	}
	return Rate(size), nil
}

// String gives a text that ParseRate reads back.
func (r Rate) String() string { return Size(r).String() + "/s" }

// MarshalText is String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}
