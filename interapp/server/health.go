package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// alive is the body of the probes.
type alive struct {
	Status string `json:"status" enum:"ok,ready"`
}

// healthOperations are for supervisors, and need no token.
func (s *Server) healthOperations(api huma.API) {
	register(s, api, nil, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Tags: []string{tagOperation},
		Summary: "Liveness", Description: "200 for as long as the process serves requests.",
	}, func(context.Context, *struct{}) (*answer[alive], error) {
		return &answer[alive]{alive{"ok"}}, nil
	})
	register(s, api, nil, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagOperation},
		Summary: "Readiness", Description: "200 while the schedules run; a connector that cannot connect does not change that.",
		Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*answer[alive], error) {
		if !s.set.Ready() {
			return nil, huma.Error503ServiceUnavailable("The schedules do not run: the program starts or ends.")
		}
		return &answer[alive]{alive{"ready"}}, nil
	})
}
