package model

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Violation is a promise that was not kept.
type Violation struct {
	Promise string // which one, in a few words
	Detail  string
}

func (v Violation) String() string { return v.Promise + ": " + v.Detail }

// Check gives every violation that the facts show. None is a good run.
func Check(f Facts) []Violation {
	c := newChecker(f)
	c.onlyWholeFiles()
	c.everythingArrived()
	c.noOriginalLost()
	c.recordsAreTrue()
	c.nothingIsLeft()
	c.nothingGreenThatIsNot()
	c.passesDeliver()
	c.requestsAreAnswered()
	c.subscriberIsTold()
	return c.violations
}

type checker struct {
	Facts
	byTarget   map[string][]Version // versions by the name that they get at the destination
	violations []Violation
}

func newChecker(f Facts) *checker {
	c := &checker{Facts: f, byTarget: map[string][]Version{}}
	for _, v := range f.Versions {
		name := Target(f.Connector, v.Path)
		c.byTarget[name] = append(c.byTarget[name], v)
	}
	for link := range f.Links {
		for path, made := range f.endsOf(link) {
			for _, v := range f.Versions {
				if v.Path == path {
					c.byTarget[Target(f.Connector, link)] = append(c.byTarget[Target(f.Connector, link)], v.since(made.first), v.since(made.last))
				}
			}
		}
	}
	return c
}

// since is a version as it shows under a link that was made at that time.
func (v Version) since(made time.Time) Version {
	if v.From.Before(made) {
		v.From = made
	}
	return v
}

// span is when a link led to a path for the first time, and when for the last.
type span struct{ first, last time.Time }

// endsOf gives the paths that a link has ever led to, over other links, too, and since
// when.
func (f Facts) endsOf(link string) map[string]span {
	ends := map[string]span{}
	var follow func(name string, since span)
	follow = func(name string, since span) {
		for _, l := range f.Links[name] {
			now := span{later(since.first, l.At), later(since.last, l.At)}
			known, met := ends[l.To]
			if met && !now.first.Before(known.first) && !now.last.After(known.last) {
				continue
			}
			if met && known.first.Before(now.first) {
				now.first = known.first
			}
			if met {
				now.last = later(known.last, now.last)
			}
			ends[l.To] = now
			follow(l.To, now)
		}
	}
	follow(link, span{})
	return ends
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *checker) fail(promise, format string, args ...any) {
	c.violations = append(c.violations, Violation{promise, c.Connector.Name + ": " + fmt.Sprintf(format, args...)})
}

// onlyWholeFiles: no final name ever held anything but a version that stood
// still for settle, or a file of others. A direct upload is written under its
// final name, by its definition.
func (c *checker) onlyWholeFiles() {
	if c.Connector.Direction == "upload" && c.Connector.UploadName == "direct" {
		return
	}
	for _, s := range c.Seen {
		if slices.Contains(c.Planted[s.Name], s.Sum) {
			continue
		}
		var longest time.Duration = -1
		for _, v := range c.byTarget[s.Name] {
			if v.Sum == s.Sum {
				longest = max(longest, v.Stood(s.At))
			}
		}
		switch {
		case longest < 0:
			c.fail("only whole files", "%s held %d bytes at %s that are no version of its file", s.Name, s.Sum.Size, clock(s.At))
		case longest < c.Connector.Settle:
			c.fail("only ready files", "%s held %d bytes at %s, a version that had stood still for %s only", s.Name, s.Sum.Size, clock(s.At), longest.Round(time.Millisecond))
		}
	}
}

// everythingArrived: at the end each file that stands at the source stands at
// the destination, or is reported with a reason that the suite has given.
func (c *checker) everythingArrived() {
	for _, v := range c.Versions {
		if !v.To.IsZero() {
			continue
		}
		name := Target(c.Connector, v.Path)
		if c.Standing[name] == v.Sum {
			continue
		}
		if c.isReported(v.Path) && c.excused(name, v) {
			continue
		}
		if c.Taken[name] && c.Connector.Direction == "upload" {
			continue // what a receiver took is never sent again
		}
		row, _ := c.row(v.Path)
		c.fail("everything arrives", "%s of %d bytes stands at the source since %s; the destination has %v; the API says %q, %q, %q",
			v.Path, v.Sum.Size, clock(v.From), c.Standing[name], row.State, row.Reason, row.Error)
	}
}

