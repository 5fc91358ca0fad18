package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
)

const (
	pathConnectors = "/api/v1/connectors"
	pathConnector  = pathConnectors + "/{name}"

	tagConnectors = "connectors"
	tagRequests   = "requests"
	tagOperation  = "operation"

	// listedFailures are shown of each connector's last pass in the list of
	// all, which may be ten thousand.
	listedFailures = 10
)

// Named is what every operation on one connector takes. It is exported because
// huma fills no other field where it is embedded.
type Named struct {
	Name string `path:"name" maxLength:"200" doc:"The connector's name in the configuration"`
}

// answer is a plain 200.
type answer[T any] struct{ Body T }

// connectorRoutes are the state of connectors, and what they can be told to do.
type connectorRoutes struct{ *Server }

// add registers the operations.
func (s connectorRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "list-connectors", Method: http.MethodGet, Path: pathConnectors, Tags: []string{tagConnectors},
		Summary: "The state of all connectors", Description: "In the order of their names.",
	}, s.listConnectors)
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "get-connector", Method: http.MethodGet, Path: pathConnector, Tags: []string{tagConnectors},
		Summary: "The state of a connector", Description: "Its Connection Status, the pass under way, the last and the next one.",
		Errors: []int{http.StatusNotFound},
	}, s.getConnector)
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "apply", Method: http.MethodPost, Path: pathConnector + "/apply", Tags: []string{tagConnectors},
		Summary: "Copy all files now",
		Description: "Starts an Apply: validates the connection and makes sure that every matching file is at the destination. " +
			"It joins an Apply that runs already, and follows an automatic pass. With wait, the answer is its outcome (200), whether good or bad; " +
			"without, or when the wait is over before the pass is, it is the pass as it stands (202). A client that goes away does not end the pass.",
		Responses: map[string]*huma.Response{"202": accepted[interapp.Pass](api, "the pass is queued or runs", "The connector, which shows the pass")},
		Errors:    []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.apply)
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "check", Method: http.MethodPost, Path: pathConnector + "/check", Tags: []string{tagConnectors},
		Summary: "Test the connection, stage by stage",
		Description: "The answer is 200 whether the test succeeds or not. Nothing is copied. With the header 'Accept: text/event-stream' " +
			"it comes as it goes: begin (a stage begins), stage (it ended), and check, the whole, at the end. A client that goes away ends the test.",
		Responses: streamable[interapp.Check](api, eventSchema("begin", reference[interapp.StageBegun](api)),
			eventSchema("stage", reference[interapp.Stage](api)), eventSchema("check", reference[interapp.Check](api))),
		Errors: []int{http.StatusNotFound},
	}, s.check)
	register(s.Server, api, scopes{config.ScopeApply}, huma.Operation{
		OperationID: "retry", Method: http.MethodPost, Path: pathConnector + "/retry", Tags: []string{tagConnectors},
		Summary: "Release quarantined files", Description: "The next pass tries them again. Names that are not quarantined are passed over.",
		Errors: []int{http.StatusNotFound},
	}, s.retry)
}

func (s connectorRoutes) listConnectors(context.Context, *struct{}) (*answer[interapp.ConnectorList], error) {
	out := interapp.ConnectorList{Connectors: []interapp.Connector{}}
	for _, c := range s.connectors() {
		c := c.Report().Message()
		if c.LastPass != nil {
			c.LastPass.Failures = c.LastPass.Failures[:min(listedFailures, len(c.LastPass.Failures))]
		}
		out.Connectors = append(out.Connectors, c)
	}
	return &answer[interapp.ConnectorList]{out}, nil
}

func (s connectorRoutes) getConnector(_ context.Context, in *Named) (*answer[interapp.Connector], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	return &answer[interapp.Connector]{c.Report().Message()}, nil
}

// connectors are the connectors of the configuration, in the order of their names.
// Those that import Spaces have routes of their own.
func (s *Server) connectors() []*connector.Connector {
	return slices.DeleteFunc(s.set.All(), func(c *connector.Connector) bool { return c.Config().Space != nil })
}

