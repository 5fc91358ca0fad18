package web

import (
	"net/http"
	"strings"

	"sftpconnector/interapp"
)

// reviewPage shows what a change would change, before it does.
type reviewPage struct {
	Name    string
	Path    string
	Back    string
	Draft   string
	Apply   bool
	Create  bool
	Changed interapp.ConnectorChanged
	Failed  *interapp.Check // the check of the new settings, which failed
}

// typed reads what was typed into a form about a connector.
func (a *ask) typed(apply bool) (draft, error) {
	name := a.PathValue("name")
	conf, err := a.api.ConnectorConfiguration(a.Context(), name)
	if err != nil {
		return draft{}, err
	}
	back := "connectors/" + segment(name)
	if a.PostForm.Get("page") == "configuration" {
		back += "/configuration"
	}
	d := draft{name: name, back: back, apply: apply, change: interapp.ConnectorChange{Version: a.PostForm.Get("version")}}
	if a.PostForm.Has("yaml") {
		text := typedText(a.PostForm.Get("yaml"))
		if text != typedText(conf.YAML) {
			d.change.YAML = &text
		}
		return d, nil
	}
	earlier, _ := a.kept(a.PostForm.Get("draft"))
	d.change.Set = changesOf(conf.Settings, a.PostForm, earlier.change.Set)
	return d, nil
}

// review shows what the settings of a form would change.
func review(a *ask) error { return a.review(false) }

func (a *ask) review(apply bool) error {
	d, err := a.typed(apply)
	if err != nil {
		return err
	}
	switch {
	case len(d.change.Set) > 0 || d.change.YAML != nil:
		return a.propose(d)
	case apply:
		return a.apply("applied")
	}
	return a.redirect(d.back, "unchanged")
}

// propose tries a change without writing anything, and shows what it would do.
func (a *ask) propose(d draft) error {
	change := d.change
	change.DryRun = true
	var out interapp.ConnectorChanged
	var err error
	if d.create {
		out, err = a.api.CreateConnector(a.Context(), d.name, change)
	} else {
		out, err = a.api.ChangeConnector(a.Context(), d.name, change)
	}
	if err != nil {
		return a.refused(d, err)
	}
	return a.showReview(http.StatusOK, d, out, nil)
}

func (a *ask) showReview(code int, d draft, out interapp.ConnectorChanged, failed *interapp.Check) error {
	page := reviewPage{Name: d.name, Path: "connectors/" + segment(d.name), Back: d.back, Apply: d.apply, Create: d.create, Changed: out, Failed: failed,
		Draft: a.keep(d)}
	a.view.Failing = failed != nil
	return a.show(code, "review", titled(d.name, "What will change"), page)
}

// refused answers a change that was refused: with both versions if the file is another one
// by now, else with the form as it was typed.
func (a *ask) refused(d draft, err error) error {
	code := http.StatusUnprocessableEntity
	switch got := status(err); got {
	case http.StatusConflict:
		file, ferr := a.api.Configuration(a.Context())
		if ferr != nil {
			return ferr
		}
		if file.Version != d.change.Version {
			return a.conflict(d)
		}
		// The file is the same: there is a connector of that name.
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
	case http.StatusServiceUnavailable: // the file cannot be written
		code = got
	default:
		return err
	}
	id := a.keep(d)
	detail := reason(err)
	switch {
	case d.create:
		return a.addForm(code, d, id, detail)
	case strings.HasSuffix(d.back, "/configuration"):
		return a.configuration(code, d, id, detail)
	}
	return a.general(code, d, id, detail)
}

