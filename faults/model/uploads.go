package model

import (
	"fmt"
	"slices"
	"time"
)

// Upload is what a client did to put a file into a Space.
type Upload struct {
	Name string
	Sum  Sum
	// Began is before the file was opened, Ended after the answer to its CLOSE
	// came or could not come any more.
	Began, Ended time.Time
	// Outcome is what the client knows.
	Outcome Outcome
}

// Outcome is what a client knows of its upload.
type Outcome string

// What the client knows.
const (
	Acknowledged Outcome = "acknowledged" // CLOSE was answered OK
	Unknown      Outcome = "unknown"      // CLOSE was sent, no answer came
	Cut          Outcome = "cut"          // CLOSE was not sent
)

// SpaceFacts are all that is known of a Space at the end of a run.
type SpaceFacts struct {
	ID       string
	KeepBoth bool
	Uploads  []Upload // in the order in which they ended
	Seen     []Sight
	Standing map[string]Sum
	Pending  []string
	Inbox    []string // files that are still in the inbox
	Posted   []Delivery
}

// CheckSpace gives every violation that the facts show. Uploads of one run have
// sizes of their own, so that a size tells which upload it is.
func CheckSpace(f SpaceFacts) []Violation {
	var all []Violation
	fail := func(promise, format string, args ...any) {
		all = append(all, Violation{promise, f.ID + ": " + fmt.Sprintf(format, args...)})
	}
	imports := f.imports()
	for _, u := range f.Uploads {
		n := imports[u.Sum.Size]
		switch {
		case u.Outcome == Cut && n > 0:
			fail("a cut upload is not imported", "%s of %d bytes was imported", u.Name, u.Sum.Size)
		case n > 1:
			fail("every upload is imported once", "%s of %d bytes was imported %d times", u.Name, u.Sum.Size, n)
		case u.Outcome == Acknowledged && n == 0 && !f.replaced(u):
			fail("every upload is imported once", "%s of %d bytes, acknowledged at %s, was not imported", u.Name, u.Sum.Size, clock(u.Ended))
		case n == 1 && f.KeepBoth && !f.stands(u.Sum):
			fail("every upload is imported once", "%s of %d bytes was imported, and stands nowhere", u.Name, u.Sum.Size)
		}
	}
	for _, s := range f.Seen {
		if !slices.ContainsFunc(f.Uploads, func(u Upload) bool { return u.Sum == s.Sum && u.Outcome != Cut }) {
			fail("only whole files", "%s held %d bytes at %s that no client has uploaded", s.Name, s.Sum.Size, clock(s.At))
		}
	}
	if !f.KeepBoth {
		all = append(all, f.newestStands()...)
	}
	for _, name := range f.Pending {
		fail("nothing is left", "pending file %s", name)
	}
	for _, name := range f.Inbox {
		fail("nothing is left", "%s is in the inbox", name)
	}
	return all
}

// imports counts the deliveries by the sizes of their files. A delivery that is
// posted again has the same sequence.
func (f SpaceFacts) imports() map[int64]int {
	count := map[int64]int{}
	told := map[int64]bool{}
	for _, d := range f.Posted {
		if !told[d.Sequence] {
			told[d.Sequence] = true
			count[d.Size]++
		}
	}
	return count
}

// replaced reports whether a later upload of the same name may have taken the
// place of one that waited for its import.
func (f SpaceFacts) replaced(u Upload) bool {
	if f.KeepBoth {
		return false
	}
	return slices.ContainsFunc(f.Uploads, func(later Upload) bool {
		return later.Name == u.Name && later.Sum != u.Sum && later.Ended.After(u.Began)
	})
}

func (f SpaceFacts) stands(sum Sum) bool {
	for _, stands := range f.Standing {
		if stands == sum {
			return true
		}
	}
	return false
}

// newestStands: of each name the last acknowledged upload stands at the
// destination, or one that may have come after it.
func (f SpaceFacts) newestStands() []Violation {
	var all []Violation
	last := map[string]Upload{}
	for _, u := range f.Uploads {
		if u.Outcome == Acknowledged {
			last[u.Name] = u
		}
	}
	for name, u := range last {
		stands := f.Standing[name]
		if !slices.ContainsFunc(f.Uploads, func(o Upload) bool {
			return o.Name == name && o.Sum == stands && o.Outcome != Cut && !o.Ended.Before(u.Began)
		}) {
			all = append(all, Violation{"every upload is imported once", fmt.Sprintf("%s: %s stands with %v, its last upload has %d bytes", f.ID, name, stands, u.Sum.Size)})
		}
	}
	return all
}
