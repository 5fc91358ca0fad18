package config

import (
	"encoding"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"90d": 90 * day, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "0d1s": time.Second, "106751d": 106751 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "-5s", "+5s", "1h-5m", "1h2d", "1d2d", "1 d", "5 m", "90D", "1w", "106752d", "106751d24h", "1e3s", "NaNs", ".d", "1..5d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q gives %s", text, got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"": 0, "0": 0, "0MB": 0, "4096": 4096, "4096B": 4096, "100MB": 100_000_000, "100MiB": 100 << 20, "100 MB": 100_000_000,
		"1.5GiB": 3 << 29, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "2TB": 2e12, "2TiB": 2 << 40, "0.0015kB": 1,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"MB", "-1", "+1", "1e9", "1/2", "0x10", "1_000", ".5MB", "5.MB", "1.5.5MB", "100M", "100mb", "1Mb", "0.5B", "9223372036854775808", "8388608TiB", "1 000", "1MB/s"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q gives %d", text, got)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{"": 0, "0": 0, "20MB/s": 20e6, "1.5MiB/s": 3 << 19, "500/s": 500, "20MB /s": 20e6} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"20MB", "/s", "20MB/m", "20MB/s/s", "20 Mbit/s", "fast"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q gives %d", text, got)
		}
	}
}

// TestStrings holds the shapes that users read.
func TestStrings(t *testing.T) {
	for want, value := range map[string]encoding.TextMarshaler{
		"5s": Duration(5 * time.Second), "15m": Duration(15 * time.Minute), "1h": Duration(time.Hour), "20h10m": Duration(20*time.Hour + 10*time.Minute),
		"90d": Duration(90 * day), "1d12h": Duration(36 * time.Hour), "0s": Duration(0),
		"100MB": Size(100e6), "100MiB": Size(100 << 20), "1536MiB": Size(3 << 29), "1234B": Size(1234), "0B": Size(0), "20MB/s": Rate(20e6),
		"leave": AfterCopy{Action: Leave}, "move:/a b": AfterCopy{Action: Move, MoveTo: "/a b"}, "UTC": TimeZone{}, "N/A": Schedule{},
	} {
		if got, err := value.MarshalText(); err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}

// TestRoundTrips: what a value prints is read back as that value.
func TestRoundTrips(t *testing.T) {
	amounts := rapid.OneOf(
		rapid.Int64Range(0, math.MaxInt64),
		rapid.Map(rapid.Int64Range(0, 1<<20), func(n int64) int64 { return n * 1000 }),
		rapid.Map(rapid.Int64Range(0, 1<<20), func(n int64) int64 { return n << 20 }),
		rapid.Map(rapid.Int64Range(0, 100_000), func(n int64) int64 { return n * int64(time.Second) }),
		rapid.Map(rapid.Int64Range(0, 100_000), func(n int64) int64 { return n * int64(day/10) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		n := amounts.Draw(t, "n")
		if got, err := ParseDuration(Duration(n).String()); err != nil || got != Duration(n) {
			t.Errorf("%s: got %s, %v", Duration(n), got, err)
		}
		if got, err := ParseSize(Size(n).String()); err != nil || got != Size(n) {
			t.Errorf("%s: got %s, %v", Size(n), got, err)
		}
		if got, err := ParseRate(Rate(n).String()); err != nil || got != Rate(n) {
			t.Errorf("%s: got %s, %v", Rate(n), got, err)
		}
	})
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain": "plain", "${SECRET}": "hunter2", "a${SECRET}b${PORT}c": "ahunter2b2222c", "$$": "$", "$${SECRET}": "${SECRET}", "$$${PORT}": "$2222", "${EMPTY}": "",
	} {
		if got, err := expand(text, variables); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"$", "a$", "$a", "$$$", "${", "${}", "${A", "${1}", "${A-B}", "${ PORT }", "${NOT_SET}"} {
		if got, err := expand(text, variables); err == nil {
			t.Errorf("%q gives %q", text, got)
		}
	}
	// A value is never expanded again.
	again := func(string) (string, bool) { return "${SECRET}$", true }
	if got, err := expand("${A}", again); err != nil || got != "${SECRET}$" {
		t.Errorf("got %q, %v", got, err)
	}
}
