package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error is one mistake in a configuration file. It holds no secret.
type Error struct {
	File    string
	Line    int    // from 1
	Key     string // dotted, as in connectors.results.sftp.host; empty when the whole file is meant
	Problem string // what is wrong, and what is allowed
}

// Error gives the mistake as one line, FILE:LINE: KEY: PROBLEM.
func (e Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Key, e.Problem)
}

// Errors are all mistakes of one file, ordered by line.
type Errors []Error

// Error gives one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, mistake := range e {
		lines[i] = mistake.Error()
	}
	return strings.Join(lines, "\n")
}

// report gathers the mistakes of one file.
type report struct {
	file   string
	errors Errors
}

func (r *report) add(line int, key, problem string) {
	r.errors = append(r.errors, Error{File: r.file, Line: line, Key: key, Problem: problem})
}

// sorted gives the mistakes by line, and within a line as they were found.
func (r *report) sorted() Errors {
	slices.SortStableFunc(r.errors, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return r.errors
}

// place is where a key stands in the file. The decoder leaves a tree of them,
// so that a check made later can still name the line.
type place struct {
	report *report
	key    string
	line   int
	text   string // the value as written, before ${NAME}; empty when it may be a secret
	given  bool   // the file has a value for it
	bad    bool   // a mistake was reported here: others would be its echo
	parts  map[string]*place
}

// at is the place of a key below p. A key that is not in the file gets its
// parent's line, and its parent's silence when that is bad.
func (p *place) at(keys ...string) *place {
	for _, key := range keys {
		part, ok := p.parts[key]
		if !ok {
			part = p.put(key, p.line)
			part.bad = p.bad
		}
		p = part
	}
	return p
}

// put makes the place of a key below p that stands at line.
func (p *place) put(key string, line int) *place {
	part := p.beside(key, line)
	if p.parts == nil {
		p.parts = make(map[string]*place)
	}
	p.parts[key] = part
	return part
}

// beside is a place below p that later checks do not find.
func (p *place) beside(key string, line int) *place {
	return &place{report: p.report, key: joinKey(p.key, key), line: line}
}

// fail reports the first mistake of this place.
func (p *place) fail(format string, args ...any) {
	if !p.bad {
		p.bad = true
		p.report.add(p.line, p.key, fmt.Sprintf(format, args...))
	}
}

// refuse is fail with the value as it was written in front.
func (p *place) refuse(format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	if p.text != "" {
		problem = quote(p.text) + ": " + problem
	}
	p.fail("%s", problem)
}

// joinKey puts a key behind its parent's; "[0]" is an item of a list.
func joinKey(parent, key string) string {
	odd := func(r rune) bool { return r <= ' ' || r == ':' || !unicode.IsPrint(r) }
	if strings.Trim(key, ".") == "" || strings.ContainsFunc(key, odd) || len(key) > shown {
		key = quote(key)
	}
	if parent == "" || strings.HasPrefix(key, "[") {
		return parent + key
	}
	return parent + "." + key
}

// shown is how many characters of a value an error repeats.
const shown = 60

func quote(text string) string {
	if runes := []rune(text); len(runes) > shown {
		text = string(runes[:shown]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
