package model

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sum identifies contents: their size and SHA-256.
type Sum struct {
	Size   int64
	SHA256 string // in hexadecimal
}

// Summer computes a Sum of what is written to it.
type Summer struct {
	hash hash.Hash
	size int64
}

// NewSummer begins with nothing.
func NewSummer() *Summer { return &Summer{hash: sha256.New()} }

// Write never fails.
func (s *Summer) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	return s.hash.Write(b)
}

// Sum is of all that was written.
func (s *Summer) Sum() Sum { return Sum{s.size, hex.EncodeToString(s.hash.Sum(nil))} }

// Version is a file at the source from the moment at which its writer began to
// make it until something else came. What is between two writes of a growing
// file is a version, too.
type Version struct {
	Path string // slash path below the source
	Sum  Sum
	From time.Time // it was there at the earliest
	To   time.Time // it was there at the latest; zero while it stands
	// TakenBy is who removed it: the suite, or the product after its copy.
	TakenBy Remover
}

// Remover is who ended a version.
type Remover string

// Whoever replaces a version ends it, too.
const (
	Suite   Remover = "suite"
	Product Remover = "product"
)

// Stood is how long it stood still, at the time now if it still stands.
func (v Version) Stood(now time.Time) time.Duration {
	if !v.To.IsZero() && v.To.Before(now) {
		now = v.To
	}
	return now.Sub(v.From)
}

// History is what happened to the files of one source. It may be used
// concurrently; one path belongs to one caller at a time.
type History struct {
	mu       sync.Mutex
	versions map[string][]Version
}

// NewHistory begins with an empty source.
func NewHistory() *History { return &History{versions: map[string][]Version{}} }

// End notes that what stands under the path is there no longer than now. It
// does nothing if nothing stands there.
func (h *History) End(path string, by Remover) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.versions[path]
	if len(all) == 0 || !all[len(all)-1].To.IsZero() {
		return
	}
	last := &all[len(all)-1]
	last.To, last.TakenBy = time.Now(), by
}

// Begin notes that the path has these contents since from at the earliest.
func (h *History) Begin(path string, sum Sum, from time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions[path] = append(h.versions[path], Version{Path: path, Sum: sum, From: from})
}

// Standing is what stands under the path now, if anything does.
func (h *History) Standing(path string) (Version, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.versions[path]
	if len(all) == 0 || !all[len(all)-1].To.IsZero() {
		return Version{}, false
	}
	return all[len(all)-1], true
}

// All is every version, by path and then by time.
func (h *History) All() []Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Version
	for _, versions := range h.versions {
		all = append(all, versions...)
	}
	slices.SortStableFunc(all, func(a, b Version) int { return strings.Compare(a.Path, b.Path) })
	return all
}
