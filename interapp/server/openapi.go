package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sftpconnector/config"
)

// bearer is the name of the security scheme.
const bearer = "bearer"

const description = `Start the passes of SFTP connectors, watch them, and see what they delivered. Ask
for files by name and time, and be told when they are there. Receive uploads to Spaces.

Errors are problems as in RFC 9457; their detail says what to do. Tokens are those of
server.tokens in the configuration, and that of the operator, which the daemon keeps in
operator.token in its data directory.`

// describe registers the operations with the mux, and serves their OpenAPI
// document. huma's own pages are off: they load scripts from elsewhere.
func (s *Server) describe(version string) {
	if version == "" {
		version = "unknown"
	}
	cfg := huma.DefaultConfig("sftp-connector", version)
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil // which add $schema to every body
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{explain}
	cfg.Info.Description = description
	cfg.Tags = []*huma.Tag{
		{Name: tagConnectors, Description: "Their state, their passes and their files"},
		{Name: tagRequests, Description: "Files that another program asks for, or wants to be told of"},
		{Name: tagSpaces, Description: "Uploads that are received over SFTP, and who may send them"},
		{Name: tagSessions, Description: "Who the caller is, and how a browser signs in"},
		{Name: tagConfiguration, Description: "What the configuration file says, and its changes"},
		{Name: tagOperation, Description: "For supervisors and monitoring"},
	}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearer:    {Type: "http", Scheme: "bearer", Description: "A token of server.tokens; its scopes are read, request, apply and configure"},
		secretKey: {Type: "http", Scheme: "bearer", Description: "A key of space_server.secret_keys, which opens the Spaces that are listed with it"},
	}
	api := humago.New(s.mux, cfg)
	connectorRoutes{s}.add(api)
	scheduleRoutes{s}.add(api)
	hostKeyRoutes{s}.add(api)
	listingRoutes{s}.add(api)
	pauseRoutes{s}.add(api)
	recordRoutes{s}.add(api)
	configurationRoutes{s}.add(api)
	if s.requests != nil {
		asked := requestRoutes{s}
		asked.add(api)
		subscribed := subscriptionRoutes{s}
		subscribed.add(api)
		spaceSubscriptionRoutes{subscribed}.add(api)
		dataminerRoutes{asked}.add(api)
	}
	spaceRoutes{s}.add(api)
	if s.ledger != nil {
		auditRoutes{s}.add(api)
	}
	eventRoutes{s}.add(api)
	sessionRoutes{s}.add(api)
	s.healthOperations(api)
	describeSFTPCredentials(api)
	describeText(api, "/metrics", "metrics", "Metrics in the Prometheus text format", "text/plain")
	describeText(api, "/openapi.json", "openapi", "This document", "application/openapi+json")
	tidy(api.OpenAPI().Components.Schemas)
	// Most who make a Server never ask for it, as a verb without a daemon.
	document := sync.OnceValue(func() []byte {
		text, err := json.Marshal(api.OpenAPI())
		if err != nil {
			panic(err) // it is made of our own types
		}
		return text
	})
	s.mux.Handle("GET /openapi.json", s.require(config.ScopeRead, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document())
	})))
}

// register adds an operation that needs one of the scopes, or none for nil. Its
// errors become problems.
func register[I, O any](s *Server, api huma.API, needed scopes, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.BodyReadTimeout = bodyTimeout
	op.MaxBodyBytes = maxBody
	if needed != nil {
		for _, scope := range needed {
			op.Security = append(op.Security, map[string][]string{bearer: {string(scope)}})
		}
		op.Description += "\n\nNeeds the scope " + needed.join(" or ") + "."
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
		op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			r, w := humago.Unwrap(ctx)
			if s.allowed(w, r, needed) {
				next(ctx)
			}
		}}
	}
	if strings.HasPrefix(op.Path, pathConnector) {
		op.Middlewares = append(op.Middlewares, s.onlyConnectors)
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problem(err)
		}
		return out, nil
	})
}

// describeText documents a GET that huma does not serve.
func describeText(api huma.API, path, id, summary, contentType string) {
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{tagOperation},
		Security: []map[string][]string{{bearer: {string(config.ScopeRead)}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}},
		},
	})
}

// jsonBody describes JSON of the type T.
func jsonBody[T any](api huma.API) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: reference[T](api)}}
}

// reference gives a reference to the schema of T, which is there from then on.
func reference[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// accepted describes a 202 with a T, which is found again at the Location.
func accepted[T any](api huma.API, description, location string) *huma.Response {
	return &huma.Response{
		Description: "Accepted: " + description,
		Headers:     map[string]*huma.Param{"Location": {Schema: &huma.Schema{Type: huma.TypeString}, Description: location}},
		Content:     jsonBody[T](api),
	}
}

// segment escapes a name for a path. A name of dots is no step in the path.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// tidy corrects what huma takes from the Go types: our lists are never null,
// and some objects may be.
func tidy(schemas huma.Registry) {
	all := schemas.Map()
	for _, schema := range all {
		for _, p := range schema.Properties {
			if p.Type == huma.TypeArray {
				p.Nullable = false
			}
		}
	}
	for schema, properties := range map[string][]string{
		"ConfigurationFile": {"last_reload"}, "ConnectorChanged": {"check", "reload"},
		"Connector": {"running", "last_pass"}, "Space": {"importing", "last_import"}, "Running": {"progress"}, "PassEvent": {"progress"}, "RequestState": {"progress", "reply", "posting"},
	} {
		if all[schema] == nil {
			continue // of operations that there are not
		}
		for _, property := range properties {
			p := all[schema].Properties[property]
			*p = huma.Schema{Description: p.Description, AnyOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
		}
	}
}
