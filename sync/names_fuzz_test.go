package sync

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// FuzzNames: a name that is taken from a listing is one component that stays below
// its directory, on every destination.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"a", "..", ".", "", "a/b", "../x", `..\x`, `C:\x`, "a\x00b", "\xff", "a\n", " ", "...", strings.Repeat("a", 256), strings.Repeat("é", 128), "é", "e\u0301", "CON", "a.csv ", "σ", "ς", "İ", "ﬀ",
	} {
		f.Add("", name)
		f.Add("dir/sub", "dir/sub/"+name)
	}
	f.Add("dir", "dirx/a")
	f.Add("dir", "dir")
	f.Add("a/..", "a/../b")
	f.Fuzz(func(t *testing.T, dir, name string) {
		if CheckPath(dir) != nil && dir != "" || CheckBelow(dir, name) != nil {
			return
		}
		base := name
		if dir != "" {
			base = strings.TrimPrefix(name, dir+"/")
		}
		if Join(dir, base) != name || path.Clean(name) != name || !filepath.IsLocal(name) {
			t.Errorf("%q in %q leads elsewhere", name, dir)
		}
		if strings.ContainsAny(base, "/\\\x00") || base == "." || base == ".." || !utf8.ValidString(base) || len(base) > 255 || len(name) > MaxPath {
			t.Errorf("%q is taken", name)
		}
		numbered := Numbered(name, 17)
		if path.Dir(numbered) != path.Dir(name) || !filepath.IsLocal(numbered) || numbered == name {
			t.Errorf("%q is numbered as %q", name, numbered)
		}
		if IsTemporary(base) != IsTemporary(strings.ToUpper(base)) && strings.EqualFold(base, strings.ToUpper(base)) && isASCII(base) {
			t.Errorf("%q is a temporary name in one case only", base)
		}
		if folded := FoldName(name); FoldName(folded) != folded || FoldName(strings.ToUpper(name)) != folded && isASCII(name) {
			t.Errorf("%q folds to %q, and that to %q", name, folded, FoldName(folded))
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// FuzzFilter: a filter that is taken decides at once, the same of a name in both of
// Unicode's forms, and a directory that a regular expression closes holds nothing
// that the expression would let pass.
func FuzzFilter(f *testing.F) {
	for _, pattern := range []string{
		"*.csv", "**/x/*", "{a,b/c}/d", "[!/]x/*", "/data/in/*.csv", "/data/in", "tmp/", "*/", "archive/**", "lost+found", "regex:^a/.*", "regex:/data/in/x", "regex:^/data/in/x$",
		"regex:\\bx\\b", "regex:a$", "regex:(?i)A/", "regex:^[^/]*$", "regex:", "regex:(a*)*b", "regex:x{1000}", "[", "{", `\`, "a\\", "é/*", "e\u0301/*", "**", "*", "/", "",
		strings.Repeat("*a", 30), "{" + strings.Repeat("a,", 30) + "}" + strings.Repeat("{a,b}", 5),
	} {
		f.Add(pattern, "data/x/é.csv", "/data/in")
		f.Add(pattern, "a/x/b", "C:/data")
		f.Add(pattern, strings.Repeat("a/", 40)+"aab", "")
	}
	f.Fuzz(func(t *testing.T, pattern, name, root string) {
		if len(pattern) > maxPattern || len(name) > MaxPath || CheckPath(name) != nil {
			return
		}
		if !strings.HasPrefix(pattern, "regex:") && alternatives(pattern) > maxAlternatives || strings.Count(pattern, "*") > 40 {
			return // who writes the configuration may have it as slow as he likes
		}
		began := time.Now()
		defer func() {
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%q, %q below %q takes %v", pattern, name, root, took)
			}
		}()
		for _, o := range []FilterOptions{{Include: []string{pattern}, Root: root}, {Exclude: []string{pattern}, Root: root}} {
			filter, err := NewFilter(o)
			if err != nil {
				continue
			}
			why := filter.Excluded(Entry{Name: name})
			for _, form := range []norm.Form{norm.NFC, norm.NFD} {
				if other := form.String(name); CheckPath(other) == nil && filter.Excluded(Entry{Name: other}) != why {
					t.Errorf("%q of %+v: %q, and in another form of Unicode %q", name, o, why, filter.Excluded(Entry{Name: other}))
				}
			}
			if closed := filter.PrunesAbove(name); closed != "" && strings.HasPrefix(pattern, "regex:") && why == "" {
				t.Errorf("%+v lets %q pass, and keeps the pass out of a directory above it", o, name)
			}
		}
	})
}

// FuzzExpression: a regular expression that a request may bring is tried at once,
// and finds no more than what is behind the directories that may hold it.
func FuzzExpression(f *testing.F) {
	for _, expr := range []string{"^a(b|c)*$", "(a*)*b", "(a+)+$", "x{500}{2}", `\pL+/\w+\.csv`, "(?s).*", "(?m)^a$", "a|b|", "^/data/in/.*", "[^/]+/[^/]+"} {
		f.Add(expr, strings.Repeat("a", 200)+"!/b.csv")
	}
	f.Fuzz(func(t *testing.T, expr, name string) {
		if len(name) > MaxPath {
			return
		}
		began := time.Now()
		s, err := NewSelection("regex:"+expr, time.Time{}, time.Time{})
		if err == nil && s.Match(Entry{Name: name}) {
			for i, c := range name {
				if c == '/' && !s.MayHold(name[:i]) {
					t.Errorf("%q matches %q, and %q may hold nothing", expr, name, name[:i])
				}
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q on %d bytes takes %v", expr, len(name), took)
		}
	})
}
