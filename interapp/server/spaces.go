package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	"sftpconnector/space/spool"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

const (
	pathSpaces      = "/api/v1/spaces"
	pathSpace       = pathSpaces + "/{id}"
	pathCredentials = pathSpace + "/credentials"

	tagSpaces = "spaces"
)

// errNoSpaces is the answer about Spaces where there are none.
var errNoSpaces = errors.New("this program receives no uploads: configure space_server and spaces, and restart it")

// Spaced is what every operation on one Space takes. It is exported as Named is.
type Spaced struct {
	ID string `path:"id" maxLength:"200" doc:"The Space's id in the configuration"`
}

// spaceRoutes are the state of Spaces, their files and their credentials.
type spaceRoutes struct{ *Server }

// add registers the operations.
func (s spaceRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "list-spaces", Method: http.MethodGet, Path: pathSpaces, Tags: []string{tagSpaces},
		Summary: "The state of all Spaces", Description: "In the order of their ids.",
		Errors: []int{http.StatusNotFound},
	}, s.listSpaces)
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "get-space", Method: http.MethodGet, Path: pathSpace, Tags: []string{tagSpaces},
		Summary: "The state of a Space", Description: "Its inbox, the import of that, who is logged in, and which passwords work.",
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.getSpace)
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "list-space-files", Method: http.MethodGet, Path: pathSpace + "/files", Tags: []string{tagSpaces},
		Summary:     "Files that were uploaded",
		Description: "What is in the inbox, and a page of the ledger: first the files that could not be imported, which are in the inbox too, then those that were, the newest first.",
		Errors:      []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.listSpaceFiles)
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "retry-space", Method: http.MethodPost, Path: pathSpace + "/retry", Tags: []string{tagSpaces},
		Summary: "Release files that were put aside", Description: "Those that failed five times are imported again, within a minute. Names that are not among them are passed over.",
		Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.retrySpace)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "create-credentials", Method: http.MethodPost, Path: pathCredentials, Tags: []string{tagSpaces}, DefaultStatus: http.StatusCreated,
		Summary: "Make a password", Description: "Nothing shows it again. The others stay, but eight work at most: those that were not used for the longest time go.",
		Errors: []int{http.StatusNotFound},
	}, s.createCredentials)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "revoke-all-credentials", Method: http.MethodDelete, Path: pathCredentials, Tags: []string{tagSpaces},
		Summary: "Revoke all passwords", Description: "And cut the sessions of the Space. Public keys of the configuration still open it.",
		Errors: []int{http.StatusNotFound},
	}, s.revokeAllCredentials)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "revoke-credentials", Method: http.MethodDelete, Path: pathCredentials + "/{credential}", Tags: []string{tagSpaces},
		Summary: "Revoke a password", Description: "And cut the sessions of the Space, all of them: which came by that password is not known.",
		Errors: []int{http.StatusNotFound},
	}, s.revokeCredentials)
}

// connector gives the connector that imports a Space. Its error is errNoSpaces or
// space.ErrUnknown, or connector.ErrStopped while a reload is about to make it.
func (s *Server) connector(id string) (*connector.Connector, error) {
	if s.spaces == nil {
		return nil, errNoSpaces
	}
	if err := s.spaces.Known(id); err != nil {
		return nil, err
	}
	c, err := s.set.Get(interapp.SpaceConnector(id))
	if err != nil {
		return nil, fmt.Errorf("the import of Space %q: %w", id, connector.ErrStopped)
	}
	return c, nil
}

// lookAt gives the state of a Space.
func (s spaceRoutes) lookAt(id string) (interapp.Space, error) {
	c, err := s.connector(id)
	if err != nil {
		return interapp.Space{}, err
	}
	st, err := s.spaces.Status(id)
	if err != nil {
		return interapp.Space{}, err
	}
	r := c.Report()
	if last := r.Last; !s.spaces.Receiving() && last != nil && last.Status != "" {
		// Nothing is imported here: what counts is how the last import found the destination.
		r.Health = connector.Health{Status: last.Status, Since: last.Result.Finished, Hint: last.Status.Hint()}
		if last.Result.Err != nil {
			r.Health.Error = last.Result.Err.Error()
		}
	}
	out := st.Message(r)
	out.PublicHost, out.PublicPort = s.spaces.Public()
	out.HostKeys = space.HostKeyMessages(s.spaces.HostKeys())
	return out, nil
}

