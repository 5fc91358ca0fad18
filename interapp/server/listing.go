package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

// How long a listing may take: one that is answered as a whole, which its client waits
// for, and one that comes as it goes.
const (
	listingTime       = interapp.MaxWait - time.Minute
	listingStreamTime = interapp.MaxListing
)

// errListingTime ends a listing that takes too long.
var errListingTime = errors.New("it took too long, and is not complete")

// listingRoutes are what a pass of a connector would see.
type listingRoutes struct{ *Server }

// add registers the operations.
func (s listingRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "list-source", Method: http.MethodGet, Path: pathConnector + "/listing", Tags: []string{tagConnectors},
		Summary: "What a pass would see",
		Description: "Lists the source now: each file with its state and the reason for it. Nothing is copied. One at a time for a connector (409). " +
			"When the connection cannot be opened, the answer is 502 with the reason. With the header 'Accept: text/event-stream' all files come as they are found, " +
			"as events file, and at the end an event listing, which has no files; or an event problem.",
		Responses: streamable[interapp.Listing](api, eventSchema("file", reference[interapp.File](api)),
			eventSchema("listing", reference[interapp.Listing](api)), eventSchema("problem", reference[huma.ErrorModel](api))),
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway},
	}, s.list)
}

type listingInput struct {
	Named
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Of the files that are named"`
}

func (s listingRoutes) list(_ context.Context, in *listingInput) (*huma.StreamResponse, error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if !wantsStream(r) {
			ctx, cancel := context.WithTimeoutCause(r.Context(), listingTime, errListingTime)
			defer cancel()
			listing, err := c.Listing(ctx, in.Limit)
			if err != nil {
				p := s.problem(err)
				writeProblem(w, p.GetStatus(), p.Error())
				return
			}
			writeJSON(w, listing)
			return
		}
		s.stream(r, w, func(ctx context.Context, tell func(event string, data any)) {
			ctx, cancel := context.WithTimeoutCause(ctx, listingStreamTime, errListingTime)
			defer cancel()
			listing, err := c.List(ctx, func(f interapp.File) { tell("file", f) })
			if err != nil {
				tell("problem", s.problem(err))
				return
			}
			tell("listing", listing)
		})
	}}, nil
}
