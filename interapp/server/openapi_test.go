package server_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sftpconnector/interapp/server"
)

type document struct {
	OpenAPI string
	Info    struct{ Title, Version, Description string }
	Tags    []struct{ Name, Description string }
	Paths   map[string]map[string]struct {
		OperationID string
		Summary     string
		Description string
		Tags        []string
		Security    []map[string][]string
		Responses   map[string]struct{ Content map[string]any }
		Parameters  []struct{ Name, In string }
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Type  any
				AnyOf []map[string]any
				Enum  []string
			}
			Required []string
		}
		SecuritySchemes map[string]struct{ Type, Scheme string }
	}
}

// The document has exactly the operations that there are, with their scopes.
func TestOpenAPIOperations(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	var doc document
	a := d.ask("GET", "/openapi.json", "")
	a.want(t, 200, &doc)
	if a.header.Get("Content-Type") != "application/openapi+json" || doc.OpenAPI != "3.1.0" || doc.Info.Title != "sftp-connector" || doc.Info.Version != "v1.2.3" {
		t.Errorf("%v %s %+v", a.header, doc.OpenAPI, doc.Info)
	}
	if s := doc.Components.SecuritySchemes["bearer"]; s.Type != "http" || s.Scheme != "bearer" {
		t.Errorf("security schemes %+v", doc.Components.SecuritySchemes)
	}
	undocumented := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			undocumented[strings.ToUpper(method)+" "+path] = true
		}
	}
	ids := map[string]bool{}
	for _, route := range access {
		path, _, _ := strings.Cut(strings.NewReplacer("/results", "/{name}", "/known", "/{id}", "/none", "/{id}",
			"/us_1", "/{id}", "/nocred", "/{credential}", "/nosub", "/{subscription}").Replace(route.path), "?")
		if strings.HasPrefix(path, "/debug/") {
			continue
		}
		op, ok := doc.Paths[path][strings.ToLower(route.method)]
		if !ok {
			t.Errorf("%s %s is not in the document", route.method, path)
			continue
		}
		delete(undocumented, route.method+" "+path)
		if op.Summary == "" || len(op.Tags) != 1 || ids[op.OperationID] {
			t.Errorf("%s %s: %+v", route.method, path, op)
		}
		ids[op.OperationID] = true
		if route.scope == "" {
			if len(op.Security) != 0 {
				t.Errorf("%s needs %v", path, op.Security)
			}
			continue
		}
		want := []string{string(route.scope)}
		if route.or != "" {
			want = append(want, string(route.or))
		}
		var needed []string // one of them
		for _, s := range op.Security {
			needed = append(needed, strings.Join(s["bearer"], " and "))
		}
		if !slices.Equal(needed, want) {
			t.Errorf("%s %s needs %v, want %v", route.method, path, needed, want)
		}
		if strings.HasPrefix(path, "/api/") {
			for _, code := range []string{"401", "403"} {
				if _, ok := op.Responses[code].Content["application/problem+json"]; !ok {
					t.Errorf("%s %s: %s is not documented", route.method, path, code)
				}
			}
		}
	}
	const credentials = "/v1/auth/sftp-credentials"
	op := doc.Paths[credentials]["get"]
	if delete(undocumented, "GET "+credentials); len(op.Security) != 1 || op.Security[0]["secretKey"] == nil || len(op.Parameters) != 1 || op.Parameters[0].Name != "spaceId" {
		t.Errorf("%s: %+v", credentials, op)
	}
	if s := doc.Components.SecuritySchemes["secretKey"]; s.Type != "http" || s.Scheme != "bearer" {
		t.Errorf("security schemes %+v", doc.Components.SecuritySchemes)
	}
	if len(undocumented) > 0 {
		t.Errorf("in the document, but not in the test: %v", slices.Collect(maps.Keys(undocumented)))
	}
	for _, path := range []string{"/apply", "/requests"} {
		op := doc.Paths["/api/v1/connectors/{name}"+path]["post"]
		if _, ok := op.Responses["202"].Content["application/json"]; !ok || op.Responses["200"].Content == nil {
			t.Errorf("%s answers %v", path, slices.Collect(maps.Keys(op.Responses)))
		}
	}
	for path, method := range map[string]string{"/check": "post", "/listing": "get"} {
		if kinds := doc.Paths["/api/v1/connectors/{name}"+path][method].Responses["200"].Content; kinds["text/event-stream"] == nil || kinds["application/json"] == nil {
			t.Errorf("%s answers %v", path, kinds)
		}
	}
	if events := doc.Paths["/api/v1/events"]["get"]; events.Responses["200"].Content["text/event-stream"] == nil {
		t.Errorf("events are %v", events.Responses["200"].Content)
	}
}

func TestOpenAPISchemas(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var doc document
	a := d.ask("GET", "/openapi.json", "")
	a.want(t, 200, &doc)
	for _, ref := range regexp.MustCompile(`#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if _, ok := doc.Components.Schemas[ref[1]]; !ok {
			t.Errorf("the reference to %s leads nowhere", ref[1])
		}
	}
	for name, schema := range doc.Components.Schemas {
		for property, p := range schema.Properties {
			if list, ok := p.Type.([]any); ok && slices.Contains(list, any("array")) {
				t.Errorf("%s.%s may be null", name, property)
			}
			if property == "$schema" {
				t.Errorf("%s has %s", name, property)
			}
		}
	}
	for _, name := range []string{"Connector.running", "Connector.last_pass", "RequestState.reply", "RequestState.posting", "PassEvent.progress", "Space.importing", "Space.last_import"} {
		schema, property, _ := strings.Cut(name, ".")
		if p := doc.Components.Schemas[schema].Properties[property]; len(p.AnyOf) != 2 || p.AnyOf[1]["type"] != "null" {
			t.Errorf("%s: %+v, want one that may be null", name, p)
		}
	}
	if p := doc.Components.Schemas["Connector"].Properties["next_pass"]; len(p.Type.([]any)) != 2 {
		t.Errorf("Connector.next_pass: %+v, want one that may be null", p)
	}
	if slices.Contains(doc.Components.Schemas["Pass"].Required, "started") {
		t.Error("Pass.started is required, and absent while the pass is queued")
	}
}
