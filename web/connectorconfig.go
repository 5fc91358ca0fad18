package web

import (
	"net/http"
	"strings"

	"sftpconnector/interapp"
)

// scheduleKey is the key of Automatic SFTP File Sync.
const scheduleKey = "automatic_sftp_file_sync"

// configurationPage is the Configuration page of a connector.
type configurationPage struct {
	connectorPage
	Configured bool
	Version    string
	Schedule   scheduleForm
	Sections   []section
	YAML       string
	Error      string
	Draft      string
	Unsaved    bool
}

// scheduleForm is Automatic SFTP File Sync as a form shows it.
type scheduleForm struct {
	Mode     string // na, interval or cron
	Interval string
	Cron     string
	Now      string // what counts
	Typed    string // what was typed and is not saved
	InFile   string // what the file says, where that is something else
	Zone     string
	Next     []string
}

// scheduleFormOf takes a schedule apart.
func scheduleFormOf(schedule string) scheduleForm {
	f := scheduleForm{Now: schedule, Mode: "interval", Interval: "15m", Cron: "*/15 6-22 * * 1-5"}
	switch s := strings.TrimSpace(schedule); {
	case s == "" || strings.EqualFold(s, "N/A"):
		f.Mode = "na"
	case strings.HasPrefix(s, "@") || strings.Contains(s, " "):
		f.Mode, f.Cron = "cron", s
	default:
		f.Interval = s
	}
	return f
}

// scheduleText puts a schedule together again.
func scheduleText(mode, interval, cron string) string {
	switch mode {
	case "interval":
		return strings.TrimSpace(interval)
	case "cron":
		return strings.TrimSpace(cron)
	}
	return "N/A"
}

func connectorConfiguration(a *ask) error {
	return a.configuration(http.StatusOK, draft{}, "", "")
}

// configuration draws the Configuration page of a connector, with what was typed if it
// was refused.
func (a *ask) configuration(code int, typed draft, id, refused string) error {
	base, err := a.connector("configuration")
	if err != nil {
		return err
	}
	page := configurationPage{connectorPage: base, Draft: id, Error: refused, Unsaved: id != ""}
	conf, err := a.api.ConnectorConfiguration(a.Context(), base.Name)
	if page.Configured, err = configured(err); err != nil {
		return err
	}
	page.Version, page.YAML = conf.Version, conf.YAML
	page.Schedule = a.scheduleForm(base.C, conf)
	page.Sections = sectionsOf(conf.Settings, scheduleKey)
	for _, s := range page.Sections {
		overlay(s.Fields, typed.change.Set)
	}
	if typed.change.YAML != nil {
		page.YAML = *typed.change.YAML
	}
	if s := typed.change.Set[scheduleKey]; s != nil {
		if err := a.typedSchedule(&page.Schedule, base.Name, *s); err != nil {
			return err
		}
	}
	return a.show(code, "connector-configuration", titled(base.Name, "Configuration"), page)
}

// scheduleForm is the schedule as it counts, with the next runs in the connector's zone.
func (a *ask) scheduleForm(c interapp.Connector, conf interapp.ConnectorConfiguration) scheduleForm {
	f := scheduleFormOf(c.Schedule)
	f.Zone = "UTC"
	told, err := a.schedule(c.Name, "")
	if err != nil {
		told = interapp.Schedule{} // a daemon that does not tell
	}
	f.InFile = told.InFile
	for _, s := range conf.Settings {
		switch {
		case s.Key == "time_zone":
			f.Zone = s.Value
		case s.Key == scheduleKey && s.ByAPI != "" && f.InFile == "":
			f.InFile = cmpText(s.Written, s.Default)
		}
	}
	f.Next = runs(told)
	return f
}

// runs are the next runs, in the zone in which they come.
func runs(s interapp.Schedule) []string {
	var out []string
	for _, at := range s.Next[:min(5, len(s.Next))] {
		out = append(out, at.Format("Mon 2006-01-02 15:04:05 -07:00"))
	}
	return out
}

// typedSchedule puts a schedule that is not saved over the form, with its runs.
func (a *ask) typedSchedule(f *scheduleForm, name, text string) error {
	typed := scheduleFormOf(text)
	f.Mode, f.Interval, f.Cron, f.Typed = typed.Mode, typed.Interval, typed.Cron, text
	told, err := a.schedule(name, text)
	switch code := status(err); {
	case err == nil:
	case code == http.StatusUnprocessableEntity, code == http.StatusNotFound: // a mistake in it, which is told of elsewhere
	default:
		return err
	}
	f.Next = runs(told)
	return nil
}

// previewSchedule shows when a schedule would run, and saves nothing.
func (a *ask) previewSchedule(d draft, text string) error {
	if _, err := a.schedule(d.name, text); err != nil {
		return a.refused(d, err)
	}
	return a.configuration(http.StatusOK, d, "", "")
}

// setSchedule changes Automatic SFTP File Sync: in the file, or beside it where the file
// cannot be written.
func setSchedule(a *ask) error {
	name, back := a.PathValue("name"), "connectors/"+segment(a.PathValue("name"))+"/configuration"
	text := scheduleText(a.PostForm.Get("mode"), a.PostForm.Get("interval"), a.PostForm.Get("cron"))
	d := draft{name: name, back: back, change: interapp.ConnectorChange{Version: a.PostForm.Get("version"), Set: map[string]*string{scheduleKey: &text}}}
	if a.PostForm.Has("preview") {
		return a.previewSchedule(d, text)
	}
	if d.change.Version == "" { // the configuration cannot be changed here
		if err := a.api.SetSchedule(a.Context(), name, text); err != nil {
			return a.refused(d, err)
		}
		return a.redirect(back, "schedule")
	}
	conf, err := a.api.ConnectorConfiguration(a.Context(), name)
	if err != nil {
		return err
	}
	for _, s := range conf.Settings {
		if s.Key != scheduleKey {
			continue
		}
		if shown(s) == text { // as the file has it already
			if s.ByAPI == "" {
				return a.redirect(back, "unchanged")
			}
			return fileSchedule(a)
		}
	}
	out, err := a.api.ChangeConnector(a.Context(), name, d.change)
	if err != nil {
		return a.refused(d, err)
	}
	return a.redirect(back, savedAs(out, "schedule"))
}

// fileSchedule forgets a schedule that was set over the API.
func fileSchedule(a *ask) error {
	name := a.PathValue("name")
	if _, err := a.api.UseFileSchedule(a.Context(), name); err != nil {
		return err
	}
	return a.redirect("connectors/"+segment(name)+"/configuration", "schedule")
}

// savedAs is the notice of a change: that it is in force, or why it is not.
func savedAs(out interapp.ConnectorChanged, well string) string {
	switch {
	case out.Reload != nil && out.Reload.Error != "":
		return "saved-only"
	case !out.Saved:
		return "unchanged"
	}
	return well
}

// listingPage is what a pass would see.
type listingPage struct {
	connectorPage
	Listing interapp.Listing
	Error   string
}

func listing(a *ask) error {
	base, err := a.connector("configuration")
	if err != nil {
		return err
	}
	a.view.Live = ""
	page := listingPage{connectorPage: base}
	if page.Listing, err = a.api.Listing(a.Context(), base.Name, 500); err != nil {
		if code := status(err); code == http.StatusUnauthorized || code == http.StatusForbidden {
			return err
		}
		page.Error = err.Error()
	}
	return a.show(http.StatusOK, "listing", titled(base.Name, "What a pass would see"), page)
}