// isReported reports whether the ledger, or the last Apply, says that a file
// could not be delivered.
func (c *checker) isReported(path string) bool {
	row, ok := c.row(path)
	return ok && !row.Delivered() || slices.ContainsFunc(c.Failures, func(f Problem) bool { return f.Name == path })
}

// excused reports whether the suite has done something for which a file may be
// reported instead of delivered: a foreign file stands in its way, or another
// file of the same name does in a flat layout.
func (c *checker) excused(name string, of Version) bool {
	if len(c.Planted[name]) > 0 || c.Taken[name] {
		return true
	}
	return slices.ContainsFunc(c.byTarget[name], func(v Version) bool { return v.Path != of.Path })
}

// noOriginalLost: what the product removed from the source stands at the
// destination, or something newer of its name does.
func (c *checker) noOriginalLost() {
	for _, v := range c.Versions {
		if v.TakenBy != Product {
			continue
		}
		name := Target(c.Connector, v.Path)
		switch {
		case !c.Connector.Takes():
			c.fail("no original is lost", "%s of %d bytes was removed at the source by %s, with after_copy: leave", v.Path, v.Sum.Size, clock(v.To))
		case !c.Taken[name] && !c.sameOrNewer(name, v):
			c.fail("no original is lost", "%s of %d bytes was removed at the source by %s, and the destination has %v", v.Path, v.Sum.Size, clock(v.To), c.Standing[name])
		case c.Connector.AfterCopy == "move" && !slices.Contains(c.Archive, v.Sum):
			c.fail("no original is lost", "%s of %d bytes was moved away by %s, and is not where it was moved to", v.Path, v.Sum.Size, clock(v.To))
		}
	}
}

func (c *checker) sameOrNewer(name string, than Version) bool {
	stands, ok := c.Standing[name]
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.byTarget[name], func(v Version) bool {
		return v.Sum == stands && !v.From.Before(than.From)
	})
}

// recordsAreTrue: what the API says is delivered stands there as it says, and
// nothing stands there that it does not know of.
func (c *checker) recordsAreTrue() {
	known := map[string]bool{}
	for _, row := range c.Files {
		if !row.Delivered() {
			continue
		}
		known[row.Target] = true
		stands, ok := c.Standing[row.Target]
		if c.Taken[row.Target] || len(c.Planted[row.Target]) > 0 || c.shared(row) {
			continue
		}
		if !ok || stands.Size != row.Size {
			c.fail("records are true", "%s is %s with %d bytes, says the API; the destination has %v", row.Name, row.State, row.Size, stands)
		}
	}
	for name := range c.Standing {
		if !known[name] && len(c.Planted[name]) == 0 && c.reported(name) == 0 {
			c.fail("records are true", "%s stands at the destination, and no row says so", name)
		}
	}
}

// shared reports whether another path has the row's target, too.
func (c *checker) shared(row File) bool {
	return slices.ContainsFunc(c.byTarget[row.Target], func(v Version) bool { return v.Path != row.Name })
}

// reported counts rows that are about a name without being delivered: an older
// version may stand there while a newer one fails.
func (c *checker) reported(name string) int {
	n := 0
	for _, row := range c.Files {
		if Target(c.Connector, row.Name) == name && !row.Delivered() {
			n++
		}
	}
	return n
}

// nothingIsLeft: no pending file is left when all is done, and no original that
// should be gone.
func (c *checker) nothingIsLeft() {
	for _, name := range c.Pending {
		c.fail("nothing is left", "pending file %s", name)
	}
	if !c.Connector.Takes() {
		return
	}
	for name, sum := range c.Source {
		row, ok := c.row(name)
		if ok && row.Delivered() && !row.Unverified && c.Standing[Target(c.Connector, name)] == sum && !c.excused(Target(c.Connector, name), Version{Path: name}) {
			c.fail("nothing is left", "the original of %s, which is %s with %d bytes", name, row.State, row.Size)
		}
	}
}

