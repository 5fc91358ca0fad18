package sync

import (
	"fmt"
	"path"
	"slices"
	"time"
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
	// Root is the path of the source directory; "" if it is not known.
	Root string
}

// NewFilter compiles the patterns. A glob without a slash matches the base
// name, with one the path below the source; one that ends in a slash matches what is
// under the directories that it names; "regex:" matches the path. An absolute
// path below Root means the same as the path below the source. Names are compared
// in Unicode's form NFC.
func NewFilter(o FilterOptions) (*Filter, error) {
	f := &Filter{temporary: TemporaryNames(), maximumSize: o.MaximumSize, minimumAge: o.MinimumAge}
	var err error
	if f.include, err = compile(o.Include, o.Root); err != nil {
		return nil, err
	}
	if f.exclude, err = compile(o.Exclude, o.Root); err != nil {
		return nil, err
	}
	// The source directory itself is not what is excluded.
	f.exclude = slices.DeleteFunc(f.exclude, func(p pattern) bool { return p.all && p.text != "**" })
	return f, nil
}

// Excluded says why the file is not for this pass, or "".
func (f *Filter) Excluded(e Entry) string {
	base := path.Base(e.Name)
	if t := temporary(f.temporary, base); t != "" {
		return "a temporary name (" + t + ")"
	}
	if len(f.include) > 0 && match(f.include, e.Name) == "" {
		return "not in files.include"
	}
	if p := match(f.exclude, e.Name); p != "" {
		return "files.exclude has " + p
	}
	if f.maximumSize > 0 && e.Size > f.maximumSize {
		return fmt.Sprintf("%d bytes, over files.maximum_file_size", e.Size)
	}
	return ""
}

// Prunes gives the pattern of Exclude for which a directory is not entered, or "":
// one that matches the directory itself (lost+found, /tmp, archive/**), or a regular
// expression that matches every path below it. A glob that is about files, by an
// extension (*.bak) or by any name (archive/*), keeps nobody out of a directory.
func (f *Filter) Prunes(dir string) string { return matchDirectory(f.exclude, dir) }

// prunesAbove gives the pattern for which a directory above the path is not entered, or "".
func (f *Filter) PrunesAbove(name string) string {
	for i := range name {
		if name[i] == '/' {
			if p := f.Prunes(name[:i]); p != "" {
				return p
			}
		}
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
