package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sftpconnector/interapp"
)

// perPage is how many connectors the overview shows at a time.
const perPage = 100

// overdueBy is how late a pass may be before that is told of: the clock ticks, and other
// passes start.
const overdueBy = time.Minute

// The states of a connector or a Space at a glance. Each has a shape of its own.
const (
	stateFailing = "failing" // the connection, or the last pass
	statePartial = "partial" // files of the last pass are not at the destination
	stateOverdue = "overdue"
	stateRunning = "running"
	statePaused  = "paused"
	stateHealthy = "idle" // nothing runs, and nothing is wrong
	stateUnknown = "unchecked"
)

// row is a connector or a Space in the overview.
type row struct {
	Name     string
	Link     string // seen from the overview
	Space    bool
	State    string
	Word     string // of the Connection Status
	Cause    string
	Hint     string
	Since    time.Time
	Held     *time.Time
	Paused   *interapp.Pause
	Schedule string
	Running  *interapp.Running
	Last     *interapp.Pass
	Next     *time.Time
	Strip    strip
	Inbox    *interapp.Inbox // of a Space
}

// Attention reports whether somebody should look at it.
func (r row) Attention() bool { return severity(r.State) > 0 }

func severity(state string) int {
	switch state {
	case stateFailing:
		return 3
	case statePartial:
		return 2
	case stateOverdue:
		return 1
	}
	return 0
}

// connectorRow judges a connector.
func connectorRow(c interapp.Connector, now time.Time) row {
	r := row{Name: c.Name, Link: "connectors/" + segment(c.Name), Word: c.ConnectionStatus, Since: c.Since, Cause: c.Error, Hint: c.Hint,
		Held: c.HeldUntil, Paused: c.Paused, Schedule: c.Schedule, Running: c.Running, Last: c.LastPass, Next: c.NextPass}
	r.State = judge(&r)
	late := c.NextPass != nil && now.Sub(*c.NextPass) > overdueBy
	if late && c.HeldUntil == nil && (r.State == stateHealthy || r.State == stateUnknown) {
		r.State, r.Since = stateOverdue, *c.NextPass
		r.Cause, r.Hint = "A pass was due and has not started.", "Check that this machine is not overloaded, and look into the daemon's log."
	}
	return r
}

// spaceRow judges a Space.
func spaceRow(s interapp.Space) row {
	r := row{Name: s.ID, Link: "spaces/" + segment(s.ID), Space: true, Word: s.ConnectionStatus, Since: s.Since, Cause: s.Error, Hint: s.Hint,
		Running: s.Importing, Last: s.LastImport, Inbox: &s.Inbox}
	r.State = judge(&r)
	if s.Inbox.Full != "" && severity(r.State) < severity(statePartial) {
		r.State, r.Cause, r.Hint = statePartial, s.Inbox.Full, "Uploads are refused until files are imported or removed."
	}
	return r
}

// judge finds the state of a row, and the cause where the last pass has it.
func judge(r *row) string {
	switch {
	case r.Paused != nil:
		r.Cause, r.Hint = "", "Nothing is copied until it is resumed." // who paused it, and why, stands below
		return statePaused
	case !healthy(r.Word):
		return stateFailing
	case r.Last == nil && r.Running == nil:
		return stateUnknown
	case r.Last != nil && r.Last.State == "failed":
		r.Cause, r.Hint = cmp.Or(r.Cause, r.Last.Error), cmp.Or(r.Hint, r.Last.Hint)
		return stateFailing
	case r.Last != nil && r.Last.State == "partial":
		r.Cause, r.Hint = trouble(*r.Last)
		if r.Last.Finished != nil {
			r.Since = *r.Last.Finished
		}
		return statePartial
	case r.Running != nil: // a pass that runs mends nothing yet
		return stateRunning
	case r.Word == "Not Checked":
		return stateUnknown
	}
	return stateHealthy
}

// healthy reports whether a word of the Connection Status calls for nothing.
func healthy(word string) bool {
	return word == "Connection Valid" || word == "Not Checked" || word == "Checking" || word == "Paused"
}

// trouble says what files of a pass are not at the destination, and what to do.
func trouble(p interapp.Pass) (cause, hint string) {
	var parts []string
	for _, c := range []struct {
		n         int64
		one, many string
	}{
		{p.Files.Failed, "file failed", "files failed"},
		{p.Files.Quarantined, "file in quarantine", "files in quarantine"},
		{p.Files.Conflict, "file in conflict with another at the destination", "files in conflict with others at the destination"},
		{p.Files.Unsafe, "file with an unsafe name", "files with unsafe names"},
	} {
		if c.n > 0 {
			parts = append(parts, plural(c.n, c.one, c.many))
		}
	}
	cause = cmp.Or(strings.Join(parts, ", "), p.Error, "Not every file is at the destination.")
	if len(p.Failures) > 0 {
		first := p.Failures[0]
		cause += "; the first: " + first.Name + ": " + first.Error
		hint = first.Hint
	}
	return cause, cmp.Or(hint, p.Hint, "Its Files tell the reason for each.")
}

// board is the overview.
type board struct {
	Total, Attention int
	Unchecked        int
	Paused           int
	Wrong            []row
	Rest             []row
	Spaces           []row
	Matching         int // connectors that the filters let through
	Status, Query    string
	Words            []string // that may be filtered by
	Page, Pages      int
	Empty            bool
	Receives         bool // there are Spaces
}

