package web

import (
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// parse reads the templates. Each page is drawn into layout.html, with parts.html at hand.
func (p *Pages) parse() map[string]*template.Template {
	functions := template.FuncMap{
		"asset": p.asset, "rel": relative, "abs": absolute, "took": took, "span": span, "count": count, "plural": plural,
		"size":    func(n any) string { return sizeOf(n) },
		"visible": visible, "name": nameOf, "seg": segment, "query": query, "carried": carried, "why": why, "shape": shape, "id": rowID,
		"dict": dict, "add": func(a, b int64) int64 { return a + b }, "join": strings.Join,
		"spaceOf": spaceOf, "lines": func(s string) []string { return strings.Split(s, "\n") },
	}
	shared := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	out := map[string]*template.Template{}
	pages, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		panic(err) // the pattern is good
	}
	for _, file := range pages {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		out[name] = template.Must(template.Must(shared.Clone()).ParseFS(templates, file))
	}
	return out
}

func sizeOf(n any) string {
	switch n := n.(type) {
	case int:
		return size(n)
	case int64:
		return size(n)
	}
	return fmt.Sprint(n)
}

// dict makes the argument of a part out of pairs.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no key", pairs[i])
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// shapes are the outlines of the states, in a box of 16 by 16: each is another one.
var shapes = map[string]string{
	stateFailing: "M8 1l7 13.5H1zM7.1 5.5v4.5h1.8V5.500zM7.1 11v1.8h1.8V11z",
	statePartial: "M8 1l7 7-7 7-7-7zM7.1 4.500v4.500h1.8V4.500zM7.1 10v1.8h1.8V10z",
	stateOverdue: "M8 1a7 7 0 1 0 .01 0zM7.200 4h1.600v4l2.800 1.800-.9 1.400L7.200 9z",
	stateRunning: "M3 2l11 6-11 6z",
	statePaused:  "M3 2h3.500v12H3zM9.500 2H13v12H9.500z",
	stateHealthy: "M8 1a7 7 0 1 0 .01 0zM6.900 11.300L3.800 8.200l1.100-1.100 2 2 4.200-4.600 1.200 1z",
	stateUnknown: "M8 1a7 7 0 1 0 .01 0zM8 3a5 5 0 1 1-.01 0z",
}

// shape draws a state. The word beside it says the same.
func shape(state string) template.HTML {
	d, ok := shapes[state]
	if !ok {
		d = shapes[stateUnknown]
	}
	return template.HTML(`<svg class="shape" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path fill-rule="evenodd" d="` + d + `"/></svg>`)
}
