package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sftpconnector/interapp"
)

// filesPage is the Files page of a connector.
type filesPage struct {
	connectorPage
	Files       []interapp.File
	State, Find string
	Cursor      string // of this page
	More        string // the address of the next page; empty on the last
	States      []string
	Quarantined bool // one of these files is
}

// fileStates are what files can be looked for by.
func fileStates() []string {
	return []string{"failed", "quarantined", "conflict", "waiting", "unsafe", "excluded", "delivered", "present"}
}

func files(a *ask) error {
	base, err := a.connector("files")
	if err != nil {
		return err
	}
	q := a.URL.Query()
	page := filesPage{connectorPage: base, State: q.Get("state"), Find: q.Get("name"), Cursor: q.Get("cursor"), States: fileStates()}
	out, err := a.api.Files(a.Context(), base.Name, interapp.FileQuery{State: page.State, Name: page.Find, Cursor: page.Cursor, Limit: perPage})
	if err != nil {
		return err
	}
	page.Files = out.Files
	if page.State == "" && page.Find == "" && page.Cursor == "" {
		if page.Files, err = a.withWaiting(base.Name, out.Files); err != nil {
			return err
		}
	}
	for _, f := range out.Files {
		page.Quarantined = page.Quarantined || f.State == "quarantined"
	}
	if out.Cursor != "" {
		page.More = base.Path + "/files?" + query("state", page.State, "name", page.Find, "cursor", out.Cursor)
	}
	a.view.Files = true
	return a.show(http.StatusOK, "files", titled(base.Name, "Files"), page)
}

// withWaiting puts the files that the last pass left waiting before those of the ledger.
// One that was delivered in another version stands there once.
func (a *ask) withWaiting(name string, files []interapp.File) ([]interapp.File, error) {
	waiting, err := a.api.Files(a.Context(), name, interapp.FileQuery{State: "waiting", Limit: perPage})
	if err != nil {
		return nil, err
	}
	waits := map[string]bool{}
	for _, f := range waiting.Files {
		waits[f.Name] = true
	}
	return append(waiting.Files, slices.DeleteFunc(files, func(f interapp.File) bool { return waits[f.Name] })...), nil
}

// query makes a query of the pairs whose value is not empty.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q.Encode()
}

// why says in a sentence why a file is not delivered, or that it is.
func why(f interapp.File) string {
	switch {
	case f.Reason != "":
		return f.Reason
	case f.Error != "" && f.State == "quarantined":
		return "It failed five times and is left alone until it is retried: " + f.Error
	case f.Error != "":
		return f.Error
	case f.Unverified:
		return "Delivered, though the server did not confirm what was read; the original is left alone."
	case f.State == "present":
		return "It stood at the destination already."
	case f.Gone:
		return "Delivered; the source does not have it any more."
	}
	return ""
}

// back gives a page of this program to go back to: one that begins as it should.
func (a *ask) back(want string) string {
	if to := a.PostForm.Get("back"); strings.HasPrefix(to, want) && !strings.Contains(to, "\\") && !strings.Contains(to, "done=") {
		return to
	}
	return want
}

func retry(a *ask) error {
	name := a.PathValue("name")
	out, err := a.api.Retry(a.Context(), name, uncarried(a.PostForm["file"]))
	if err != nil {
		return err
	}
	outcome := "released"
	if len(out.Released) == 0 {
		outcome = "none"
	}
	return a.redirect(a.back("connectors/"+segment(name)+"/files"), outcome)
}

// spaceOf gives the Space of a name like spaces/ID; empty for a connector.
func spaceOf(connector string) string { return interapp.SpaceOf(connector) }
