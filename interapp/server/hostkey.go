package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// hostKeyRoutes are the host keys of connectors' servers.
type hostKeyRoutes struct{ *Server }

// add registers the operations.
func (s hostKeyRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "get-host-key", Method: http.MethodGet, Path: pathConnector + "/host-key", Tags: []string{tagConnectors},
		Summary: "Ask the server for its host key", Description: "Connects to the server, and logs in nowhere. When it cannot be reached, the answer is 502 with the reason.",
		Errors: []int{http.StatusNotFound, http.StatusBadGateway},
	}, s.get)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "trust", Method: http.MethodPost, Path: pathConnector + "/trust", Tags: []string{tagConnectors},
		Summary: "Remember the server's host key",
		Description: "Compare the fingerprint with the one that the server's administrator gives you: whoever sits between could show another one. " +
			"If the server shows another key by now, or another one is trusted for the host and replace is not set, nothing is remembered (409).",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway},
	}, s.trust)
}

func (s hostKeyRoutes) get(ctx context.Context, in *Named) (*answer[interapp.ServerHostKey], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	key, err := c.HostKey(ctx)
	return &answer[interapp.ServerHostKey]{key}, err
}

type trustInput struct {
	Named
	Body interapp.TrustRequest
}

func (s hostKeyRoutes) trust(ctx context.Context, in *trustInput) (*answer[interapp.ServerHostKey], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	key, err := c.Trust(ctx, in.Body)
	if key.Fingerprint != "" {
		noteDetail(ctx, "%s %s of %s", key.Type, key.Fingerprint, key.Host)
	}
	return &answer[interapp.ServerHostKey]{key}, err
}
