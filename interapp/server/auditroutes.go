package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/sync/ledger"
)

// auditRoutes are what was done, and by whom.
type auditRoutes struct{ *Server }

// add registers the operations.
func (s auditRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "audit", Method: http.MethodGet, Path: "/api/v1/audit", Tags: []string{tagOperation},
		Summary: "Who changed what",
		Description: "Calls that changed something or fetched credentials, and those that were refused to a known token, newest first. " +
			"The newest 100,000 are kept.",
		Errors: []int{http.StatusServiceUnavailable},
	}, s.listAudit)
}

type auditInput struct {
	Connector string `query:"connector" maxLength:"200" doc:"Only what concerns this connector, or this Space as spaces/ID"`
	Cursor    string `query:"cursor" pattern:"^[0-9]{1,18}$" patternDescription:"the cursor of the page before" doc:"For the next page"`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s auditRoutes) listAudit(ctx context.Context, in *auditInput) (*answer[interapp.AuditPage], error) {
	entries, next, err := s.ledger.AuditPage(ctx, ledger.AuditQuery{Connector: in.Connector, Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := interapp.AuditPage{Entries: make([]interapp.AuditEntry, 0, len(entries)), Cursor: next}
	for _, e := range entries {
		page.Entries = append(page.Entries, e.Message())
	}
	return &answer[interapp.AuditPage]{page}, nil
}