// nothingGreenThatIsNot: a pass that could deliver nothing, as an outage lasted
// from before it until after it, and had something to deliver, has not succeeded.
func (c *checker) nothingGreenThatIsNot() {
	for _, p := range c.Passes {
		if c.ClockWrong || p.State != "succeeded" || p.Finished == nil {
			continue
		}
		for _, o := range c.Outages {
			if !o.From.Before(p.Started) || !o.To.After(*p.Finished) {
				continue
			}
			for _, v := range c.undelivered(p) {
				c.fail("nothing green that is not", "pass %s from %s to %s succeeded while %s, and %s of %d bytes was not delivered", p.Pass, clock(p.Started), clock(*p.Finished), o.Why, v.Path, v.Sum.Size)
			}
		}
	}
}

// passesDeliver: a pass that has succeeded with nothing left to wait for has
// delivered every version that stood at the source during all of it, also those
// that were replaced later.
func (c *checker) passesDeliver() {
	for _, p := range c.Passes {
		if c.ClockWrong || p.State != "succeeded" || p.Finished == nil || p.Mode == "request" {
			continue
		}
		for _, v := range c.undelivered(p) {
			if !c.told(v) {
				c.fail("a pass that succeeds has delivered", "pass %s from %s to %s succeeded, and %s of %d bytes, which stood since %s, was not delivered",
					p.Pass, clock(p.Started), clock(*p.Finished), v.Path, v.Sum.Size, clock(v.From))
			}
		}
	}
}

// undelivered gives the versions that were ready long before a pass, stood until
// after it, and had not been seen at the destination by then. There are none if
// the pass says that files wait.
func (c *checker) undelivered(p Pass) []Version {
	if p.Files.Waiting > 0 {
		return nil
	}
	var all []Version
	for _, v := range c.Versions {
		ready := v.From.Add(2*c.Connector.Settle + 2*c.Connector.Interval)
		if ready.After(p.Started) || (!v.To.IsZero() && v.To.Before(*p.Finished)) || c.excused(Target(c.Connector, v.Path), v) {
			continue
		}
		if !slices.ContainsFunc(c.Seen, func(s Sight) bool { return s.Sum == v.Sum && s.At.Before(p.Finished.Add(time.Second)) }) {
			all = append(all, v)
		}
	}
	return all
}

// told reports whether the subscriber was told of a version, which its reader
// may have missed.
func (c *checker) told(v Version) bool {
	return slices.ContainsFunc(c.Posted, func(d Delivery) bool { return d.SourceName == v.Path && d.Size == v.Sum.Size })
}

// requestsAreAnswered: every accepted request has one answer, and it is true.
func (c *checker) requestsAreAnswered() {
	for _, r := range c.Requests {
		if !r.Accepted {
			continue
		}
		if r.State == "accepted" || r.State == "running" || r.Reply == nil {
			c.fail("requests are answered", "request %s is %s at the end", r.ID, r.State)
			continue
		}
		if r.ReplyTo && len(r.Posted) == 0 {
			c.fail("requests are answered", "the reply of %s was not posted", r.ID)
		}
		for _, posted := range r.Posted {
			if !slices.Equal(posted.FileNames, r.Reply.FileNames) || posted.Success != r.Reply.Success {
				c.fail("requests are answered", "two answers to %s: %v and %v", r.ID, posted, *r.Reply)
			}
		}
		c.replyIsTrue(r)
	}
}