// onlyConnectors keeps the names of those that import Spaces from the routes of connectors.
func (s *Server) onlyConnectors(ctx huma.Context, next func(huma.Context)) {
	name := ctx.Param("name")
	id := interapp.SpaceOf(name)
	if id == "" {
		next(ctx)
		return
	}
	_, w := humago.Unwrap(ctx)
	writeProblem(w, http.StatusNotFound, fmt.Sprintf("connector %q: %v; a Space is at %s/ID", name, connector.ErrUnknown, pathSpaces))
}

// Waiting is what every operation takes that can wait for an outcome. It is
// exported as Named is.
type Waiting struct {
	Wait string `query:"wait" maxLength:"20" doc:"How long to wait for the outcome, at most 10m: 60s, 5m" example:"60s"`
}

type applyInput struct {
	Named
	Waiting
}

type applyOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     interapp.Pass
}

func (s connectorRoutes) apply(ctx context.Context, in *applyInput) (*applyOutput, error) {
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	run, err := c.Apply()
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "begun")
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-run.Done():
		return ended(ctx, in.Name, run)
	case <-timer.C:
	case <-ctx.Done():
	}
	select {
	case <-run.Done(): // both at once
		return ended(ctx, in.Name, run)
	default:
	}
	look := run.Snapshot()
	look.Status = c.Report().Health.Status
	return &applyOutput{
		Status: http.StatusAccepted, Location: pathConnectors + "/" + segment(in.Name), Body: look.Message(in.Name),
	}, nil
}

// ended is the answer about a pass that is over.
func ended(ctx context.Context, name string, run *connector.Run) (*applyOutput, error) {
	p, err := run.Report()
	if err != nil {
		return nil, err
	}
	message := p.Message(name)
	noteDetail(ctx, "pass %s: %s", message.Pass, message.State)
	return &applyOutput{Status: http.StatusOK, Body: message}, nil
}

// parseWait reads a wait of 0 to MaxWait; "" is 0.
func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := config.ParseDuration(text)
	if err != nil {
		return 0, huma.Error422UnprocessableEntity(fmt.Sprintf("wait: %v", err))
	}
	if wait.Std() > interapp.MaxWait {
		return 0, huma.Error422UnprocessableEntity("wait: too long; allowed: up to 10m; what is waited for goes on when the wait is over")
	}
	return wait.Std(), nil
}

func (s connectorRoutes) check(_ context.Context, in *Named) (*huma.StreamResponse, error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if !wantsStream(r) {
			found := c.Check(r.Context(), nil)
			noteDetail(r.Context(), "%s", found.ConnectionStatus)
			writeJSON(w, found)
			return
		}
		s.stream(r, w, func(ctx context.Context, tell func(event string, data any)) {
			found := c.Check(ctx, func(stage string, ended *interapp.Stage) {
				if ended == nil {
					tell("begin", interapp.StageBegun{Stage: stage})
				} else {
					tell("stage", ended)
				}
			})
			noteDetail(ctx, "%s", found.ConnectionStatus)
			tell("check", found)
		})
	}}, nil
}

type retryInput struct {
	Named
	Body *interapp.RetryRequest
}

func (s connectorRoutes) retry(ctx context.Context, in *retryInput) (*answer[interapp.RetryReply], error) {
	c, err := s.set.Get(in.Name)
	if err != nil {
		return nil, err
	}
	return release(ctx, c, in.Body)
}

// release gives quarantined files free: those that are named, or all.
func release(ctx context.Context, c *connector.Connector, of *interapp.RetryRequest) (*answer[interapp.RetryReply], error) {
	var paths []string
	if of != nil {
		paths = of.Paths
	}
	released, err := c.Retry(ctx, paths)
	noteDetail(ctx, "%s", counted(released, "released"))
	return &answer[interapp.RetryReply]{interapp.RetryReply{Connector: c.Name(), Released: released}}, err
}
