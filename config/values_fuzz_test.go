package config

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzSchedule: what is taken is within its bounds and means the same when it is
// read as it is shown; what is refused is told in one short line.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{
		"N/A", "n/a", "15m", "1s", "366d", "1d12h", "0s", "-5m", "1e3s", "*/15 6-22 * * 1-5", "0 0 29 2 *", "0 0 31 2 *", "@hourly", "@every 1s",
		"@daily ", "TZ=UTC 0 0 * * *", "CRON_TZ=Europe/Brussels 0 0 * * *", "0 0 * * 7", "60 * * * *", "*/0 * * * *", "1-59/61 * * * *", "? ? ? ? ?",
		"0 0 * jan sun", "5-1 * * * *", "0,0,0 0 1,1 * *", "0 0 0 0 0", "* * * * * *", "0\t0\t1\t1\t*", "9223372036854775807 * * * *", strings.Repeat("*,", 130) + "* * * * *",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		began := time.Now()
		s, err := ParseSchedule(text)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q takes %v", text, took)
		}
		if err != nil {
			if s != (Schedule{}) || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q: %+v, %v", text, s, err)
			}
			return
		}
		if s.Interval != 0 && (s.Cron != "" || s.Interval < minInterval || s.Interval > maxInterval) {
			t.Errorf("%q is %+v", text, s)
		}
		if again, err := ParseSchedule(s.String()); err != nil || again != s {
			t.Errorf("%q is %+v, and as it is shown %+v, %v", text, s, again, err)
		}
		if s.FixedTime() && s.Cron == "" {
			t.Errorf("%q is fixed, and is %+v", text, s)
		}
	})
}

// FuzzValues: a duration, a size or a rate that is taken is none below zero, and is
// the same when it is read as it is shown.
func FuzzValues(f *testing.F) {
	for _, text := range []string{
		"90s", "1h30m", "90d", "1.5d", "1d12h", "106751d", "106752d", "d", "-1d", "1dd", ".d", "1e9d", "0x1h", "1h1d", "2562047h47m16.854775807s",
		"4096", "100MB", "1.5GiB", "8388607TiB", "8388608TiB", "0", "0B", "0.1B", "1.", ".5MB", "1 MB", "1e3MB", "9223372036854775807", "1/2MB",
		"20MB/s", "/s", "0/s", "1MB /s", "1MB/s/s", strings.Repeat("9", 41), "0." + strings.Repeat("0", 37) + "1TiB",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(d.String()); d < 0 || err != nil || again != d {
				t.Errorf("the duration %q is %d, as it is shown %d, %v", text, d, again, err)
			}
		} else if d != 0 {
			t.Errorf("the duration %q is %d and %v", text, d, err)
		}
		if s, err := ParseSize(text); err == nil {
			if again, err := ParseSize(s.String()); s < 0 || err != nil || again != s {
				t.Errorf("the size %q is %d, as it is shown %d, %v", text, s, again, err)
			}
			if s == 0 && strings.ContainsAny(text, "123456789") {
				t.Errorf("the size %q is 0, which stands for no limit", text)
			}
		} else if s != 0 {
			t.Errorf("the size %q is %d and %v", text, s, err)
		}
		if r, err := ParseRate(text); err == nil {
			if again, err := ParseRate(r.String()); r < 0 || err != nil || again != r {
				t.Errorf("the rate %q is %d, as it is shown %d, %v", text, r, again, err)
			}
			if r == 0 && strings.ContainsAny(text, "123456789") {
				t.Errorf("the rate %q is 0, which stands for no limit", text)
			}
		} else if r != 0 {
			t.Errorf("the rate %q is %d and %v", text, r, err)
		}
	})
}

// FuzzJump: a jump host that is taken can be dialled, and is the same when it is
// written out.
func FuzzJump(f *testing.F) {
	for _, text := range []string{
		"jump", "me@jump", "me@jump:2222", "me@[::1]:22", "[::1]", "::1", "a@b@c:1", "me:secret@jump", "@jump", "jump:0", "jump:65536", "jump:022",
		"me@jump:22,other", "ssh://me@jump", "jump:", "me@", "a b@c", "me@jump/x", "me@fe80::1%eth0", "", "me@1.2.3.4:22", "me@\x00", "[a]:22",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		user, host, port, err := parseJump(text)
		if err != nil {
			if user != "" || host != "" || port != 0 {
				t.Errorf("%q: %q, %q, %d, %v", text, user, host, port, err)
			}
			return
		}
		if port < 1 || port > 65535 || host == "" || strings.ContainsAny(host, "@/ \t\n\x00[]") || strings.ContainsAny(user, ":/ ") {
			t.Errorf("%q: %q, %q, %d", text, user, host, port)
		}
		written := net.JoinHostPort(host, strconv.Itoa(port))
		if user != "" {
			written = user + "@" + written
		}
		if u, h, p, err := parseJump(written); u != user || h != host || p != port || err != nil {
			t.Errorf("%q is %s, which is %q, %q, %d, %v", text, written, u, h, p, err)
		}
	})
}
