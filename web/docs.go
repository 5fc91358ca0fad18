package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// openapi is as much of an OpenAPI document as the page shows.
type openapi struct {
	Info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	} `json:"info"`
	Tags []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"tags"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID          string              `json:"operationId"`
	Summary     string              `json:"summary"`
	Description string              `json:"description"`
	Tags        []string            `json:"tags"`
	Parameters  []parameter         `json:"parameters"`
	Body        *content            `json:"requestBody"`
	Responses   map[string]*content `json:"responses"`

	Method, Path string `json:"-"`
}

type parameter struct {
	Name        string `json:"name"`
	In          string `json:"in"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Schema      schema `json:"schema"`
}

type content struct {
	Description string `json:"description"`
	Content     map[string]struct {
		Schema schema `json:"schema"`
	} `json:"content"`
}

type schema struct {
	Ref         string            `json:"$ref"`
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Enum        []any             `json:"enum"`
	Items       *schema           `json:"items"`
	AnyOf       []schema          `json:"anyOf"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
}

// Name is what a schema is called, or its type.
func (s schema) Name() string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Items != nil:
		return "list of " + s.Items.Name()
	case len(s.AnyOf) > 0:
		var parts []string
		for _, of := range s.AnyOf {
			parts = append(parts, of.Name())
		}
		return strings.Join(parts, " or ")
	}
	if types, ok := s.Type.([]any); ok {
		var parts []string
		for _, t := range types {
			parts = append(parts, fmt.Sprint(t))
		}
		return strings.Join(parts, " or ")
	}
	if s.Type == nil {
		return "any"
	}
	return fmt.Sprint(s.Type)
}

// Leads is the message that the schema is made of, for a link; empty for none.
func (s schema) Leads() string {
	for _, of := range append([]schema{s}, s.AnyOf...) {
		if of.Items != nil {
			of = *of.Items
		}
		if of.Ref != "" {
			return of.Name()
		}
	}
	return ""
}

// Words are what a value may be, if it is one of a few.
func (s schema) Words() string {
	var out []string
	for _, w := range s.Enum {
		out = append(out, fmt.Sprint(w))
	}
	return strings.Join(out, ", ")
}

// docsPage is the documentation of the API.
type docsPage struct {
	Title, Version, Description string
	Groups                      []docsGroup
	Messages                    []docsMessage
}

type docsGroup struct {
	Name, Description string
	Operations        []operation
}

type docsMessage struct {
	Name       string
	Properties []docsProperty
}

type docsProperty struct {
	Name     string
	Schema   schema
	Required bool
}

// Body gives the message that an operation takes, and Answers what it gives.
func (o operation) Takes() string { return o.Body.leads() }

// Gives is the message of a good answer.
func (o operation) Gives() string {
	for _, code := range []string{"200", "201", "202"} {
		if name := o.Responses[code].leads(); name != "" {
			return name
		}
	}
	return ""
}

func (c *content) leads() string {
	if c == nil {
		return ""
	}
	for _, body := range c.Content {
		if name := body.Schema.Leads(); name != "" {
			return name
		}
	}
	return ""
}

// Codes are the statuses of the answers.
func (o operation) Codes() string {
	var out []string
	for code := range o.Responses {
		out = append(out, code)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// Open reports whether no token is asked for: Security is not read for that, the
// description says it.
func (o operation) Paragraphs() []string { return strings.Split(o.Description, "\n\n") }

func docs(a *ask) error {
	text, err := a.get(a.Context(), "/openapi.json")
	if err != nil {
		return err
	}
	var doc openapi
	if err := json.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("the OpenAPI document: %w", err)
	}
	a.view.Tab = "docs"
	return a.show(http.StatusOK, "docs", "API", arrangeDocs(doc))
}

// arrangeDocs puts operations below their tags, by path, and messages in the order of
// their names.
func arrangeDocs(doc openapi) docsPage {
	page := docsPage{Title: doc.Info.Title, Version: doc.Info.Version, Description: doc.Info.Description}
	by := map[string][]operation{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.Method, o.Path = strings.ToUpper(method), path
			tag := ""
			if len(o.Tags) > 0 {
				tag = o.Tags[0]
			}
			by[tag] = append(by[tag], o)
		}
	}
	for _, tag := range doc.Tags {
		page.Groups = append(page.Groups, docsGroup{tag.Name, tag.Description, by[tag.Name]})
		delete(by, tag.Name)
	}
	for tag, rest := range by {
		page.Groups = append(page.Groups, docsGroup{Name: tag, Operations: rest})
	}
	for _, g := range page.Groups {
		slices.SortFunc(g.Operations, func(x, y operation) int { return strings.Compare(x.Path+" "+x.Method, y.Path+" "+y.Method) })
	}
	for name, s := range doc.Components.Schemas {
		m := docsMessage{Name: name}
		for property, of := range s.Properties {
			m.Properties = append(m.Properties, docsProperty{property, of, slices.Contains(s.Required, property)})
		}
		slices.SortFunc(m.Properties, func(x, y docsProperty) int { return strings.Compare(x.Name, y.Name) })
		page.Messages = append(page.Messages, m)
	}
	slices.SortFunc(page.Messages, func(x, y docsMessage) int { return strings.Compare(x.Name, y.Name) })
	return page
}