func (s spaceRoutes) listSpaces(context.Context, *struct{}) (*answer[interapp.SpaceList], error) {
	if s.spaces == nil {
		return nil, errNoSpaces
	}
	out := interapp.SpaceList{Spaces: []interapp.Space{}}
	for _, id := range s.spaces.IDs() {
		one, err := s.lookAt(id)
		switch {
		case errors.Is(err, space.ErrUnknown) || errors.Is(err, connector.ErrStopped):
			continue // a reload is at it
		case err != nil:
			return nil, err
		}
		if p := one.LastImport; p != nil {
			p.Failures = p.Failures[:min(listedFailures, len(p.Failures))]
		}
		out.Spaces = append(out.Spaces, one)
	}
	return &answer[interapp.SpaceList]{out}, nil
}

func (s spaceRoutes) getSpace(_ context.Context, in *Spaced) (*answer[interapp.Space], error) {
	one, err := s.lookAt(in.ID)
	return &answer[interapp.Space]{one}, err
}

type spaceFilesInput struct {
	Spaced
	State  string `query:"state" enum:"uploading,interrupted,waiting,ready,temporary,unsafe,delivered,present,failed,quarantined,conflict" doc:"Only files in this state: one of the first six is of the inbox, one of the others of the ledger"`
	Match  string `query:"name" maxLength:"4096" doc:"Only files with this in their path; or a pattern of the whole path with * and ?"`
	Cursor string `query:"cursor" pattern:"^[fd][0-9]{1,18}$" patternDescription:"the cursor of the page before" doc:"For the next page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s spaceRoutes) listSpaceFiles(ctx context.Context, in *spaceFilesInput) (*answer[interapp.SpaceFiles], error) {
	c, err := s.connector(in.ID)
	if err != nil {
		return nil, err
	}
	page := interapp.SpaceFiles{Space: in.ID, Inbox: []interapp.InboxFile{}}
	if in.Cursor == "" {
		files, err := s.spaces.Files(in.ID)
		if err != nil {
			return nil, err
		}
		page.Inbox, page.More = spool.Messages(files, in.State, in.Match, in.Limit)
	}
	kept, err := filePage(ctx, c, ledger.Query{State: filesync.State(in.State), Name: in.Match, Cursor: in.Cursor, Limit: in.Limit})
	page.Files, page.Cursor = kept.Files, kept.Cursor
	return &answer[interapp.SpaceFiles]{page}, err
}

type retrySpaceInput struct {
	Spaced
	Body *interapp.RetryRequest
}

func (s spaceRoutes) retrySpace(ctx context.Context, in *retrySpaceInput) (*answer[interapp.RetryReply], error) {
	c, err := s.connector(in.ID)
	if err != nil {
		return nil, err
	}
	return release(ctx, c, in.Body)
}

// secretOutput is an answer that nobody on the way may keep.
type secretOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         interapp.NewCredentials
}

func (s spaceRoutes) createCredentials(ctx context.Context, in *Spaced) (*secretOutput, error) {
	if s.spaces == nil {
		return nil, errNoSpaces
	}
	login, err := s.spaces.Create(ctx, in.ID, "")
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "password %s", login.ID)
	return &secretOutput{CacheControl: "no-store", Body: login.Message()}, nil
}

func (s spaceRoutes) revokeAllCredentials(ctx context.Context, in *Spaced) (*answer[interapp.RevokedCredentials], error) {
	out, err := s.revoke(ctx, in.ID, "")
	if errors.Is(err, credentials.ErrNotFound) { // as it was to be
		return &answer[interapp.RevokedCredentials]{interapp.RevokedCredentials{Space: in.ID, Revoked: credentials.Messages(nil)}}, nil
	}
	return out, err
}

type revokeInput struct {
	Spaced
	Credential string `path:"credential" maxLength:"200" doc:"The id of the password"`
}

func (s spaceRoutes) revokeCredentials(ctx context.Context, in *revokeInput) (*answer[interapp.RevokedCredentials], error) {
	return s.revoke(ctx, in.ID, in.Credential)
}

func (s spaceRoutes) revoke(ctx context.Context, id, credential string) (*answer[interapp.RevokedCredentials], error) {
	if s.spaces == nil {
		return nil, errNoSpaces
	}
	revoked, err := s.spaces.Revoke(ctx, id, credential)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, c := range revoked {
		gone = append(gone, c.ID)
	}
	noteDetail(ctx, "%s", counted(gone, "revoked"))
	return &answer[interapp.RevokedCredentials]{interapp.RevokedCredentials{Space: id, Revoked: credentials.Messages(revoked)}}, nil
}
