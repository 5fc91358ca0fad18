package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
)

const pathRequests = "/api/v1/requests"

// What descriptions say of callers with other tokens.
const (
	ownersOnly   = " Only the token that asked for it may, and every one with the scope configure."
	queryIsBlank = " Other tokens than the one that asked for it, without the scope configure, see no query of reply_to."
)

// Requested is what every operation on one request takes. It is exported as
// Named is.
type Requested struct {
	ID string `path:"id" maxLength:"200" doc:"The id of the request"`
}

// requestRoutes are requests for files.
type requestRoutes struct{ *Server }

// add registers the operations.
func (s requestRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRequest}, huma.Operation{
		OperationID: "request", Method: http.MethodPost, Path: pathConnector + "/requests", Tags: []string{tagRequests},
		Summary: "Ask for files",
		Description: "Makes sure that every file that matches both filters is at the destination, and replies with their names. " +
			"With wait, the answer is the reply (200), whether it is a success or not; without, or when the wait is over before the request is, it is the request as it stands (202). " +
			"A client that goes away does not end the request. The same request with the same id is not done a second time, but gets the answer of the first.",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK: the reply", Content: jsonBody[interapp.Reply](api)},
			"202": accepted[interapp.RequestState](api, "the request is kept, and will be answered", "The request"),
		},
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.request)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeRead}, huma.Operation{
		OperationID: "get-request", Method: http.MethodGet, Path: pathRequests + "/{id}", Tags: []string{tagRequests},
		Summary: "The state of a request", Description: "With its reply, when it has ended. With wait, the answer comes when it ends, or when the wait is over." + queryIsBlank,
		Errors: []int{http.StatusNotFound},
	}, s.getRequest)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeRead}, huma.Operation{
		OperationID: "list-requests", Method: http.MethodGet, Path: pathRequests, Tags: []string{tagRequests},
		Summary: "Requests of the past and the present", Description: "Newest first, with what their replies say, and without the files of these." + queryIsBlank,
		Errors: []int{http.StatusServiceUnavailable},
	}, s.listRequests)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "send-reply", Method: http.MethodPost, Path: pathRequests + "/{id}/send", Tags: []string{tagRequests},
		Summary:     "Post a reply once more",
		Description: "Posts the reply to its reply_to now, also when the receiver has taken it, or is not tried any more. It has the Idempotency-Key that it had." + ownersOnly,
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, s.sendReply)
	register(s.Server, api, scopes{config.ScopeRequest, config.ScopeConfigure}, huma.Operation{
		OperationID: "cancel-request", Method: http.MethodDelete, Path: pathRequests + "/{id}", Tags: []string{tagRequests},
		Summary: "Cancel a request", Description: "Its answer is then that it was cancelled. One that has ended stays as it is." + ownersOnly,
		Errors: []int{http.StatusNotFound},
	}, s.cancelRequest)
}

type requestInput struct {
	Named
	Waiting
	Body interapp.Request
}

type requestOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     any    // a Reply or a RequestState
}

func (s requestRoutes) request(ctx context.Context, in *requestInput) (*requestOutput, error) {
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	state, err := s.requests.Accept(ctx, in.Name, callerOf(ctx).name, in.Body)
	noteDetail(ctx, "%s", wish(state.ID, in.Body.FileNameFilter, in.Body.Source))
	if err == nil && wait > 0 {
		state, err = s.await(ctx, state.ID, wait)
	}
	switch {
	case err != nil:
		return nil, err
	case wait > 0 && state.Ended():
		return &requestOutput{Status: http.StatusOK, Body: state.Reply}, nil
	}
	return &requestOutput{Status: http.StatusAccepted, Location: pathRequests + "/" + segment(state.ID), Body: state}, nil
}

// await gives a request when it has ended, or after the wait as it is then.
func (s requestRoutes) await(ctx context.Context, id string, wait time.Duration) (interapp.RequestState, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	state, err := s.requests.Wait(ctx, callerOf(ctx).asker(), id)
	if err != nil {
		return state, fmt.Errorf("request %q: %w", id, err)
	}
	return state, nil
}

type getRequestInput struct {
	Requested
	Waiting
}

func (s requestRoutes) getRequest(ctx context.Context, in *getRequestInput) (*answer[interapp.RequestState], error) {
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	state, err := s.await(ctx, in.ID, wait)
	return &answer[interapp.RequestState]{state}, err
}

func (s requestRoutes) cancelRequest(ctx context.Context, in *Requested) (*answer[interapp.RequestState], error) {
	state, err := s.requests.Cancel(ctx, callerOf(ctx).asker(), in.ID)
	noteConnector(ctx, state.Connector)
	if err != nil {
		return nil, fmt.Errorf("request %q: %w", in.ID, err)
	}
	return &answer[interapp.RequestState]{state}, nil
}

type requestsInput struct {
	Connector string `query:"connector" maxLength:"200" doc:"Only requests of this connector, which need not be configured any more"`
	State     string `query:"state" enum:"accepted,running,replied,failed,expired,cancelled" doc:"Only requests in this state"`
	Cursor    string `query:"cursor" pattern:"^[0-9]{1,18}$" patternDescription:"the cursor of the page before" doc:"For the next page"`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s requestRoutes) listRequests(ctx context.Context, in *requestsInput) (*answer[interapp.RequestPage], error) {
	page, next, err := s.requests.Page(ctx, callerOf(ctx).asker(), requests.Query(*in))
	return &answer[interapp.RequestPage]{interapp.RequestPage{Requests: page, Cursor: next}}, err
}

func (s requestRoutes) sendReply(ctx context.Context, in *Requested) (*answer[interapp.RequestState], error) {
	state, err := s.requests.SendReply(ctx, callerOf(ctx).asker(), in.ID)
	noteConnector(ctx, state.Connector)
	if err != nil {
		return nil, fmt.Errorf("request %q: %w", in.ID, err)
	}
	return &answer[interapp.RequestState]{state}, nil
}

// wish is what somebody asks for, as the audit has it.
func wish(id, filter, source string) string {
	text := id
	if filter != "" {
		text += " for " + filter
	}
	if source != "" {
		text += ", of " + source
	}
	return text
}
