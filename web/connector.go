package web

import (
	"encoding/json"
	"net/http"
	"time"

	"sftpconnector/interapp"
)

// connectorPage is what every page of a connector has.
type connectorPage struct {
	Name    string
	Path    string // of its General page, seen from the overview
	Section string // which of its pages this is
	C       interapp.Connector
	Row     row
	Now     time.Time
}

// connector asks for the connector of the page's address, and starts the page.
func (a *ask) connector(section string) (connectorPage, error) {
	name := a.PathValue("name")
	c, err := a.api.Connector(a.Context(), name)
	if err != nil {
		return connectorPage{}, err
	}
	r := connectorRow(c, a.view.Now)
	a.view.Live, a.view.Failing = name, r.Attention()
	return connectorPage{Name: name, Path: "connectors/" + segment(name), Section: section, C: c, Row: r, Now: a.view.Now}, nil
}

// Rate is how many bytes a second the pass under way copies.
func (p connectorPage) Rate() string {
	rate := p.rate()
	if rate < 1 {
		return ""
	}
	return size(int64(rate)) + "/s"
}

func (p connectorPage) rate() float64 {
	r := p.C.Running
	if r == nil || r.Progress == nil {
		return 0
	}
	return float64(r.Progress.BytesDone) / max(1, p.Now.Sub(r.Started).Seconds())
}

// Left is how long the pass under way will take; empty where that cannot be told yet.
func (p connectorPage) Left() string {
	rate := p.rate()
	if rate < 1 || !p.C.Running.Progress.ListingDone {
		return ""
	}
	left := float64(p.C.Running.Progress.BytesFound-p.C.Running.Progress.BytesDone) / rate
	return span(time.Duration(max(0, left)) * time.Second)
}

// generalPage is the General page.
type generalPage struct {
	connectorPage
	Configured bool // the settings can be read
	Version    string
	Sections   []section
	Error      string // why what was typed was refused
	Draft      string
	Unsaved    bool // what is shown was typed and is not saved
}

func general(a *ask) error { return a.general(http.StatusOK, draft{}, "", "") }

// general draws the General page, with what was typed if it was refused.
func (a *ask) general(code int, typed draft, id, refused string) error {
	base, err := a.connector("general")
	if err != nil {
		return err
	}
	page := generalPage{connectorPage: base, Draft: id, Error: refused, Unsaved: id != ""}
	conf, err := a.api.ConnectorConfiguration(a.Context(), base.Name)
	if page.Configured, err = configured(err); err != nil {
		return err
	}
	page.Version = conf.Version
	page.Sections = []section{{"SFTP Configuration", pick(conf.Settings, sftpKeys())}, {"File Handling Overview", pick(conf.Settings, fileKeys())}}
	if len(page.Sections[0].Fields)+len(page.Sections[1].Fields) == 0 {
		page.Configured = false
	}
	for _, s := range page.Sections {
		overlay(s.Fields, typed.change.Set)
	}
	return a.show(code, "general", titled(base.Name, base.Row.Word), page)
}

// configured takes the answer about a configuration that the caller may not see, or that
// there is none of.
func configured(err error) (bool, error) {
	if status(err) == http.StatusForbidden {
		return false, nil
	}
	return optional(err)
}

func titled(name, rest string) string {
	n := nameOf(name)
	return n.Short + " · " + rest
}

// apply copies all files now. What was changed in the form is looked at first, and saved.
func apply(a *ask) error {
	if a.PostForm.Has("version") {
		return a.review(true)
	}
	return a.apply("applied")
}

// apply starts an Apply and leads to the connector, which shows it.
func (a *ask) apply(outcome string) error {
	name := a.PathValue("name")
	if _, _, err := a.api.Apply(a.Context(), name, 0); err != nil {
		return err
	}
	return a.redirect("connectors/"+segment(name), outcome)
}

// checkPage is the outcome of a check.
type checkPage struct {
	connectorPage
	Check interapp.Check
	Typed bool // it was of settings that are not saved
	Draft string
}

// check tests the connection, with what is in the form.
func check(a *ask) error {
	base, err := a.connector("general")
	if err != nil {
		return err
	}
	a.view.Live = "" // the page is an answer, and not the state
	if a.PostForm.Has("version") {
		d, err := a.typed(false)
		if err != nil {
			return err
		}
		if len(d.change.Set) > 0 {
			return a.checkTyped(base, d)
		}
	}
	out, err := a.api.Check(a.Context(), base.Name)
	if err != nil {
		return err
	}
	return a.show(http.StatusOK, "check", titled(base.Name, out.ConnectionStatus), checkPage{connectorPage: base, Check: out})
}

// checkTyped tests the connection with settings that are not saved.
func (a *ask) checkTyped(base connectorPage, d draft) error {
	change := d.change
	change.DryRun, change.Check = true, true
	out, err := a.api.ChangeConnector(a.Context(), base.Name, change)
	if err != nil {
		return a.refused(d, err)
	}
	page := checkPage{connectorPage: base, Typed: true, Draft: a.keep(d)}
	if out.Check != nil {
		page.Check = *out.Check
	}
	return a.show(http.StatusOK, "check", titled(base.Name, page.Check.ConnectionStatus), page)
}

func pause(a *ask) error {
	name := a.PathValue("name")
	if _, err := a.api.Pause(a.Context(), name, typedText(a.PostForm.Get("reason"))); err != nil {
		return err
	}
	return a.redirect("connectors/"+segment(name), "paused")
}

func resume(a *ask) error {
	name := a.PathValue("name")
	if _, err := a.api.Resume(a.Context(), name); err != nil {
		return err
	}
	return a.redirect("connectors/"+segment(name), "resumed")
}

// hostKeyPage is the key that the server shows.
type hostKeyPage struct {
	connectorPage
	Key   interapp.ServerHostKey
	Error string // why it could not be asked for
}

func hostKey(a *ask) error {
	base, err := a.connector("general")
	if err != nil {
		return err
	}
	a.view.Live = ""
	page := hostKeyPage{connectorPage: base}
	if page.Key, err = a.api.HostKey(a.Context(), base.Name); err != nil {
		if code := status(err); code == http.StatusUnauthorized || code == http.StatusForbidden {
			return err
		}
		page.Error = err.Error()
	}
	return a.show(http.StatusOK, "host-key", titled(base.Name, "Host key"), page)
}

func trust(a *ask) error {
	name := a.PathValue("name")
	t := interapp.TrustRequest{Fingerprint: a.PostForm.Get("fingerprint"), Replace: a.PostForm.Get("replace") != ""}
	if _, err := a.api.Trust(a.Context(), name, t); err != nil {
		return err
	}
	// So that the Connection Status is the one with the key; it says what is wrong.
	_, _ = a.api.Check(a.Context(), name)
	return a.redirect("connectors/"+segment(name), "trusted")
}

// schedule asks for the schedule with its next runs, or for those of another one that is
// only looked at.
func (a *ask) schedule(name, other string) (interapp.Schedule, error) {
	var out interapp.Schedule
	at := "/api/v1/connectors/" + segment(name) + "/schedule"
	if other != "" {
		at += "?" + query(scheduleKey, other)
	}
	text, err := a.get(a.Context(), at)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	return out, err
}
