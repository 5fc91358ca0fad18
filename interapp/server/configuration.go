package server

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/config/edit"
	"sftpconnector/interapp"
	"sftpconnector/status"
)

const (
	pathConfiguration = "/api/v1/configuration"
	pathReload        = "/api/v1/reload"

	tagConfiguration = "configuration"
)

// Configuration is the configuration file of a daemon, and how the daemon goes over to it.
type Configuration interface {
	// File is the file.
	File() *edit.File
	// Loaded says what the daemon runs with; last is nil before the first reload.
	Loaded() (version string, at time.Time, last *interapp.Reload)
	// Reload goes over to the file as it stands. It goes on when ctx ends.
	Reload(ctx context.Context) (interapp.Reload, error)
	// Try tests settings that no connector has yet.
	Try(ctx context.Context, cfg *config.Connector, observe status.Observer) (interapp.Check, error)
}

// configurationRoutes are what the configuration file says, and its changes.
type configurationRoutes struct{ *Server }

// add registers the operations.
func (s configurationRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "get-configuration", Method: http.MethodGet, Path: pathConfiguration, Tags: []string{tagConfiguration},
		Summary: "The configuration file", Description: "As it stands, beside what the daemon runs with. Secrets are never shown.",
		Errors: []int{http.StatusNotFound},
	}, s.get)
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "get-connector-configuration", Method: http.MethodGet, Path: pathConnector + "/configuration", Tags: []string{tagConfiguration},
		Summary: "The effective settings of a connector", Description: "Of the file as it stands, also before it is loaded. Secrets are never shown.",
		Errors: []int{http.StatusNotFound},
	}, s.getConnector)
	const rules = "A secret that is stored has to be entered again in the same change when it would be sent elsewhere: when host, port, username, host key or the like change. " +
		"No change may bring a new ${NAME}, alias or _file, which the file is edited for. Comments and order of the file stay; the file before is kept beside it. " +
		"With check, a connection that fails is in the answer, and nothing is saved unless force is set."
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "change-connector", Method: http.MethodPut, Path: pathConnector, Tags: []string{tagConfiguration},
		Summary: "Change a connector in the configuration file", Description: rules,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.put)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "create-connector", Method: http.MethodPost, Path: pathConnector, Tags: []string{tagConfiguration},
		Summary: "Add a connector to the configuration file", Description: rules, DefaultStatus: http.StatusOK,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.post)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "remove-connector", Method: http.MethodDelete, Path: pathConnector, Tags: []string{tagConfiguration},
		Summary: "Remove a connector from the configuration file", Description: "What it has delivered stays where it is. The file before is kept beside it.",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.delete)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "reload", Method: http.MethodPost, Path: pathReload, Tags: []string{tagConfiguration},
		Summary: "Read the configuration file anew", Description: "The answer is 200 also when the file is refused: then its error says why, and the old configuration is kept.",
		Errors: []int{http.StatusNotFound},
	}, s.reload)
}

// file gives the file, or the problem that there is none.
func (s configurationRoutes) file() (*edit.File, error) {
	if s.configuration == nil {
		return nil, huma.Error404NotFound("This daemon runs without a configuration file: start it with 'sftp-connector run --config FILE'.")
	}
	return s.configuration.File(), nil
}

func (s configurationRoutes) get(context.Context, *struct{}) (*answer[interapp.ConfigurationFile], error) {
	file, err := s.file()
	if err != nil {
		return nil, err
	}
	text, _, err := file.Read()
	if err != nil {
		return nil, unreadable(err)
	}
	out, err := ConfigurationMessage(file, text)
	if err != nil {
		return nil, err
	}
	out.Loaded, out.LoadedAt, out.LastReload = s.configuration.Loaded()
	out.LoadedAt = out.LoadedAt.UTC()
	out.Newer = out.Version != out.Loaded
	return &answer[interapp.ConfigurationFile]{out}, nil
}

// unreadable is the problem of a file that is not there, or not to be read.
func unreadable(err error) error {
	return huma.Error503ServiceUnavailable(err.Error() + ": the daemon runs on with what it has loaded; put the file back")
}

