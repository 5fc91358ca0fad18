package web

import (
	"net/http"
	"strings"

	"sftpconnector/interapp"
)

// addPage is the form of a new connector.
type addPage struct {
	Configured bool
	Version    string
	ReadOnly   string
	Name       string
	Sections   []section
	Schedule   scheduleForm
	Error      string
	Draft      string
}

// newSettings are what the form of a new connector asks for. Everything else has a default,
// and can be changed once the connector is there.
func newSettings() []interapp.Setting {
	setting := func(key, value, doc string, allowed ...string) interapp.Setting {
		return interapp.Setting{Key: key, Value: value, Default: value, Doc: doc, Allowed: allowed, Editable: true}
	}
	secret := func(key, doc string) interapp.Setting {
		return interapp.Setting{Key: key, Doc: doc, Secret: true, Editable: true}
	}
	return []interapp.Setting{
		setting("sftp.host", "", "Name or address of the SFTP server."),
		setting("sftp.port", "22", "Usually 22."),
		setting("sftp.username", "", "The user that logs in."),
		setting("sftp.authentication", "credentials", "A password, a private key, or both one after the other.", "credentials", "key-pairs", "both", "agent"),
		secret("sftp.password", "With Credentials: the password of the Username."),
		setting("sftp.key_pairs_path", "", "With Key Pairs: the file with the private key, on the machine of this program."),
		secret("sftp.key_pairs_passphrase", "Of the private key, if it has one."),
		setting("sftp.host_key", "known-hosts", "known-hosts: trust it by hand after the first check; accept-new: trust the key of the first connection; or its SHA256: fingerprint."),
		setting("files.source_directory_path", "", "The directory on the server whose files are copied, with its children."),
		setting("files.destination_directory_path", "", "The directory that gets the copies: here, or a share as smb://host/share/directory."),
		setting("files.system_username", "", "For a share: a user that has access to it."),
		secret("files.system_password", "For a share: the password of the System Username."),
	}
}

func addConnector(a *ask) error { return a.addForm(http.StatusOK, draft{}, "", "") }

// addForm draws the form of a new connector, with what was typed if it was refused.
func (a *ask) addForm(code int, typed draft, id, refused string) error {
	file, err := a.api.Configuration(a.Context())
	page := addPage{Version: file.Version, ReadOnly: file.ReadOnly, Name: typed.name, Error: refused, Draft: id}
	if page.Configured, err = optional(err); err != nil {
		return err
	}
	page.Sections = []section{{"SFTP Configuration", pick(newSettings(), sftpKeys())}, {"File Handling Overview", pick(newSettings(), fileKeys())}}
	for _, s := range page.Sections {
		overlay(s.Fields, typed.change.Set)
	}
	page.Schedule = scheduleFormOf("N/A")
	if s := typed.change.Set[scheduleKey]; s != nil {
		page.Schedule = scheduleFormOf(*s)
	}
	return a.show(code, "add", "Add a connector", page)
}

// reviewConnector shows what a new connector would add to the file.
func reviewConnector(a *ask) error {
	if !a.view.Can("configure") { // whose drafts would push out those of others
		return &interapp.Problem{Status: http.StatusForbidden, Title: "Forbidden", Detail: "To add a connector needs the scope configure."}
	}
	earlier, _ := a.kept(a.PostForm.Get("draft"))
	d := draft{name: strings.TrimSpace(a.PostForm.Get("name")), create: true, back: "add",
		change: interapp.ConnectorChange{Version: a.PostForm.Get("version"), Set: changesOf(newSettings(), a.PostForm, earlier.change.Set)}}
	if text := scheduleText(a.PostForm.Get("mode"), a.PostForm.Get("interval"), a.PostForm.Get("cron")); text != "N/A" {
		d.change.Set[scheduleKey] = &text
	}
	if d.name == "" {
		return a.addForm(http.StatusUnprocessableEntity, d, a.keep(d), "The connector needs a name.")
	}
	return a.propose(d)
}

// removalPage asks whether a connector shall go.
type removalPage struct {
	connectorPage
	Changed interapp.ConnectorChanged
	Version string
	Error   string
}

func removal(a *ask) error {
	base, err := a.connector("configuration")
	if err != nil {
		return err
	}
	a.view.Live = ""
	page := removalPage{connectorPage: base}
	file, err := a.api.Configuration(a.Context())
	if err != nil {
		return err
	}
	page.Version = file.Version
	if page.Changed, err = a.api.RemoveConnector(a.Context(), base.Name, file.Version, true); err != nil {
		if status(err) == http.StatusForbidden {
			return err
		}
		page.Error = reason(err)
	}
	return a.show(http.StatusOK, "remove", titled(base.Name, "Remove"), page)
}

func remove(a *ask) error {
	out, err := a.api.RemoveConnector(a.Context(), a.PathValue("name"), a.PostForm.Get("version"), false)
	if status(err) == http.StatusConflict {
		return &interapp.Problem{Status: http.StatusConflict, Title: "Conflict", Detail: "The configuration file was changed by another hand since this page was shown, and nothing was removed: look at it again."}
	}
	if err != nil {
		return err
	}
	if out.Reload != nil && out.Reload.Error != "" {
		return a.redirect("configuration", "saved-only")
	}
	return a.redirect("", "removed")
}
