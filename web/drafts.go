package web

import (
	"crypto/rand"
	"sync"
	"time"

	"sftpconnector/interapp"
)

// How many forms wait for a second look at a time, and for how long.
const (
	maxDrafts  = 200
	draftsLast = 30 * time.Minute
)

// drafts are forms between their review and their confirmation. They are kept here and not
// in the page, as a password that was just typed stands in no page.
type drafts struct {
	mu   sync.Mutex
	kept map[string]draft
}

// draft is what somebody typed.
type draft struct {
	name    string // of the connector
	change  interapp.ConnectorChange
	apply   bool // and then copies all files
	create  bool
	back    string // the page it was typed in, seen from the overview
	of      string // who typed it: the name of the session
	expires time.Time
}

func newDrafts() *drafts { return &drafts{kept: map[string]draft{}} }

// keep keeps a draft and gives its id. Where there are too many, the oldest goes.
func (d *drafts) keep(of string, now time.Time, what draft) string {
	what.of, what.expires = of, now.Add(draftsLast)
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := ""
	for id, k := range d.kept {
		if now.After(k.expires) {
			delete(d.kept, id)
			continue
		}
		if oldest == "" || k.expires.Before(d.kept[oldest].expires) {
			oldest = id
		}
	}
	if len(d.kept) >= maxDrafts {
		delete(d.kept, oldest)
	}
	id := rand.Text()
	d.kept[id] = what
	return id
}

// get gives a draft to who typed it.
func (d *drafts) get(of string, now time.Time, id string) (draft, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.kept[id]
	return k, ok && k.of == of && now.Before(k.expires)
}

// drop forgets a draft.
func (d *drafts) drop(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.kept, id)
}

// keep keeps what the caller typed.
func (a *ask) keep(d draft) string { return a.pages.drafts.keep(a.view.Session.Name, a.view.Now, d) }

// kept gives what the caller typed.
func (a *ask) kept(id string) (draft, bool) {
	return a.pages.drafts.get(a.view.Session.Name, a.view.Now, id)
}