// reason is what the API says, without what was called.
func reason(err error) string {
	for e := err; e != nil; {
		if p, ok := e.(*interapp.Problem); ok {
			return p.Error()
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return err.Error()
}

// conflictPage has both versions of what two hands changed.
type conflictPage struct {
	Name   string
	Path   string
	Back   string
	Create bool
	Draft  string
	Rows   []both
	Theirs string // the text of the file now
	Mine   string // the text that was typed; empty for single settings
}

// both is a setting as the file has it now, and as it was typed.
type both struct {
	Key, Label, Theirs, Mine string
	Secret                   bool
}

// conflict shows what the file says now beside what was typed. The draft goes over to the
// new version of the file, so that it can be saved knowingly.
func (a *ask) conflict(d draft) error {
	page := conflictPage{Name: d.name, Path: "connectors/" + segment(d.name), Back: d.back, Create: d.create}
	var settings []interapp.Setting
	if d.create {
		file, err := a.api.Configuration(a.Context())
		if err != nil {
			return err
		}
		d.change.Version, page.Theirs = file.Version, file.YAML
	} else {
		conf, err := a.api.ConnectorConfiguration(a.Context(), d.name)
		if err != nil {
			return err
		}
		d.change.Version, page.Theirs, settings = conf.Version, conf.YAML, conf.Settings
	}
	if d.change.YAML != nil {
		page.Mine = *d.change.YAML
	}
	for _, s := range settings {
		mine, ok := d.change.Set[s.Key]
		if !ok {
			continue
		}
		b := both{Key: s.Key, Label: cmpText(labels[s.Key], s.Key), Theirs: shown(s), Secret: s.Secret}
		if mine != nil && !s.Secret {
			b.Mine = *mine
		}
		page.Rows = append(page.Rows, b)
	}
	page.Draft = a.keep(d)
	a.view.Failing = true
	return a.show(http.StatusConflict, "conflict", titled(d.name, "Changed by another hand"), page)
}

// confirm saves what was looked at, or goes back to the form with it.
func confirm(a *ask) error { return a.confirm() }

func confirmConnector(a *ask) error { return a.confirm() }

func (a *ask) confirm() error {
	id := a.PostForm.Get("draft")
	d, ok := a.kept(id)
	if !ok || !d.create && d.name != a.PathValue("name") {
		return &interapp.Problem{Status: http.StatusGone, Title: "Gone", Detail: "What was typed is not kept any more, as it waited for longer than half an hour, the program was started anew, or it was saved already: look at the settings, and type it again if need be."}
	}
	if a.PostForm.Has("yaml") && d.change.YAML != nil {
		text := typedText(a.PostForm.Get("yaml"))
		d.change.YAML = &text
	}
	switch {
	case a.PostForm.Has("edit") && d.create:
		return a.addForm(http.StatusOK, d, id, "")
	case a.PostForm.Has("edit") && strings.HasSuffix(d.back, "/configuration"):
		return a.configuration(http.StatusOK, d, id, "")
	case a.PostForm.Has("edit"):
		return a.general(http.StatusOK, d, id, "")
	case a.PostForm.Has("review"):
		return a.propose(d)
	}
	return a.save(id, d)
}

// save writes a change, after a check with the new settings.
func (a *ask) save(id string, d draft) error {
	change := d.change
	change.Check, change.Force = true, a.PostForm.Has("force")
	var out interapp.ConnectorChanged
	var err error
	if d.create {
		out, err = a.api.CreateConnector(a.Context(), d.name, change)
	} else {
		out, err = a.api.ChangeConnector(a.Context(), d.name, change)
	}
	if err != nil {
		return a.refused(d, err)
	}
	if !out.Saved && out.Check != nil {
		return a.showReview(http.StatusUnprocessableEntity, d, out, out.Check)
	}
	a.pages.drafts.drop(id)
	at := "connectors/" + segment(d.name)
	switch {
	case out.Reload != nil && out.Reload.Error != "":
		return a.redirect("configuration", "saved-only")
	case d.create:
		return a.redirect(at, "created")
	case d.apply:
		if _, _, err := a.api.Apply(a.Context(), d.name, 0); err != nil {
			return err
		}
		return a.redirect(at, "saved-apply")
	}
	return a.redirect(d.back, savedAs(out, "saved"))
}
