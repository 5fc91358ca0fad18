package web

import (
	"net/http"
	"strings"

	"sftpconnector/interapp"
)

// filePage is the page Configuration.
type filePage struct {
	File  interapp.ConfigurationFile
	Lines []string
}

func configuration(a *ask) error {
	file, err := a.api.Configuration(a.Context())
	if err != nil {
		return err
	}
	a.view.Tab, a.view.Failing = "configuration", file.LastReload != nil && file.LastReload.Error != ""
	page := filePage{File: file, Lines: strings.Split(strings.TrimSuffix(typedText(file.YAML), "\n"), "\n")}
	return a.show(http.StatusOK, "configuration", "Configuration", page)
}

func reload(a *ask) error {
	out, err := a.api.Reload(a.Context())
	if err != nil {
		return err
	}
	if out.Error != "" {
		return a.redirect("configuration", "refused")
	}
	return a.redirect("configuration", "reloaded")
}

// auditPage is a page of the audit.
type auditPage struct {
	Entries   []interapp.AuditEntry
	Connector string
	More      string
}

func audit(a *ask) error {
	q := a.URL.Query()
	page := auditPage{Connector: q.Get("connector")}
	out, err := a.api.Audit(a.Context(), page.Connector, q.Get("cursor"), perPage)
	if err != nil {
		return err
	}
	page.Entries = out.Entries
	if out.Cursor != "" {
		page.More = "audit?" + query("connector", page.Connector, "cursor", out.Cursor)
	}
	a.view.Tab = "audit"
	return a.show(http.StatusOK, "audit", "Audit", page)
}