func (c *checker) replyIsTrue(r Request) {
	named := map[string]bool{}
	problems := slices.Concat(r.Reply.Waiting, r.Reply.Failed)
	if r.Reply.Success && len(problems) > 0 {
		c.fail("requests are answered", "the reply of %s is a success with %d files that are not there", r.ID, len(problems))
	}
	for _, problem := range problems {
		if problem.Reason == "" {
			c.fail("requests are answered", "the reply of %s does not say what is with %s", r.ID, problem.Name)
		}
		// A request may copy a version, and then see something else by its name.
		later := strings.HasPrefix(problem.Reason, "a version of it is there")
		if !later && slices.ContainsFunc(r.Reply.Files, func(file ReplyFile) bool { return file.SourceName == problem.Name }) {
			c.fail("requests are answered", "the reply of %s says that %s is there, and that it is not", r.ID, problem.Name)
		}
	}
	for _, file := range r.Reply.Files {
		named[file.SourceName] = true
		seen := slices.ContainsFunc(c.Seen, func(s Sight) bool {
			return s.Name == file.Name && s.Sum.Size == file.Size && (c.ClockWrong || s.At.Before(r.Finished.Add(2*time.Second)))
		})
		if !seen && len(c.Planted[file.Name]) == 0 && !c.Taken[file.Name] {
			c.fail("requests are answered", "the reply of %s names %s with %d bytes, which was not at the destination", r.ID, file.Name, file.Size)
		}
	}
	if !r.Reply.Success || c.ClockWrong {
		return
	}
	for _, v := range c.Versions {
		matches, _ := path.Match(r.Filter, path.Base(v.Path))
		stood := v.From.Before(r.Sent) && (v.To.IsZero() || v.To.After(r.Finished))
		if matches && stood && !named[v.Path] && !c.excused(Target(c.Connector, v.Path), v) {
			c.fail("requests are answered", "the reply of %s is a success without %s, which stood at the source all the time", r.ID, v.Path)
		}
	}
}

// subscriberIsTold: whoever is told of all deliveries was told of each that the
// ledger has, in their order; the same sequence is the same delivery.
func (c *checker) subscriberIsTold() {
	told := map[Delivery]bool{}
	bySequence := map[int64]Delivery{}
	newest := int64(0)
	for _, d := range c.Posted {
		if _, again := bySequence[d.Sequence]; !again && d.Sequence < newest {
			c.fail("subscribers are told", "of sequence %d after %d", d.Sequence, newest)
		}
		newest = max(newest, d.Sequence)
		if other, ok := bySequence[d.Sequence]; ok && other != d {
			c.fail("subscribers are told", "sequence %d is %v and %v", d.Sequence, other, d)
		}
		bySequence[d.Sequence] = d
		if !c.seen(d) {
			c.fail("subscribers are told", "of %s with %d bytes, which was never at the destination", d.Name, d.Size)
		}
		d.Sequence = 0
		told[d] = true
	}
	if c.Connector.UploadName != "direct" { // whose parts are seen
		c.eachCopyIsTold()
	}
	for _, row := range c.Files {
		if row.State != "delivered" {
			continue
		}
		if !told[Delivery{Name: row.Target, SourceName: row.Name, Size: row.Size}] {
			c.fail("subscribers are told", "not of %s with %d bytes", row.Name, row.Size)
		}
	}
}

// eachCopyIsTold: the subscriber was told of each copy that was seen, also of
// those that were replaced later. What was there before us is not told.
func (c *checker) eachCopyIsTold() {
	for _, s := range c.Seen {
		if slices.Contains(c.Planted[s.Name], s.Sum) || slices.ContainsFunc(c.Files, func(f File) bool { return f.Target == s.Name && f.State == "present" }) {
			continue
		}
		if !slices.ContainsFunc(c.Posted, func(d Delivery) bool { return d.Name == s.Name && d.Size == s.Sum.Size }) {
			c.fail("subscribers are told", "not of %s with %d bytes, which was seen at %s", s.Name, s.Sum.Size, clock(s.At))
		}
	}
}

// seen reports whether a delivery stood at the destination.
func (c *checker) seen(d Delivery) bool {
	return len(c.Planted[d.Name]) > 0 || c.Taken[d.Name] || slices.ContainsFunc(c.Seen, func(s Sight) bool {
		return s.Name == d.Name && s.Sum.Size == d.Size
	})
}

func (c *checker) row(path string) (File, bool) {
	for _, row := range c.Files {
		if row.Name == path {
			return row, true
		}
	}
	return File{}, false
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
