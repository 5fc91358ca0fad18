package web

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// stamp is how absolute times are drawn; app.js shows them in local time where that is chosen.
const stamp = "2006-01-02 15:04:05"

// moment gives the time of a time.Time or a *time.Time; ok is false for none.
func moment(t any) (at time.Time, ok bool) {
	switch t := t.(type) {
	case time.Time:
		return t.UTC(), !t.IsZero()
	case *time.Time:
		if t != nil {
			return t.UTC(), !t.IsZero()
		}
	}
	return time.Time{}, false
}

// relative draws a time by its distance from now, with the time itself beside it.
func relative(now time.Time, t any) template.HTML {
	at, ok := moment(t)
	if !ok {
		return "–"
	}
	return element("rel", at, distance(now, at))
}

// absolute draws a time as it is.
func absolute(t any) template.HTML {
	at, ok := moment(t)
	if !ok {
		return "–"
	}
	return element("abs", at, at.Format(stamp)+" UTC")
}

// element is a time element. Nothing in it comes from elsewhere.
func element(class string, at time.Time, text string) template.HTML {
	return template.HTML(fmt.Sprintf(`<time class="%s" datetime="%s" title="%s UTC">%s</time>`, class, at.Format(time.RFC3339), at.Format(stamp), text))
}

// distance says how far a time is from now. app.js does the same, each second.
func distance(now, at time.Time) string {
	d := now.Sub(at)
	ahead := d < 0
	text := span(d.Abs())
	switch {
	case text == "0 s":
		return "now"
	case ahead:
		return "in " + text
	}
	return text + " ago"
}

// span is a duration in its largest unit, and the next where that is an hour or a day.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	case s < 30*86400:
		return fmt.Sprintf("%d d %d h", s/86400, s%86400/3600)
	}
	return fmt.Sprintf("%d d", s/86400)
}

// took is how long something took.
func took(from time.Time, to *time.Time) string {
	if to == nil || from.IsZero() {
		return "–"
	}
	d := to.Sub(from)
	if d < time.Minute {
		return strconv.FormatFloat(math.Max(0, d.Seconds()), 'f', 1, 64) + " s"
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}

// size is a number of bytes as people read it: MB = 10⁶, as in the configuration.
func size[N int | int64](n N) string {
	if n < 0 {
		return "unknown"
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		f /= 1000
		if f < 999.5 {
			return digits(f) + " " + unit
		}
	}
	return digits(f/1000) + " PB"
}

// digits gives a number with two or three of them.
func digits(f float64) string {
	if f < 9.95 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// count is a number with its thousands apart.
func count(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plural is a count with its noun.
func plural(n any, one, many string) string {
	if text := fmt.Sprint(n); text == "1" {
		return "1 " + one
	}
	return count(n) + " " + many
}

// visible gives text in which nothing is hidden: what controls the direction or the shape
// of text, and what is no text, is written out.
func visible(s string) string {
	plain := true
	for _, r := range s {
		if hidden(r) {
			plain = false
			break
		}
	}
	if plain && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// longName is how much of a name is shown at once, in characters.
const longName = 160

// name is a name that somebody else chose.
type name struct {
	Short string // as much of it as is shown at once
	Full  string // all of it; empty if that is the same
}

func nameOf(s string) name {
	s = visible(s)
	if utf8.RuneCountInString(s) <= longName {
		return name{Short: s}
	}
	runes := []rune(s)
	return name{Short: string(runes[:longName]) + "…", Full: s}
}

// segment escapes a name for the path of an address.
func segment(s string) string { return strings.ReplaceAll(url.PathEscape(s), "+", "%2B") }

func queryEscape(s string) string { return url.QueryEscape(s) }

// rowID is an id for the row of something by its name, so that a row is found again when
// the page is laid over itself, and what is open in it stays with it.
func rowID(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // to memory
	return strconv.FormatUint(h.Sum64(), 36)
}

// carried is a name as a form carries it: browsers change line ends in values.
func carried(s string) string { return url.QueryEscape(s) }

// uncarried reads what carried wrote.
func uncarried(values []string) []string {
	var out []string
	for _, v := range values {
		if s, err := url.QueryUnescape(v); err == nil && s != "" {
			out = append(out, s)
		}
	}
	return out
}
