package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// recordRoutes are what the ledger has of connectors: files and passes.
type recordRoutes struct{ *Server }

// add registers the operations.
func (s recordRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "list-files", Method: http.MethodGet, Path: pathConnector + "/files", Tags: []string{tagConnectors},
		Summary: "Files that were delivered or failed",
		Description: "A page of the ledger: first the files that fail, then those delivered, the newest first. " +
			"In the states waiting, unsafe and excluded it is those that the last pass has left so, with the reason: the first 1,000, and none before the first pass since the program started.",
		Errors: []int{http.StatusNotFound},
	}, s.listFiles)
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "list-passes", Method: http.MethodGet, Path: pathConnector + "/passes", Tags: []string{tagConnectors},
		Summary: "Passes of the past", Description: "Newest first; the one under way is among them.",
		Errors: []int{http.StatusNotFound},
	}, s.listPasses)
	if s.ledger == nil {
		return
	}
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "recent-passes", Method: http.MethodGet, Path: "/api/v1/passes", Tags: []string{tagConnectors},
		Summary: "The last passes of many connectors", Description: "In short, newest first; those under way are among them. Connectors that are not configured have none.",
		Errors: []int{http.StatusServiceUnavailable},
	}, s.recentPasses)
}

type filesInput struct {
	Named
	State  string `query:"state" enum:"delivered,present,failed,quarantined,conflict,waiting,unsafe,excluded" doc:"Only files in this state"`
	Match  string `query:"name" maxLength:"4096" doc:"Only files with this in their path; or a pattern of the whole path with * and ?"`
	Cursor string `query:"cursor" pattern:"^[fdl][0-9]{1,18}$" patternDescription:"the cursor of the page before" doc:"For the next page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Order  string `query:"order" enum:"delivered" doc:"delivered: only what was delivered or found in place, the last delivery first, also of a file that was delivered before; one page, without state, name and cursor"`
}

func (s recordRoutes) listFiles(ctx context.Context, in *filesInput) (*answer[interapp.FilePage], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	if in.Order != "" {
		if in.State+in.Match+in.Cursor != "" {
			return nil, huma.Error422UnprocessableEntity("order: it goes with limit alone; leave out state, name and cursor")
		}
		rows, err := c.Ledger().Delivered(ctx, in.Limit)
		return &answer[interapp.FilePage]{pageOf(rows, "")}, err
	}
	if page, ok := leftPage(c, in); ok {
		return &answer[interapp.FilePage]{page}, nil
	}
	if strings.HasPrefix(in.Cursor, leftCursor) {
		return nil, huma.Error422UnprocessableEntity("cursor: it is of another list, or of one from before the program started: begin with the first page")
	}
	page, err := filePage(ctx, c, ledger.Query{State: filesync.State(in.State), Name: in.Match, Cursor: in.Cursor, Limit: in.Limit})
	return &answer[interapp.FilePage]{page}, err
}

// filePage reads a page of a connector's part of the ledger.
func filePage(ctx context.Context, c *connector.Connector, q ledger.Query) (interapp.FilePage, error) {
	rows, next, err := c.Ledger().Files(ctx, q)
	return pageOf(rows, next), err
}

func pageOf(rows []ledger.File, next string) interapp.FilePage {
	page := interapp.FilePage{Files: make([]interapp.File, 0, len(rows)), Cursor: next}
	for _, f := range rows {
		page.Files = append(page.Files, f.Message())
	}
	return page
}

type passesInput struct {
	Named
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"20"`
}

func (s recordRoutes) listPasses(ctx context.Context, in *passesInput) (*answer[interapp.PassList], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	passes, err := c.Ledger().Passes(ctx, in.Limit)
	if err != nil {
		return nil, err
	}
	out := interapp.PassList{Passes: make([]interapp.Pass, 0, len(passes))}
	for _, p := range passes {
		out.Passes = append(out.Passes, p.Message(in.Name))
	}
	return &answer[interapp.PassList]{out}, nil
}

type recentInput struct {
	Connectors []string `query:"connectors" required:"true" minItems:"1" maxItems:"100" doc:"Their names, and Spaces as spaces/ID"`
	Limit      int      `query:"limit" minimum:"1" maximum:"100" default:"30"`
}

func (s recordRoutes) recentPasses(ctx context.Context, in *recentInput) (*answer[interapp.RecentPasses], error) {
	configured := slices.DeleteFunc(slices.Clone(in.Connectors), func(name string) bool {
		_, err := s.set.Get(name)
		return err != nil
	})
	recent, err := s.ledger.RecentPasses(ctx, configured, in.Limit)
	if err != nil {
		return nil, err
	}
	out, now := interapp.RecentPasses{Connectors: map[string][]interapp.PassMark{}}, time.Now()
	for _, name := range in.Connectors {
		marks := []interapp.PassMark{}
		for _, p := range recent[name] {
			marks = append(marks, p.Mark(now))
		}
		out.Connectors[name] = marks
	}
	return &answer[interapp.RecentPasses]{out}, nil
}
