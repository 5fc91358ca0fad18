package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

const pathSchedule = pathConnector + "/schedule"

// scheduleRoutes are the schedules of connectors.
type scheduleRoutes struct{ *Server }

// add registers the operations.
func (s scheduleRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: pathSchedule, Tags: []string{tagConnectors},
		Summary: "The schedule, with its next runs",
		Description: "The next five runs, in the connector's time zone; none for N/A. With automatic_sftp_file_sync those of " +
			"that value, which is not set.",
		Errors: []int{http.StatusNotFound},
	}, s.get)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "set-schedule", Method: http.MethodPut, Path: pathSchedule, Tags: []string{tagConnectors},
		Summary: "Change automatic_sftp_file_sync", Description: "It is kept across restarts, until the configuration file says something else than now.",
		Errors: []int{http.StatusNotFound},
	}, s.set)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "use-file-schedule", Method: http.MethodDelete, Path: pathSchedule, Tags: []string{tagConnectors},
		Summary: "Forget a schedule that was set over the API", Description: "The configuration file's counts again, at once.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound},
	}, s.useFile)
}

type previewInput struct {
	Named
	Preview string `query:"automatic_sftp_file_sync" maxLength:"1000" doc:"N/A, an interval such as 15m, or a cron expression"`
}

func (s scheduleRoutes) get(_ context.Context, in *previewInput) (*answer[interapp.Schedule], error) {
	c, err := s.Server.set.Get(in.Name)
	switch {
	case err != nil:
		return nil, err
	case in.Preview == "":
		return &answer[interapp.Schedule]{c.Schedule()}, nil
	}
	schedule, err := parseSchedule(in.Preview)
	if err != nil {
		return nil, err
	}
	preview, err := c.PreviewSchedule(schedule)
	return &answer[interapp.Schedule]{preview}, err
}

// parseSchedule reads a schedule; its error has the words of the configuration.
func parseSchedule(text string) (config.Schedule, error) {
	schedule, err := config.ParseSchedule(text)
	if err != nil {
		return schedule, huma.Error422UnprocessableEntity(fmt.Sprintf("automatic_sftp_file_sync: %v", err))
	}
	return schedule, nil
}

type scheduleInput struct {
	Named
	Body interapp.Schedule
}

func (s scheduleRoutes) set(ctx context.Context, in *scheduleInput) (*answer[interapp.Schedule], error) {
	c, err := s.Server.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	schedule, err := parseSchedule(in.Body.AutomaticSFTPFileSync)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "%s", schedule)
	if err := c.SetSchedule(ctx, schedule); err != nil {
		return nil, err
	}
	return &answer[interapp.Schedule]{c.Schedule()}, nil
}

func (s scheduleRoutes) useFile(ctx context.Context, in *Named) (*answer[interapp.Schedule], error) {
	c, err := s.Server.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "the file's: %s", c.Config().Sync)
	if err := c.UseFileSchedule(ctx); err != nil {
		return nil, err
	}
	return &answer[interapp.Schedule]{c.Schedule()}, nil
}
