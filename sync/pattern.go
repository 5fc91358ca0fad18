package sync

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/text/unicode/norm"
)

// pattern is one compiled glob or regular expression. Patterns and the names they
// are compared with are in Unicode's form NFC: "é" is one name, whether a server
// has it as a letter or as a letter and an accent.
type pattern struct {
	text  string
	glob  string
	end   string // what every match ends in, which is quicker to see
	base  bool   // match the base name, not the path
	all   bool
	dirs  bool // a glob that may name a directory
	under bool // a glob that ends in a slash: it means what lies under the directories that it matches
	regex *regexp.Regexp
	below *regexp.Regexp // matches what regex matches with whatever behind it
}

// composed is a name in form NFC.
func composed(name string) string { return norm.NFC.String(name) }

// compile compiles patterns. root is the path of the source directory, "" if it is
// not known: a pattern that begins with it means what lies below, too.
func compile(texts []string, root string) ([]pattern, error) {
	var out []pattern
	for _, t := range texts {
		ps, err := compileOne(t, root)
		if err != nil {
			return nil, err
		}
		out = append(out, ps...)
	}
	return out, nil
}

// compileOne gives the readings of one pattern: as it is written, and, if it is an
// absolute path below root, as the path below that.
func compileOne(text, root string) ([]pattern, error) {
	p, err := compileText(text)
	if err != nil {
		return nil, err
	}
	short, ok := belowRoot(text, root)
	if !ok {
		return []pattern{p}, nil
	}
	q, err := compileText(short)
	if err != nil {
		return []pattern{p}, nil // it is a pattern as it is written only
	}
	q.text, q.base = text, false
	return []pattern{p, q}, nil
}

// belowRoot takes the path of the source directory off a pattern.
func belowRoot(text, root string) (string, bool) {
	if root = path.Clean(root); !path.IsAbs(root) && !strings.Contains(root, ":/") || root == "/" {
		return "", false
	}
	root = strings.TrimSuffix(root, "/") + "/"
	text = composed(text)
	expr, regex := strings.CutPrefix(text, "regex:")
	if !regex {
		short, ok := strings.CutPrefix(text, composed(root))
		return short, ok && short != ""
	}
	for _, start := range []string{"^" + regexp.QuoteMeta(composed(root)), "^" + composed(root)} {
		if short, ok := strings.CutPrefix(expr, start); ok {
			return "regex:^" + short, true
		}
	}
	return "", false
}

func compileText(text string) (pattern, error) {
	if expr, ok := strings.CutPrefix(text, "regex:"); ok {
		re, err := regexp.Compile(composed(expr))
		if err != nil {
			return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
		}
		below, err := openEnded(composed(expr))
		if err != nil {
			return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
		}
		return pattern{text: text, regex: re, below: below}, nil
	}
	if !doublestar.ValidatePattern(text) {
		return pattern{}, fmt.Errorf("pattern %q: %w", text, doublestar.ErrBadPattern)
	}
	glob, under := strings.CutSuffix(composed(text), "/")
	return pattern{
		text:  text,
		glob:  strings.TrimPrefix(glob, "/"),
		end:   glob[strings.LastIndexAny(glob, `*?[]{}\/`)+1:],
		base:  !strings.Contains(glob, "/"),
		all:   glob == "**" && !under,
		dirs:  under || namesDirectories(glob),
		under: under,
	}, nil
}

// match gives the text of the first pattern that matches a path, or "".
func match(ps []pattern, name string) string {
	switch {
	case len(ps) == 0:
		return ""
	case ps[0].all:
		return ps[0].text
	}
	name = composed(name)
	base := name[strings.LastIndexByte(name, '/')+1:]
	for i := range ps {
		if ps[i].matches(name, base) {
			return ps[i].text
		}
	}
	return ""
}

// matchDirectory gives the text of the first pattern that stands for a directory
// and all below it, or "".
func matchDirectory(ps []pattern, name string) string {
	if len(ps) == 0 {
		return ""
	}
	name = composed(name)
	base := name[strings.LastIndexByte(name, '/')+1:]
	for i := range ps {
		p := &ps[i]
		if p.below != nil && p.below.MatchString(name+"/") || p.dirs && p.matchesGlob(name, base) {
			return p.text
		}
	}
	return ""
}

func (p *pattern) matches(name, base string) bool {
	switch {
	case p.all:
		return true
	case p.regex != nil:
		return p.regex.MatchString(name)
	case p.under:
		return p.matchesAbove(name)
	}
	return p.matchesGlob(name, base)
}

// matchesAbove reports whether the glob matches a directory above name.
func (p *pattern) matchesAbove(name string) bool {
	for i, base := 0, 0; i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		if p.matchesGlob(name[:i], name[base:i]) {
			return true
		}
		base = i + 1
	}
	return false
}

func (p *pattern) matchesGlob(name, base string) bool {
	switch {
	case p.all:
		return true
	case !strings.HasSuffix(base, p.end):
		return false
	case p.base:
		return doublestar.MatchUnvalidated(p.glob, base)
	}
	return doublestar.MatchUnvalidated(p.glob, name)
}

// namesDirectories reports whether a glob that matches a directory stands for all
// below it: node_modules, tmp*, archive/**. One that leaves the whole name open
// (archive/*) or has an extension behind a wildcard (*.bak) is about files.
func namesDirectories(glob string) bool {
	last := glob[strings.LastIndexByte(glob, '/')+1:]
	switch {
	case last == "**":
		return true
	case strings.Trim(last, "*?") == "":
		return false
	case !strings.ContainsAny(last, "*?[{"):
		return true
	}
	for i := 1; i < len(last); i++ {
		if last[i] == '.' && last[i-1] != '{' && last[i-1] != ',' {
			return false
		}
	}
	return true
}

// openEnded compiles an expression without what looks at the end of a text. Where
// it matches a directory and a slash, the expression matches all paths below that.
func openEnded(expr string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	dropEnds(parsed)
	return regexp.Compile(parsed.String())
}

func dropEnds(e *syntax.Regexp) {
	switch e.Op {
	case syntax.OpEndText, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		*e = syntax.Regexp{Op: syntax.OpNoMatch, Flags: e.Flags}
	}
	for _, part := range e.Sub {
		dropEnds(part)
	}
}