// ConfigurationMessage explains a configuration file by itself, without what a daemon
// runs with.
func ConfigurationMessage(file *edit.File, text []byte) (interapp.ConfigurationFile, error) {
	described, err := config.Describe(file.Path, text, os.LookupEnv)
	if err != nil {
		return interapp.ConfigurationFile{}, err
	}
	out := interapp.ConfigurationFile{
		Path: file.Path, Version: edit.VersionOf(text), ReadOnly: file.ReadOnly(),
		Mistakes: []string{}, Settings: settingMessages(described.General()), NewConnector: settingMessages(config.NewConnector()),
	}
	for _, mistake := range described.Mistakes {
		out.Mistakes = append(out.Mistakes, mistake.Error())
	}
	if document, err := edit.Parse(text); err == nil {
		// A file whose secrets cannot be told from the rest is not shown.
		out.YAML, _ = document.Masked()
	}
	return out, nil
}

func settingMessages(settings []config.Setting) []interapp.Setting {
	out := make([]interapp.Setting, 0, len(settings))
	for _, s := range settings {
		out = append(out, interapp.Setting{
			Key: s.Key, Value: s.Value, Values: s.Values, List: s.List, Default: s.Default, Written: s.Written, Line: s.Line,
			Secret: s.Secret, Set: s.Set, Allowed: s.Allowed, Doc: s.Doc,
		})
	}
	return out
}

func (s configurationRoutes) getConnector(_ context.Context, in *Named) (*answer[interapp.ConnectorConfiguration], error) {
	file, err := s.file()
	if err != nil {
		return nil, err
	}
	text, _, err := file.Read()
	if err != nil {
		return nil, unreadable(err)
	}
	out, ok, err := ConnectorMessage(file, text, in.Name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, s.noConnector(in.Name)
	}
	if c, err := s.set.Get(in.Name); err == nil {
		report := c.Report()
		if now := report.Schedule.String(); now != report.Config.Sync.String() {
			for i := range out.Settings {
				if out.Settings[i].Key == "automatic_sftp_file_sync" {
					out.Settings[i].ByAPI = now
				}
			}
		}
	}
	return &answer[interapp.ConnectorConfiguration]{out}, nil
}

func (s configurationRoutes) noConnector(name string) error {
	return huma.Error404NotFound("The configuration file has no connector " + quoteName(name) + ", or has it with a mistake; see GET " + pathConfiguration + ".")
}

// ConnectorMessage explains a connector of a configuration file; ok is false where it has
// none of that name.
func ConnectorMessage(file *edit.File, text []byte, name string) (out interapp.ConnectorConfiguration, ok bool, err error) {
	described, err := config.Describe(file.Path, text, os.LookupEnv)
	if err != nil {
		return out, false, err
	}
	settings, ok := described.Connector(name)
	if !ok {
		return out, false, nil
	}
	out = interapp.ConnectorConfiguration{Connector: name, Version: edit.VersionOf(text), Settings: settingMessages(settings)}
	document, err := edit.Parse(text)
	if err != nil {
		return out, true, nil // it is shown, and changed with an editor
	}
	writable := file.ReadOnly() == ""
	for i, setting := range out.Settings {
		path := append([]string{edit.Connectors, name}, config.PathOf(setting.Key)...)
		out.Settings[i].Editable = writable && document.Editable(path, setting.List)
	}
	if masked, err := document.Masked(); err == nil {
		if shown, err := edit.Parse([]byte(masked)); err == nil {
			out.YAML, _ = shown.Connector(name)
		}
	}
	return out, true, nil
}

func (s configurationRoutes) reload(ctx context.Context, _ *struct{}) (*answer[interapp.Reload], error) {
	if _, err := s.file(); err != nil {
		return nil, err
	}
	r, err := s.configuration.Reload(ctx)
	if err != nil {
		return nil, err
	}
	return &answer[interapp.Reload]{r}, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, "'") + `"` }
