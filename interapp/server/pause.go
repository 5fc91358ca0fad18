package server

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// pauseRoutes are the pauses of connectors.
type pauseRoutes struct{ *Server }

// add registers the operations.
func (s pauseRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "pause", Method: http.MethodPost, Path: pathConnector + "/pause", Tags: []string{tagConnectors},
		Summary: "Pause a connector",
		Description: "It does nothing until it is resumed, also after a restart: no automatic pass starts, Apply and new requests are refused (409), and requests that were accepted wait. " +
			"A pass under way ends first; an Apply that is queued is not begun. Of one that is paused already, the last reason counts.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.pause)
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "resume", Method: http.MethodPost, Path: pathConnector + "/resume", Tags: []string{tagConnectors},
		Summary: "End a pause", Description: "A pass whose interval has passed starts at once. A connector that is not paused stays as it is.",
		DefaultStatus: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.resume)
}

type pauseInput struct {
	Named
	Body *interapp.PauseRequest
}

func (s pauseRoutes) pause(ctx context.Context, in *pauseInput) (*answer[interapp.Connector], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	noteDetail(ctx, "%s", reason)
	by := cmp.Or(callerOf(ctx).name, "operator") // only a program on this machine comes without a token
	if err := c.Pause(ctx, by, reason); err != nil {
		return nil, err
	}
	return &answer[interapp.Connector]{c.Report().Message()}, nil
}

func (s pauseRoutes) resume(ctx context.Context, in *Named) (*answer[interapp.Connector], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	if err := c.Resume(ctx); err != nil {
		return nil, err
	}
	return &answer[interapp.Connector]{c.Report().Message()}, nil
}
