package sync

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Filter decides by name, size and age which files a pass is about. Make one
// with NewFilter; it may be used concurrently.
type Filter struct {
	include, exclude []pattern
	temporary        []string
	maximumSize      int64
	minimumAge       time.Duration
}

// FilterOptions are the settings of a Filter.
type FilterOptions struct {
	Include, Exclude []string      // globs or regex:…; no Include means all
	MaximumSize      int64         // bytes; 0: none
	MinimumAge       time.Duration // by the modification time and our own clock
}

// NewFilter compiles the patterns. A glob without a slash matches the base
// name, with one the path below the source; "regex:" matches the path.
func NewFilter(o FilterOptions) (*Filter, error) {
	f := &Filter{temporary: TemporaryNames(), maximumSize: o.MaximumSize, minimumAge: o.MinimumAge}
	var err error
	if f.include, err = compile(o.Include); err != nil {
		return nil, err
	}
	if f.exclude, err = compile(o.Exclude); err != nil {
		return nil, err
	}
	return f, nil
}

// Excluded says why the file is not for this pass, or "".
func (f *Filter) Excluded(e Entry) string {
	base := path.Base(e.Name)
	if t := temporary(f.temporary, base); t != "" {
		return "a temporary name (" + t + ")"
	}
	if len(f.include) > 0 && match(f.include, e.Name, base) == "" {
		return "not in files.include"
	}
	if p := match(f.exclude, e.Name, base); p != "" {
		return "files.exclude has " + p
	}
	if f.maximumSize > 0 && e.Size > f.maximumSize {
		return fmt.Sprintf("%d bytes, over files.maximum_file_size", e.Size)
	}
	return ""
}

// TooYoung says how much longer the file has to stay unmodified, or 0.
func (f *Filter) TooYoung(e Entry, now time.Time) time.Duration {
	if f.minimumAge <= 0 || e.ModTime.IsZero() {
		return 0
	}
	return max(0, f.minimumAge-now.Sub(e.ModTime))
}

// pattern is one compiled glob or regular expression.
type pattern struct {
	text  string
	glob  string
	end   string // what every match ends in, which is quicker to see
	base  bool   // match the base name, not the path
	all   bool
	regex *regexp.Regexp
}

func compile(texts []string) ([]pattern, error) {
	var out []pattern
	for _, t := range texts {
		p, err := compileOne(t)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func compileOne(text string) (pattern, error) {
	if expr, ok := strings.CutPrefix(text, "regex:"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
		}
		return pattern{text: text, regex: re}, nil
	}
	if !doublestar.ValidatePattern(text) {
		return pattern{}, fmt.Errorf("pattern %q: %w", text, doublestar.ErrBadPattern)
	}
	return pattern{
		text: text,
		glob: strings.TrimPrefix(text, "/"),
		end:  text[strings.LastIndexAny(text, `*?[]{}\/`)+1:],
		base: !strings.Contains(text, "/"),
		all:  text == "**",
	}, nil
}

// match gives the text of the first pattern that matches, or "".
func match(ps []pattern, name, base string) string {
	for i := range ps {
		p := &ps[i]
		switch {
		case p.all:
			return p.text
		case p.regex != nil:
			if p.regex.MatchString(name) {
				return p.text
			}
		case !strings.HasSuffix(base, p.end):
		case p.base:
			if doublestar.MatchUnvalidated(p.glob, base) {
				return p.text
			}
		default:
			if doublestar.MatchUnvalidated(p.glob, name) {
				return p.text
			}
		}
	}
	return ""
}
