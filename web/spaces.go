package web

import (
	"net/http"
	"strconv"

	"sftpconnector/interapp"
)

// spacePage is the page of a Space.
type spacePage struct {
	S           interapp.Space
	Row         row
	Path        string
	Files       interapp.SpaceFiles
	State, Find string
	States      []string
	More        string
	First       bool // the page that has the inbox
	Quarantined bool
}

// Used is how much of the quota is taken, in percent.
func (p spacePage) Used() int64 {
	if p.S.Inbox.Quota <= 0 {
		return 0
	}
	return min(100, 100*p.S.Inbox.Bytes/p.S.Inbox.Quota)
}

func spaceStates() []string {
	return []string{"uploading", "interrupted", "waiting", "ready", "temporary", "unsafe", "failed", "quarantined", "conflict", "delivered", "present"}
}

func space(a *ask) error {
	id := a.PathValue("id")
	s, err := a.api.Space(a.Context(), id)
	if err != nil {
		return err
	}
	q := a.URL.Query()
	page := spacePage{S: s, Row: spaceRow(s), Path: "spaces/" + segment(id), State: q.Get("state"), Find: q.Get("name"), States: spaceStates(), First: q.Get("cursor") == ""}
	page.Files, err = a.api.SpaceFiles(a.Context(), id, interapp.FileQuery{State: page.State, Name: page.Find, Cursor: q.Get("cursor"), Limit: perPage})
	if err != nil {
		return err
	}
	for _, f := range page.Files.Files {
		page.Quarantined = page.Quarantined || f.State == "quarantined"
	}
	if page.Files.Cursor != "" {
		page.More = page.Path + "?" + query("state", page.State, "name", page.Find, "cursor", page.Files.Cursor)
	}
	a.view.Live, a.view.Files, a.view.Failing = interapp.SpaceConnector(id), true, page.Row.Attention()
	return a.show(http.StatusOK, "space", titled(id, page.Row.Word), page)
}

// credentialsPage shows a password, once.
type credentialsPage struct {
	S     interapp.Space
	Path  string
	New   interapp.NewCredentials
	Login string // the line that logs in
}

func newCredentials(a *ask) error {
	id := a.PathValue("id")
	out, err := a.api.CreateCredentials(a.Context(), id)
	if err != nil {
		return err
	}
	s, err := a.api.Space(a.Context(), id)
	if err != nil {
		s = interapp.Space{ID: id} // the password is there, and is shown whatever else fails
	}
	page := credentialsPage{S: s, Path: "spaces/" + segment(id), New: out, Login: loginLine(out.Login)}
	return a.show(http.StatusOK, "credentials", titled(id, "SFTP Credentials"), page)
}

// loginLine is what a user types to log in.
func loginLine(l interapp.SFTPLogin) string {
	line := "sftp "
	if port, err := strconv.Atoi(l.Port); err == nil && port != 22 {
		line += "-P " + strconv.Itoa(port) + " "
	}
	return line + l.Username + "@" + l.Host
}

func revoke(a *ask) error {
	id := a.PathValue("id")
	credential := a.PostForm.Get("credential")
	if credential == "" && a.PostForm.Get("all") == "" {
		return &interapp.Problem{Status: http.StatusBadRequest, Title: "Bad Request", Detail: "No credential was named."}
	}
	if _, err := a.api.RevokeCredentials(a.Context(), id, credential); err != nil {
		return err
	}
	return a.redirect("spaces/"+segment(id), "revoked")
}

func retrySpace(a *ask) error {
	id := a.PathValue("id")
	out, err := a.api.RetrySpace(a.Context(), id, uncarried(a.PostForm["file"]))
	if err != nil {
		return err
	}
	outcome := "released"
	if len(out.Released) == 0 {
		outcome = "none"
	}
	return a.redirect(a.back("spaces/"+segment(id)), outcome)
}