// Verdict is the first sentence.
func (b board) Verdict() string {
	what := plural(b.Total, "connector", "connectors")
	if b.Receives {
		what = plural(b.Total, "connector or Space", "connectors and Spaces")
	}
	switch {
	case b.Empty:
		return "No connectors yet"
	case b.Attention == 0 && b.Unchecked == b.Total:
		return what + ", not checked yet"
	case b.Attention == 0 && b.Paused > 0:
		return "Nothing needs attention; " + count(b.Paused) + " of " + what + " paused"
	case b.Attention == 0 && b.Unchecked > 0:
		return "Nothing needs attention; " + count(b.Unchecked) + " of " + what + " not checked yet"
	case b.Attention == 0 && b.Total == 1:
		return "All is well with the one " + strings.TrimPrefix(what, "1 ")
	case b.Attention == 0:
		return "All is well with " + what
	case b.Attention == 1:
		return "1 of " + what + " needs attention"
	}
	return count(b.Attention) + " of " + what + " need attention"
}

// Shape is the state that the verdict is drawn with.
func (b board) Shape() string {
	switch {
	case b.Attention > 0:
		return stateFailing
	case b.Unchecked == b.Total:
		return stateUnknown
	case b.Paused == b.Total:
		return statePaused
	}
	return stateHealthy
}

// Turn is the address of another page of the overview.
func (b board) Turn(page int) string {
	q := url.Values{}
	for key, value := range map[string]string{"status": b.Status, "q": b.Query} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return "./?" + q.Encode()
}

// Previous and Next are the pages beside this one; 0 for none.
func (b board) Previous() int { return b.Page - 1 }

// Next is the page after this one; 0 for none.
func (b board) Next() int {
	if b.Page < b.Pages {
		return b.Page + 1
	}
	return 0
}

// arrange makes the overview of rows: what is wrong first, and the rest by name.
func arrange(connectors, spaces []row, status, query string, page int) board {
	b := board{Total: len(connectors) + len(spaces), Status: status, Query: query, Empty: len(connectors)+len(spaces) == 0, Receives: len(spaces) > 0}
	words := map[string]bool{}
	for _, r := range slices.Concat(connectors, spaces) {
		if r.Attention() {
			b.Attention++
		}
		if r.Word == "Not Checked" && r.State == stateUnknown {
			b.Unchecked++
		}
		if r.State == statePaused {
			b.Paused++
		}
		words[r.Word] = true
		if !r.matches(status, query) {
			continue
		}
		switch {
		case r.Attention():
			b.Wrong = append(b.Wrong, r)
		case !r.Space:
			b.Rest = append(b.Rest, r)
		}
		if r.Space {
			b.Spaces = append(b.Spaces, r)
		}
	}
	for word := range words {
		b.Words = append(b.Words, word)
	}
	slices.Sort(b.Words)
	slices.SortStableFunc(b.Wrong, worse)
	b.Matching = len(b.Rest) + len(b.Wrong)
	b.Pages = max(1, (len(b.Rest)+perPage-1)/perPage)
	b.Page = min(max(1, page), b.Pages)
	b.Rest = b.Rest[min(len(b.Rest), (b.Page-1)*perPage):min(len(b.Rest), b.Page*perPage)]
	if b.Page > 1 || len(b.Wrong) > perPage {
		b.Wrong = b.Wrong[:min(len(b.Wrong), perPage)]
	}
	return b
}

// worse orders what is wrong: by how bad it is, and what goes on for the longest first.
func worse(a, b row) int {
	return cmp.Or(cmp.Compare(severity(b.State), severity(a.State)), a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name))
}

// matches reports whether the filters let a row through.
func (r row) matches(status, query string) bool {
	if !strings.Contains(strings.ToLower(r.Name), strings.ToLower(strings.TrimSpace(query))) {
		return false
	}
	switch status {
	case "", "all":
		return true
	case "attention":
		return r.Attention()
	case "running":
		return r.Running != nil
	}
	return r.State == status || r.Word == status
}

func overview(a *ask) error {
	connectors, err := a.api.Connectors(a.Context())
	if err != nil {
		return err
	}
	spaces, err := a.api.Spaces(a.Context())
	if _, err = optional(err); err != nil {
		return err
	}
	var ofConnectors, ofSpaces []row
	for _, c := range connectors {
		ofConnectors = append(ofConnectors, connectorRow(c, a.view.Now))
	}
	for _, s := range spaces {
		ofSpaces = append(ofSpaces, spaceRow(s))
	}
	q := a.URL.Query()
	page, _ := strconv.Atoi(q.Get("page")) // 0 for what is no number
	b := arrange(ofConnectors, ofSpaces, q.Get("status"), q.Get("q"), page)
	if err := a.strips(b.Rest); err != nil {
		return err
	}
	a.view.Tab, a.view.Live, a.view.Failing = "overview", "*", b.Attention > 0
	return a.show(http.StatusOK, "overview", b.Verdict(), b)
}

// Tag says of a state what the word of the Connection Status does not.
func (r row) Tag() string {
	switch {
	case r.State == statePaused && r.Word != "Paused":
		return "paused"
	case r.State == stateFailing && healthy(r.Word):
		return "last pass failed"
	case r.State == statePartial && r.Inbox != nil && r.Inbox.Full != "":
		return "inbox full"
	case r.State == statePartial:
		return "files failed"
	case r.State == stateOverdue, r.State == stateRunning:
		return r.State
	}
	return ""
}

// strips puts the last passes into the rows, of which there are no more than perPage.
func (a *ask) strips(rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	recent, err := a.api.RecentPasses(a.Context(), names, stripLength)
	if _, err := optional(err); err != nil {
		return err
	}
	for i := range rows {
		rows[i].Strip = stripOf(recent[rows[i].Name])
	}
	return nil
}
