package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/connector"
	"sftpconnector/interapp/requests"
	"sftpconnector/space"
	"sftpconnector/space/credentials"
	"sftpconnector/status"
	"sftpconnector/sync/ledger"
)

// problem maps an error of the connectors, of requests or of Spaces to its answer. It is
// the only place that does.
func (s *Server) problem(err error) huma.StatusError {
	switch {
	case errors.Is(err, connector.ErrUnknown):
		return huma.Error404NotFound(fmt.Sprintf("%v; %s", err, s.known()))
	case errors.Is(err, space.ErrUnknown):
		return huma.Error404NotFound(fmt.Sprintf("%v; %s", err, listed(s.spaces.IDs(), pathSpaces)))
	case errors.Is(err, errNoSpaces), errors.Is(err, credentials.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, connector.ErrListing):
		return huma.Error409Conflict(err.Error() + ": wait for its end")
	case errors.Is(err, connector.ErrBusy):
		return huma.Error409Conflict(err.Error() + ": try again when it has ended")
	case errors.Is(err, connector.ErrNotTrusted):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, connector.ErrStopped):
		return huma.Error503ServiceUnavailable(err.Error() + ", or is being reconfigured: try again in a moment")
	case errors.Is(err, requests.ErrUnknown):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, requests.ErrForeign):
		return huma.Error403Forbidden(err.Error())
	case errors.Is(err, requests.ErrTaken), errors.Is(err, requests.ErrNothingToSend):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, requests.ErrFull):
		return huma.Error503ServiceUnavailable(err.Error())
	case errors.Is(err, ledger.ErrSlow):
		return huma.Error503ServiceUnavailable(err.Error() + ": ask for less, such as fewer rows or a longer part of a name, or try again in a moment")
	}
	if paused, ok := errors.AsType[*connector.PausedError](err); ok {
		return huma.Error409Conflict(paused.Error() + ": resume it first")
	}
	if invalid, ok := errors.AsType[*requests.Invalid](err); ok {
		return huma.Error422UnprocessableEntity(invalid.Error())
	}
	if p, ok := errors.AsType[huma.StatusError](err); ok {
		return p
	}
	if e, ok := errors.AsType[*status.Error](err); ok && e.Word != status.LedgerUnavailable {
		return huma.Error502BadGateway(fmt.Sprintf("%s: %v. %s", e.Word, err, e.Advice())) // the connector's server, say
	}
	s.log.Error("request failed", "error", err)
	detail := err.Error()
	if s.log.Enabled(context.Background(), slog.LevelError) { // a verb that serves itself keeps no log
		detail += "; the daemon's log has more"
	}
	return huma.Error500InternalServerError(detail)
}

// known lists the connectors' names.
func (s *Server) known() string {
	var names []string
	for _, c := range s.connectors() {
		names = append(names, c.Name())
	}
	return listed(names, pathConnectors)
}

// listed is names for an error, the first of them if there are many; at is where
// all of them are found.
func listed(names []string, at string) string {
	const most = 20
	switch {
	case len(names) == 0:
		return "none is configured"
	case len(names) > most:
		return fmt.Sprintf("known are %s and %d more, see GET %s", strings.Join(names[:most], ", "), len(names)-most, at)
	}
	return "known: " + strings.Join(names, ", ")
}

// explain is a transformer: the detail of a failed validation gets the errors
// that it lists, and nothing that the client sent is sent back.
func explain(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok || len(p.Errors) == 0 {
		return v, nil
	}
	out := *p
	out.Errors = nil
	var parts []string
	for _, e := range p.Errors {
		if e == nil {
			continue
		}
		if p.Status == http.StatusBadRequest && e.Location == "body" {
			e = &huma.ErrorDetail{Message: "not JSON: " + e.Message, Location: e.Location}
		}
		out.Errors = append(out.Errors, &huma.ErrorDetail{Message: e.Message, Location: e.Location})
		parts = append(parts, strings.TrimPrefix(e.Location+": "+e.Message, ": "))
	}
	out.Detail = strings.Join(parts, "; ") + "; /openapi.json says what is allowed"
	if p.Status == http.StatusUnsupportedMediaType {
		out.Detail = "The body has to be JSON, sent with the header 'Content-Type: application/json'."
	}
	return &out, nil
}

// writeProblem answers with a problem where huma does not.
func writeProblem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{Title: http.StatusText(code), Status: code, Detail: detail})
}

// nothing answers requests that no route takes.
func (s *Server) nothing(w http.ResponseWriter, r *http.Request) {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			methods = append(methods, m)
		}
	}
	if len(methods) == 0 || slices.Contains(methods, r.Method) {
		writeProblem(w, http.StatusNotFound, fmt.Sprintf("There is nothing at %s; /openapi.json lists what there is.", r.URL.Path))
		return
	}
	allow := strings.Join(methods, ", ")
	w.Header().Set("Allow", allow)
	writeProblem(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s does not take %s, but %s.", r.URL.Path, r.Method, allow))
}
